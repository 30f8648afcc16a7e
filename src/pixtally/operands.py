"""What a user passes as images, mask and weights, checked and brought to one form."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from pixtally.blocks import PerImage, Source, Still
from pixtally.errors import PixtallyError
from pixtally.schema import as_text
from pixtally.sizes import MiB

NUMPY_CHUNK = 16 * MiB

ArrayLike: TypeAlias = xr.DataArray | NDArray[Any] | da.Array
Operand: TypeAlias = Source | Still | PerImage


def as_images(images: ArrayLike, dim: Hashable = "image") -> xr.DataArray:
    """Return images as a DataArray with the dimension `dim`; plain arrays get their names."""
    if isinstance(images, xr.Dataset):
        raise PixtallyError(
            f"images is a Dataset with {', '.join(map(str, images.data_vars))}; pick one: "
            "images['name']"
        )
    if not isinstance(images, xr.DataArray):
        names = {2: (dim, "x"), 3: (dim, "y", "x"), 4: (dim, "channel", "y", "x")}
        dims = names.get(np.ndim(images))
        if dims is None:
            raise PixtallyError(
                f"images has shape {np.shape(images)}; plain arrays are (image, y, x) or "
                "(image, channel, y, x), wrap others in xarray.DataArray with named dimensions"
            )
        images = xr.DataArray(images, dims=dims, name="images")
    if dim not in images.dims:
        raise PixtallyError(
            f"images has the dimensions {', '.join(map(str, images.dims))}, none is {dim!r}; "
            "name the one along which images lie with dim="
        )
    if 0 in images.shape:
        raise PixtallyError(f"images has shape {images.shape}: there is nothing to count")
    return images


def image_ids(images: xr.DataArray, dim: Hashable) -> tuple[NDArray[Any], bool]:
    """Return what the images are called, and whether they have names of their own."""
    for name in ("image_id", dim):
        if name in images.coords and images.coords[name].dims == (dim,):
            return as_text(images.coords[name]), True
    return np.arange(images.sizes[dim]).astype(str), False


def dask_samples(images: xr.DataArray, dim: Hashable) -> da.Array:
    """Return the samples on Dask; NumPy is cut into chunks of all images by some pixels."""
    data = images.data
    if isinstance(data, da.Array):
        if any(np.isnan(size) for size in data.shape):
            raise PixtallyError("images has unknown sizes; call compute_chunk_sizes() on its data")
        return data
    data = np.asarray(data)
    wanted = tuple(-1 if d == dim else "auto" for d in images.dims)
    fitting = da.core.normalize_chunks(wanted, data.shape, limit=NUMPY_CHUNK, dtype=data.dtype)
    return da.from_array(data, chunks=fitting)


def beside(
    values: Any, images: xr.DataArray, dim: Hashable, name: str, dtype: DTypeLike
) -> Operand | None:
    """Return a mask or weights as a source, or in the small form that stands for all images."""
    if values is None:
        return None
    named = _named(values, images, dim, name)
    _check_beside(named, images, name)
    if name == "mask" and named.dtype != np.bool_:
        raise PixtallyError(f"mask is {named.dtype}; it is boolean, True leaves the sample out")
    if name == "weights":
        _check_weights(named, dim)
    named = named.drop_vars(list(named.coords)).astype(dtype, copy=False)
    if dim not in named.dims:
        one = images.isel({dim: 0}, drop=True).drop_vars(list(images.coords), errors="ignore")
        return Still(np.asarray(named.broadcast_like(one).transpose(*one.dims).values))
    if name == "weights" and named.dims == (dim,):
        return PerImage(np.asarray(named.values).reshape(-1, *(1,) * (images.ndim - 1)))
    bare = images.drop_vars(list(images.coords))
    if named.dims != bare.dims:
        chunked = named.chunk() if named.chunks is None else named
        named = chunked.broadcast_like(bare).transpose(*bare.dims)
    return Source.of(dask_samples(named, dim), images.get_axis_num(dim))


def _named(values: Any, images: xr.DataArray, dim: Hashable, name: str) -> xr.DataArray:
    """Give a plain array the dimensions of the images, of one image, or of the image axis."""
    if isinstance(values, xr.DataArray):
        return values
    plain = values if isinstance(values, da.Array) else np.asarray(values)
    pixels = images.isel({dim: 0}, drop=True)
    for dims, shape in (
        (images.dims, images.shape),
        (pixels.dims, pixels.shape),
        ((dim,), (images.sizes[dim],)),
    ):
        if plain.shape == shape:
            return xr.DataArray(plain, dims=dims)
    raise PixtallyError(
        f"{name} has shape {plain.shape}; it must be that of the images {images.shape}, of one "
        f"image {pixels.shape}, or one value an image ({images.sizes[dim]},)"
    )


def _check_beside(values: xr.DataArray, images: xr.DataArray, name: str) -> None:
    for d, size in values.sizes.items():
        if images.sizes.get(d) != size:
            raise PixtallyError(
                f"{name} has dimension {d!r} of {size}, the images have "
                f"{dict(images.sizes)}; it must have some of their dimensions, in their sizes"
            )


def _check_weights(weights: xr.DataArray, dim: Hashable) -> None:
    if weights.dtype.kind not in "biuf":
        raise PixtallyError(f"weights is {weights.dtype}; it must hold real numbers")
    if weights.dims == (dim,) and not np.isfinite(weights.values).all():
        raise PixtallyError("weights holds NaN or infinity; give every image a finite weight")


def on_chunks(operand: Operand | None, source: Source) -> Operand | None:
    """Give a mask or weights the chunks of the samples, so that they are computed in step."""
    if isinstance(operand, Source):
        return Source(operand.array.rechunk(source.array.chunks))
    return operand
