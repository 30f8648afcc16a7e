"""Filling of invalid pixels: `fill`, lazily over a collection."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Literal, get_args

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.errors import PixtallyError
from pixtally.kernels.fill import (
    far_pixels,
    fill_image,
    median_over_images,
    unusable_pixels,
)
from pixtally.transforms.frames import (
    FRAMES_BYTES,
    as_frames,
    beside_frames,
    fits_dtype,
    on_dask,
    real_samples,
    several,
    whole_frames,
)

Method = Literal["nearest", "linear", "harmonic", "median", "mean", "constant", "temporal_median"]
Where = float | str | NDArray[np.bool_] | xr.DataArray | Callable[[Any], Any]
Block = NDArray[Any]


def fill(
    images: Any,
    where: Where = 0,
    method: Method = "nearest",
    *,
    value: float | None = None,
    max_distance: float | None = None,
    dim: Hashable = "image",
) -> xr.DataArray:
    """Give invalid pixels values: continue their surroundings, or say what is usual there.

    Parameters
    ----------
    images : DataArray or array, shape (image, y, x), (image, channel, y, x) or (y, x)
        Any real dtype (any dtype for ``nearest`` and ``constant``). Every channel of an image is
        filled by itself.
    where : number, "nan", mask or callable
        What is invalid: samples equal to a number; NaN; where a boolean mask is True (its
        dimensions are some of those of the images: one mask for all, or one an image); or what a
        function of a block of samples marks, sample by sample.
    method : str
        ``nearest``: the nearest valid pixel (Euclidean, exact). ``linear``: on the Delaunay
        triangles of the valid pixels, and the nearest beyond their convex hull. ``harmonic``: a
        membrane, every hole the mean of its neighbours to within 10⁻⁶ of the range. ``median``,
        ``mean``: of the image's valid pixels. ``constant``: `value`. ``temporal_median``: of that
        pixel's valid samples over all images.
    value : number, optional
        For ``constant``.
    max_distance : float, optional
        Pixels farther than this from every valid pixel of their image stay invalid.
    dim : hashable
        The dimension of the images.

    Returns
    -------
    DataArray
        On Dask, of the same dtype and dimensions; valid samples are untouched. Integers are
        rounded half to even. The coordinate ``unfilled (image)`` counts, lazily, the pixels that
        are still invalid; an image without any valid pixel stays as it is (but for ``constant``
        and ``temporal_median``) and is counted there in full.

    Raises
    ------
    PixtallyError
        When the mask does not fit the images, or the dtype or an argument not the method.

    Notes
    -----
    A task holds whole frames (up to 64 MiB of them, one at least), so results never depend on
    the chunks and no halo is involved; ``temporal_median`` holds all images of a spatial tile
    of 64 MiB. NaN and infinite samples never serve as a source. Where holes lie inside a square
    of valid pixels, Delaunay's triangles are not unique: one of the possible answers is taken,
    for single pixels the mean of both.

    References
    ----------
    Equal to ``scipy.ndimage.distance_transform_edt`` lookups (``nearest``) and
    ``scipy.interpolate.griddata`` (``linear``).

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> images = np.array([[[0, 7], [9, 9]], [[1, 2], [3, 0]]], "uint8")
    >>> pt.fill(images, where=0, method="median").values.tolist()
    [[[9, 7], [9, 9]], [[1, 2], [3, 2]]]
    """
    images = as_frames(images)
    if isinstance(where, float) and np.isnan(where):
        where = "nan"
    mask = _as_mask(where, images)
    marker = None if mask is not None else where
    _check(images, where, method, value, max_distance, dim)
    frames = whole_frames(images)
    beside = None if mask is None else beside_frames(mask, frames)
    usual, known = None, None
    if method == "temporal_median":
        usual, known = _usual(frames, images, mask, marker, dim)
    options = {"marker": marker, "method": method, "far": max_distance or np.inf}
    empty = np.empty((0,) * frames.ndim, frames.dtype)
    filled = da.map_blocks(
        _fill_block,
        frames.data,
        beside,
        usual,
        known,
        value=value,
        **options,
        dtype=frames.dtype,
        meta=empty,
    )
    counts = da.map_blocks(
        _count_left,
        frames.data,
        beside,
        known,
        **options,
        dtype=np.int64,
        drop_axis=[frames.ndim - 2, frames.ndim - 1],
        meta=np.empty((0,) * (frames.ndim - 2), np.int64),
    )
    left = xr.DataArray(counts, dims=frames.dims[:-2])
    left = left.sum([d for d in left.dims if d != dim]).assign_attrs(
        long_name="pixels that are still invalid"
    )
    result = frames.copy(data=filled).assign_coords(unfilled=left)
    return result.transpose(*images.dims)


def _as_mask(where: Where, images: xr.DataArray) -> xr.DataArray | None:
    """Return a mask with names for its dimensions, or None where `where` is none."""
    if callable(where) or np.ndim(where) == 0:
        return None
    if not isinstance(where, xr.DataArray):
        where = _named(where, images)
    if where.dtype != np.bool_:
        raise PixtallyError(f"where is an array of {where.dtype}; a mask is boolean, True = fill")
    for d, size in where.sizes.items():
        if images.sizes.get(d) != size:
            raise PixtallyError(
                f"where has dimension {d!r} of {size}, the images have {dict(images.sizes)}; a "
                "mask has some of their dimensions, in their sizes"
            )
    return where


def _named(mask: Any, images: xr.DataArray) -> xr.DataArray:
    """Name the dimensions of a plain mask: those of the images, of a frame, or of each image."""
    mask = mask if isinstance(mask, da.Array) else np.asarray(mask)
    without_channel = [d for d in images.dims if d != "channel"]
    for dims in (list(images.dims), without_channel, ["channel", "y", "x"], ["y", "x"]):
        if set(dims) <= set(images.dims) and mask.shape == tuple(images.sizes[d] for d in dims):
            return xr.DataArray(mask, dims=dims)
    raise PixtallyError(
        f"where has shape {mask.shape}; a mask is that of the images {images.shape} or of one "
        f"frame ({images.sizes['y']}, {images.sizes['x']})"
    )


def _check(
    images: xr.DataArray,
    where: Where,
    method: str,
    value: float | None,
    max_distance: float | None,
    dim: Hashable,
) -> None:
    if method not in get_args(Method):
        raise PixtallyError(f"there is no method {method!r}; use {', '.join(get_args(Method))}")
    if isinstance(where, str) and where != "nan":
        raise PixtallyError(
            f"where={where!r} is unknown; use a number, 'nan', a mask or a function"
        )
    if method not in ("nearest", "constant"):
        real_samples(images, f"method={method!r}", "use method='nearest'")
    if (method == "constant") != (value is not None):
        raise PixtallyError(f"method={method!r} with value={value}; value= belongs to 'constant'")
    if value is not None:
        fits_dtype(value, images.dtype, "value")
    if max_distance is not None and not 0 < max_distance < np.inf:
        raise PixtallyError(f"max_distance={max_distance}; it is a positive number of pixels")
    if method == "temporal_median" and dim not in images.dims:
        raise PixtallyError(
            f"temporal_median needs the dimension {dim!r}; the images have {dict(images.sizes)}"
        )


def _usual(
    frames: xr.DataArray,
    images: xr.DataArray,
    mask: xr.DataArray | None,
    marker: Any,
    dim: Hashable,
) -> tuple[da.Array, da.Array]:
    """Return the median over the images and where it is known, beside the frames.

    Tiles of all images are cut from `images` as they are, not from whole frames.
    """
    images = images.transpose(*frames.dims)
    axis = images.get_axis_num(dim)
    data = on_dask(images)
    wanted = {a: -1 if a == axis else "auto" for a in range(images.ndim)}
    tiles = images.copy(data=data.rechunk(wanted, block_size_limit=FRAMES_BYTES))
    beside = None if mask is None else beside_frames(mask, tiles)
    outputs = several(
        _median_block,
        tiles.data,
        beside,
        axis=axis,
        marker=marker,
        dtypes=(images.dtype, np.bool_),
        drop_axis=[axis],
    )
    beside_chunks = {a: c for a, c in enumerate(frames.data.chunks) if a != axis}
    usual, known = (da.expand_dims(a, axis).rechunk(beside_chunks) for a in outputs)
    return usual, known


def _invalid(block: Block, mask: Block | None, marker: Any) -> NDArray[np.bool_]:
    """Return what is to be filled in a block of frames."""
    if mask is not None:
        return np.broadcast_to(mask, block.shape)
    if callable(marker):
        marked = np.asarray(marker(block))
        if marked.dtype != np.bool_ or marked.shape != block.shape:
            raise PixtallyError(
                f"where(block) gave {marked.dtype} of shape {marked.shape}; it returns booleans "
                f"of the block's shape {block.shape}"
            )
        return marked
    if isinstance(marker, str):
        return np.isnan(block) if block.dtype.kind in "fc" else np.zeros(block.shape, np.bool_)
    return np.asarray(block == marker)


def _median_block(
    block: Block, mask: Block | None, *, axis: int, marker: Any
) -> tuple[Block, NDArray[np.bool_]]:
    first = np.moveaxis(block, axis, 0)
    return median_over_images(first, np.moveaxis(_invalid(block, mask, marker), axis, 0))


def _fill_block(
    block: Block,
    mask: Block | None,
    usual: Block | None,
    known: Block | None,
    *,
    marker: Any,
    method: str,
    far: float,
    value: float | None,
) -> Block:
    """Fill every frame of a block of shape (..., y, x)."""
    invalid = _invalid(block, mask, marker)
    if usual is not None or method == "constant":
        wanted = invalid if known is None else invalid & known
        wanted = wanted & ~_far_pixels(block, invalid, far)
        return np.where(wanted, np.asarray(value if usual is None else usual, block.dtype), block)
    filled = np.empty(block.shape, block.dtype)
    for frame in np.ndindex(block.shape[:-2]):
        filled[frame], _ = fill_image(block[frame], invalid[frame], method, far)
    return filled


def _far_pixels(block: Block, invalid: NDArray[np.bool_], far: float) -> NDArray[np.bool_]:
    """Mark the pixels that lie too far from every usable one."""
    beyond = np.zeros(block.shape, np.bool_)
    if far < np.inf:
        for frame in np.ndindex(block.shape[:-2]):
            beyond[frame] = far_pixels(unusable_pixels(block[frame], invalid[frame]), far)
    return beyond


def _count_left(
    block: Block, mask: Block | None, known: Block | None, *, marker: Any, method: str, far: float
) -> NDArray[np.int64]:
    """Count, for every frame, the pixels that `_fill_block` leaves invalid."""
    invalid = _invalid(block, mask, marker)
    stays = _far_pixels(block, invalid, far)
    if known is not None:
        stays |= ~known
    elif method != "constant" and far == np.inf:
        for frame in np.ndindex(block.shape[:-2]):
            stays[frame] = unusable_pixels(block[frame], invalid[frame]).all()
    left: NDArray[np.int64] = np.count_nonzero(invalid & stays, axis=(-2, -1))
    return left
