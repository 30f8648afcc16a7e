"""Images in HDF5, FITS, Zarr and NetCDF: ``file::name`` picks the array inside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr

from pixtally.errors import PixtallyError
from pixtally.readers.arrays import channel_axis, found_in_array, images_of, pick
from pixtally.readers.base import Found, Image, Reader, UnreadableError, need
from pixtally.zarr_trust import check_arrays


def _hdf5(path: str) -> Any:
    h5py = need("h5py", "hdf5")
    with contextlib.suppress(ImportError):
        import_module("hdf5plugin")  # registers the filters that detectors compress with
    return h5py.File(path, "r")


def _dataset(file: Any, inner: str) -> tuple[str, Any]:
    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if len(getattr(item, "shape", None) or ()) >= 2:
            names.append(name)

    file.visititems(visit)
    if inner.strip("/") not in names and inner.strip("/") in file:
        names.append(inner.strip("/"))  # links are not visited, but may be named
    name = pick(names, inner, "dataset")
    return name, file[name]


def scan_hdf5(path: str, inner: str) -> Found:
    """Shape of an HDF5 dataset."""
    with _hdf5(path) as file:
        name, dataset = _dataset(file, inner)
        return found_in_array(tuple(dataset.shape), name)


def read_hdf5(path: str, inner: str, start: int, stop: int) -> Iterator[Image | UnreadableError]:
    """Images of an HDF5 dataset, in blocks aligned to its chunks."""
    with _hdf5(path) as file:
        dataset = _dataset(file, inner)[1]
        yield from images_of(dataset, start, stop, (dataset.chunks or (0,))[0])


def _hdu(file: Any, inner: str) -> tuple[str, Any]:
    with_image = [str(i) for i, hdu in enumerate(file) if hdu.is_image and len(hdu.shape) >= 2]
    name = pick(with_image, inner or "".join(with_image[:1]), "image HDU")
    return name, file[int(name)]


def scan_fits(path: str, inner: str) -> Found:
    """Shape of a FITS image; without ``::k`` the first HDU that holds one."""
    with need("astropy.io.fits", "fits").open(path, memmap=False) as file:
        name, hdu = _hdu(file, inner)
        return found_in_array(tuple(hdu.shape), name)


class _Section:
    """A FITS image that slices like an array, scaled (BSCALE, BZERO) slice by slice."""

    def __init__(self, hdu: Any) -> None:
        self.shape = tuple(hdu.shape)
        self.section = hdu.section
        first = (0,) * len(self.shape)
        self.dtype = np.asarray(self.section[first]).dtype

    def __getitem__(self, key: Any) -> Image:
        try:
            return np.asarray(self.section[key])
        except ValueError as error:
            raise UnreadableError("is cut short: its header promises more") from error


def read_fits(path: str, inner: str, start: int, stop: int) -> Iterator[Image | UnreadableError]:
    """Images of a FITS HDU."""
    with need("astropy.io.fits", "fits").open(path, memmap=False) as file:
        yield from images_of(_Section(_hdu(file, inner)[1]), start, stop)


def _variable(dataset: Any, inner: str) -> tuple[str, Any]:
    names = [str(name) for name, variable in dataset.data_vars.items() if variable.ndim >= 2]
    name = pick(names, inner, "variable")
    return name, dataset[name]


def _channel_by_name(variable: Any) -> int | None:
    for name in ("channel", "band", "c"):
        if variable.ndim == 4 and name in variable.dims[1:]:
            return int(variable.dims.index(name))
    return channel_axis(tuple(variable.shape))


def _open_zarr(path: str) -> Any:
    try:
        check_arrays(path)
    except PixtallyError as error:
        raise UnreadableError(str(error)) from None
    return xr.open_dataset(path, engine="zarr", chunks=None, consolidated=False)


def _open_netcdf(path: str) -> Any:
    for module, engine in (("h5netcdf", "h5netcdf"), ("netCDF4", "netcdf4")):
        with contextlib.suppress(ImportError):
            import_module(module)
            return xr.open_dataset(path, engine=engine, chunks=None)
    return need("h5netcdf", "hdf5")


def _scan_variable(dataset: Any, inner: str) -> Found:
    with dataset:
        name, variable = _variable(dataset, inner)
        return found_in_array(tuple(variable.shape), name)


def _read_variable(dataset: Any, inner: str, start: int, stop: int) -> Iterator[Image]:
    with dataset:
        variable = _variable(dataset, inner)[1]
        chunks = variable.encoding.get("chunks") or variable.encoding.get("chunksizes") or (0,)
        yield from images_of(variable, start, stop, chunks[0], _channel_by_name(variable))


def scan_zarr(path: str, inner: str) -> Found:
    """Shape of a variable of a Zarr group."""
    return _scan_variable(_open_zarr(path), inner)


def read_zarr(path: str, inner: str, start: int, stop: int) -> Iterator[Image | UnreadableError]:
    """Images of a Zarr variable, decoded as xarray decodes it (scale, offset, fill)."""
    yield from _read_variable(_open_zarr(path), inner, start, stop)


def scan_netcdf(path: str, inner: str) -> Found:
    """Shape of a variable of a NetCDF file."""
    return _scan_variable(_open_netcdf(path), inner)


def read_netcdf(path: str, inner: str, start: int, stop: int) -> Iterator[Image | UnreadableError]:
    """Images of a NetCDF variable, decoded as xarray decodes it (scale, offset, fill)."""
    yield from _read_variable(_open_netcdf(path), inner, start, stop)


HDF5 = Reader("HDF5", (".h5", ".hdf5", ".hdf", ".nxs"), scan_hdf5, read_hdf5, container=True)
FITS = Reader("FITS", (".fits", ".fit", ".fts", ".fits.gz"), scan_fits, read_fits, container=True)
ZARR = Reader("Zarr", (".zarr",), scan_zarr, read_zarr, container=True, folder=True)
NETCDF = Reader("NetCDF", (".nc", ".nc4", ".netcdf"), scan_netcdf, read_netcdf, container=True)
