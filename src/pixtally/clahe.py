"""Contrast-limited adaptive histogram equalization of whole collections, as Dask graphs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.errors import PixtallyError
from pixtally.kernels.clahe import (
    Grid,
    blend_tiles,
    clahe_block,
    lay_grid,
    tile_counts,
    tile_tables,
)
from pixtally.operands import ArrayLike
from pixtally.planes import Array, Planes, as_planes, map_parts, map_whole, sum_parts

FLOAT_TOP = 65535
"""Floats are equalized on so many steps between the ends of their range."""


def clahe(
    images: ArrayLike,
    clip_limit: float = 2.0,
    tiles: tuple[int, int] = (8, 8),
    *,
    range: tuple[float, float] | None = None,
    mask: ArrayLike | None = None,
    dim: Hashable = "image",
) -> xr.DataArray:
    """Equalize every image tile by tile with limited contrast, as `cv2.createCLAHE` does.

    On Dask the result is lazy; an image may lie in any number of chunks. NumPy gives NumPy.

    Parameters
    ----------
    images : array-like, shape (image, y, x) or (image, channel, y, x)
        uint8 or uint16, equal to OpenCV to the bit; or floats with `range`. Channels are
        equalized each on its own.
    clip_limit : float
        Height at which a tile's histogram is clipped, in units of the height of a flat one; 0
        clips nothing. scikit-image counts its ``clip_limit`` as a share of the tile's pixels
        instead: ours is theirs times the number of bins.
    tiles : (int, int)
        Tiles down and across (OpenCV's ``tileGridSize`` is across, then down).
    range : (float, float), optional
        For floats: what becomes the lowest and the highest of 65536 levels; values outside are
        clipped to it. The result is in the same units.
    mask : array-like of bool, optional
        True: count the sample in no tile and leave it as it is.
    dim : hashable
        Name of the image dimension.

    Returns
    -------
    DataArray
        Of the images' dtype, dimensions and coordinates. NaN stays NaN.

    Raises
    ------
    PixtallyError
        When the dtype, the tiles or the range do not fit.

    References
    ----------
    K. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV (1994).

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> images = np.arange(256, dtype="uint8").reshape(1, 16, 16)
    >>> pt.clahe(images, clip_limit=2.0, tiles=(2, 2)).shape
    (1, 16, 16)
    """
    planes = as_planes(images, mask, dim)
    kind = planes.samples.dtype
    ends = _check(kind, clip_limit, tiles, range)
    if planes.whole:
        whole = partial(clahe_whole, clip_limit=clip_limit, tiles=tiles, ends=ends)
        return planes.restore(map_whole(planes, whole, kind), "equalized")
    return planes.restore(_in_two_passes(planes, clip_limit, tiles, ends), "equalized")


def _check(
    kind: np.dtype[Any],
    clip_limit: float,
    tiles: Sequence[int],
    range: tuple[float, float] | None,
) -> tuple[float, float] | None:
    if len(tiles) != 2 or any(t < 1 or int(t) != t for t in tiles):
        raise PixtallyError(f"tiles is {tiles}; expected two whole numbers of 1 or more")
    if not clip_limit >= 0:
        raise PixtallyError(f"clip_limit is {clip_limit}; expected 0 (no clipping) or more")
    if kind in (np.uint8, np.uint16):
        if range is not None:
            raise PixtallyError(f"range= is for floats; {kind} images use all their levels")
        return None
    if kind not in (np.float32, np.float64):
        raise PixtallyError(
            f"images is {kind}; clahe takes uint8, uint16, or float32 and float64 with range="
        )
    if range is None:
        raise PixtallyError(f"images is {kind}: declare what they span, such as range=(0, 1)")
    low, high = (float(v) for v in range)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise PixtallyError(f"range is ({low}, {high}); expected two finite numbers, rising")
    return low, high


def _in_two_passes(
    planes: Planes,
    clip_limit: float,
    tiles: tuple[int, int],
    ends: tuple[float, float] | None,
) -> Array:
    samples: da.Array = planes.samples
    grid = lay_grid(samples.shape[-2:], tiles)
    levels = 256 if samples.dtype == np.uint8 else 65536
    length = tiles[0] * tiles[1] * levels
    count = partial(count_part, grid=grid, levels=levels, ends=ends)
    counts = sum_parts(planes, count, length, np.uint32)
    tables = counts.map_blocks(
        _tables_of, grid=grid, levels=levels, clip_limit=clip_limit, dtype=np.uint16
    )
    return map_parts(
        planes, partial(apply_part, grid=grid, ends=ends), samples.dtype, tables=tables
    )


def _leveled(
    block: NDArray[Any], mask: NDArray[np.bool_] | None, ends: tuple[float, float] | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return planes of levels (k, y, x), and which samples count nowhere."""
    planes = block.reshape(-1, *block.shape[-2:])
    gone = None if mask is None else mask.reshape(planes.shape)
    if ends is None:
        return planes, gone
    nan = np.isnan(planes)
    share = (np.where(nan, ends[0], planes).astype(np.float64) - ends[0]) / (ends[1] - ends[0])
    levels = np.rint(np.clip(share, 0, 1) * FLOAT_TOP).astype(np.uint16)
    return levels, nan if gone is None else nan | gone


def _restored(
    made: NDArray[Any],
    block: NDArray[Any],
    gone: NDArray[np.bool_] | None,
    ends: tuple[float, float] | None,
) -> NDArray[Any]:
    """Return new levels in the units of the block; what counts nowhere stays as it was."""
    made = made.reshape(block.shape)
    if ends is not None:
        made = (ends[0] + made * ((ends[1] - ends[0]) / FLOAT_TOP)).astype(block.dtype)
    return made if gone is None else np.where(gone.reshape(block.shape), block, made)


def clahe_whole(
    block: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    *,
    clip_limit: float,
    tiles: tuple[int, int],
    ends: tuple[float, float] | None,
) -> NDArray[Any]:
    """Equalize a block of whole planes."""
    levels, gone = _leveled(block, mask, ends)
    return _restored(clahe_block(levels, clip_limit, tiles, gone), block, gone, ends)


def count_part(
    block: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    *,
    at: tuple[int, int],
    grid: Grid,
    levels: int,
    ends: tuple[float, float] | None,
) -> NDArray[np.uint32]:
    """Return a part's share of the counts of every tile, one plane a row."""
    leveled, gone = _leveled(block, mask, ends)
    return tile_counts(leveled, gone, grid, at, levels).reshape(*block.shape[:-2], -1)


def _tables_of(
    counts: NDArray[np.uint32], *, grid: Grid, levels: int, clip_limit: float
) -> NDArray[Any]:
    return tile_tables(counts.reshape(-1, *grid.tiles, levels), clip_limit).reshape(counts.shape)


def apply_part(
    block: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    *,
    at: tuple[int, int],
    grid: Grid,
    ends: tuple[float, float] | None,
    tables: NDArray[Any],
) -> NDArray[Any]:
    """Blend the tables of the whole plane's tiles over a part of it."""
    leveled, gone = _leveled(block, mask, ends)
    own = tables.reshape(len(leveled), *grid.tiles, -1)
    return _restored(blend_tiles(leveled, own, grid, at), block, gone, ends)
