"""Images for functions that need whole frames: named, on Dask, one chunk a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import DTypeLike

from pixtally.errors import PixtallyError

FRAMES_BYTES = 64 * 2**20
"""Frames in one chunk: as many as the source has, but not above this (one frame at least)."""

PLAIN_DIMS = {2: ("y", "x"), 3: ("image", "y", "x"), 4: ("image", "channel", "y", "x")}


def as_frames(images: Any) -> xr.DataArray:
    """Return images as a DataArray with the dimensions ``y`` and ``x``.

    Parameters
    ----------
    images : DataArray or array
        Plain arrays are (y, x), (image, y, x) or (image, channel, y, x).

    Raises
    ------
    PixtallyError
        When the dimensions cannot be told.
    """
    if isinstance(images, xr.Dataset):
        there = ", ".join(map(str, images.data_vars))
        raise PixtallyError(f"images is a Dataset with {there}; pick one: images['name']")
    if not isinstance(images, xr.DataArray):
        plain = images if isinstance(images, da.Array) else np.asarray(images)
        dims = PLAIN_DIMS.get(plain.ndim)
        if dims is None:
            raise PixtallyError(
                f"images has shape {plain.shape}; plain arrays are (y, x), (image, y, x) or "
                "(image, channel, y, x), wrap others in xarray.DataArray with named dimensions"
            )
        images = xr.DataArray(plain, dims=dims, name="images")
    if not {"y", "x"} <= set(images.dims):
        found = ", ".join(map(str, images.dims))
        raise PixtallyError(
            f"images has the dimensions {found}; name those of a frame y and x: "
            "images.rename(rows='y', columns='x')"
        )
    if 0 in images.shape:
        raise PixtallyError(f"images has shape {images.shape}: there is nothing in it")
    named: xr.DataArray = images
    return named


def beside_frames(values: xr.DataArray, frames: xr.DataArray) -> da.Array:
    """Give a mask the dimensions of the frames (1 where it has none) and their chunks."""
    missing = [d for d in frames.dims if d not in values.dims]
    full = values.drop_vars(list(values.coords)).expand_dims(missing).transpose(*frames.dims)
    data = full.data if isinstance(full.data, da.Array) else da.from_array(full.values, chunks=-1)
    wanted = {
        axis: frames.chunks[axis]
        for axis, d in enumerate(frames.dims)
        if full.sizes[d] > 1 and frames.chunks
    }
    return data.rechunk(wanted)


def whole_frames(images: xr.DataArray) -> xr.DataArray:
    """Put ``y`` and ``x`` last and every frame into one chunk, lazily.

    A chunk keeps the frames it has where they fit into `FRAMES_BYTES`; so what a task holds is
    known before it runs, and results do not depend on how the images were cut.
    """
    moved = images.transpose(..., "y", "x")
    data = on_dask(moved)
    frame = moved.sizes["y"] * moved.sizes["x"] * moved.dtype.itemsize
    room = max(1, FRAMES_BYTES // frame)
    chunks: dict[int, int] = {data.ndim - 2: -1, data.ndim - 1: -1}
    for axis in reversed(range(data.ndim - 2)):
        size = max(data.chunks[axis])
        if size > room:
            chunks[axis] = room
        room = max(1, room // min(size, room))
    return moved.copy(data=data.rechunk(chunks))


def on_dask(images: xr.DataArray) -> da.Array:
    """Return the samples on Dask; NumPy becomes chunks of a size that suits Dask.

    ``DataArray.chunk`` would put the labels on Dask, too.
    """
    if isinstance(images.data, da.Array):
        return images.data
    return da.from_array(np.asarray(images.data), chunks="auto")


def several(
    function: Callable[..., tuple[Any, ...]],
    *arrays: Any,
    dtypes: Sequence[DTypeLike],
    drop_axis: Sequence[int] = (),
    **options: Any,
) -> list[da.Array]:
    """Map a function that returns several arrays over chunks: one lazy array for each.

    A chunk of the array in between is the tuple itself; Dask hands it on untouched.
    """
    packed = da.map_blocks(
        function, *arrays, **options, dtype=object, drop_axis=list(drop_axis), meta=_empty(0)
    )
    return [
        da.map_blocks(_pick, packed, which=which, dtype=dtype, meta=_empty(packed.ndim, dtype))
        for which, dtype in enumerate(dtypes)
    ]


def _pick(outputs: tuple[Any, ...], which: int) -> Any:
    return outputs[which]


def _empty(ndim: int, dtype: DTypeLike = object) -> Any:
    return np.empty((0,) * ndim, dtype)


def real_samples(images: xr.DataArray, what: str, instead: str) -> None:
    """Refuse samples that are no real numbers.

    Raises
    ------
    PixtallyError
        Saying `what` is impossible and what works `instead`.
    """
    if images.dtype.kind not in "iuf":
        raise PixtallyError(f"{what} needs integers or floats, images is {images.dtype}; {instead}")


def fits_dtype(value: float, dtype: np.dtype[Any], name: str) -> None:
    """Refuse a number that a dtype cannot hold.

    Raises
    ------
    PixtallyError
        When integers would wrap, or drop a fraction or NaN.
    """
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if not (info.min <= value <= info.max and float(value).is_integer()):
            raise PixtallyError(
                f"{name}={value} does not fit {dtype} images; use a whole number from {info.min} "
                f"to {info.max}, or images.astype('float32')"
            )
