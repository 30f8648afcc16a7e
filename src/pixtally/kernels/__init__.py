"""NumPy blocks in, NumPy blocks out: the numba kernels; no dask, xarray, zarr or paths here."""
