"""Contrast-limited adaptive equalization: tile counts, clipped tables and their blending.

Every step works on a part of an image as well, so that an image cut into parts gives the
counts of its tiles by addition and is blended part by part.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Counts = NDArray[np.uint32]


class Grid(NamedTuple):
    """The tiles of an image.

    Attributes
    ----------
    shape : tuple of int
        Height and width of the whole image, in pixels.
    tiles : tuple of int
        Number of tiles (down, across).
    size : tuple of int
        Height and width of a tile, after padding.
    """

    shape: tuple[int, int]
    tiles: tuple[int, int]
    size: tuple[int, int]

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width after padding."""
        return self.tiles[0] * self.size[0], self.tiles[1] * self.size[1]


def lay_grid(shape: tuple[int, int], tiles: tuple[int, int]) -> Grid:
    """Divide an image into tiles as ``cv2.createCLAHE`` does.

    Parameters
    ----------
    shape : tuple of int
        Height and width.
    tiles : tuple of int
        Tiles (down, across). OpenCV's ``tileGridSize`` is (across, down).

    Returns
    -------
    Grid
        Where either side does not divide, both are padded, a dividing one by a whole row of
        pixels a tile.
    """
    if shape[0] % tiles[0] == 0 and shape[1] % tiles[1] == 0:
        padded = shape
    else:
        padded = (
            shape[0] + tiles[0] - shape[0] % tiles[0],
            shape[1] + tiles[1] - shape[1] % tiles[1],
        )
    return Grid(shape, tiles, (padded[0] // tiles[0], padded[1] // tiles[1]))


def reflect_101(length: int, padded: int) -> NDArray[np.int64]:
    """Return the source index of each padded index: ``... c b | a b c d | c b ...``."""
    at = np.arange(padded)
    if length == 1:
        return np.zeros(padded, np.int64)
    folded = at % (2 * length - 2)
    return np.where(folded < length, folded, 2 * length - 2 - folded)


@njit(nogil=True, cache=True)
def _count(images, left_out, tile_rows, tile_columns, counts):
    # tile_rows, tile_columns: (k, 2) pairs of a source index and the tile it counts in.
    masked = left_out.size > 0
    for n in range(images.shape[0]):
        for r in range(tile_rows.shape[0]):
            row = images[n, tile_rows[r, 0]]
            for c in range(tile_columns.shape[0]):
                start, stop, tile = tile_columns[c, 0], tile_columns[c, 1], tile_columns[c, 2]
                target = counts[n, tile_rows[r, 1], tile]
                if masked:
                    gone = left_out[n, tile_rows[r, 0]]
                    for x in range(start, stop):
                        target[row[x]] += np.uint32(not gone[x])
                else:
                    for value in row[start:stop]:
                        target[value] += np.uint32(1)


def _runs(source: NDArray[np.int64], size: int, offset: int, length: int) -> NDArray[np.int64]:
    """Group padded columns into runs (start, stop, tile) of neighbouring source columns."""
    runs: list[list[int]] = []
    for place, column in enumerate(source):
        at = int(column) - offset
        if not 0 <= at < length:
            continue
        tile = place // size
        if runs and runs[-1][2] == tile and runs[-1][1] == at:
            runs[-1][1] = at + 1
        else:
            runs.append([at, at + 1, tile])
    return np.array(runs, np.int64).reshape(-1, 3)


def tile_counts(
    images: NDArray[Any],
    left_out: NDArray[np.bool_] | None,
    grid: Grid,
    offset: tuple[int, int],
    levels: int,
) -> Counts:
    """Count the levels in every tile of each image, or a part's share of them.

    Parameters
    ----------
    images : ndarray (n, height, width), uint8 or uint16
        A part of each image.
    left_out : ndarray (n, height, width), bool, or None
    grid : Grid
        Of the whole image.
    offset : tuple of int
        Row and column of the whole image where the part begins.
    levels : int
        256 or 65536.

    Returns
    -------
    ndarray (n, down, across, levels), uint32
        Counts of parts are added. Reflected padding is counted where its source lies.
    """
    n, height, width = images.shape
    rows = reflect_101(grid.shape[0], grid.padded[0])
    own = np.flatnonzero((rows >= offset[0]) & (rows < offset[0] + height))
    tile_rows = np.stack([rows[own] - offset[0], own // grid.size[0]], axis=1)
    columns = reflect_101(grid.shape[1], grid.padded[1])
    tile_columns = _runs(columns, grid.size[1], offset[1], width)
    counts = np.zeros((n, *grid.tiles, levels), np.uint32)
    gone = np.empty((0, 0, 0), np.bool_) if left_out is None else left_out
    _count(images, gone, tile_rows, tile_columns, counts)
    return counts


@njit(nogil=True, cache=True)
def _clip(counts, limit):
    levels = counts.size
    excess = np.int64(0)
    for k in range(levels):
        over = max(counts[k] - limit, np.int32(0))
        excess += over
        counts[k] -= over
    share = excess // levels
    rest = excess - share * levels
    counts += np.int32(share)
    step = max(levels // max(rest, 1), 1)
    for k in range(rest):
        counts[k * step] += np.int32(1)


@njit(nogil=True, cache=True)
def _tables(counts, clip_limit, out):
    levels = counts.shape[1]
    top = np.float32(levels - 1)
    work = np.empty(levels, np.int32)
    for t in range(counts.shape[0]):
        area = np.int64(0)
        for k in range(levels):
            work[k] = np.int32(counts[t, k])
            area += work[k]
        if area == 0:  # a tile without a valid sample has nothing to say: identity
            for k in range(levels):
                out[t, k] = k
            continue
        if clip_limit > 0.0:
            _clip(work, np.int32(min(max(clip_limit * area / levels, 1.0), 2147483647.0)))
        scale = top / np.float32(area)
        for k in range(1, levels):
            work[k] += work[k - 1]
        for k in range(levels):
            out[t, k] = np.int32(min(np.rint(np.float32(work[k]) * scale), top))


def tile_tables(counts: Counts, clip_limit: float) -> NDArray[Any]:
    """Clip each tile's counts and make its table.

    Parameters
    ----------
    counts : ndarray (n, down, across, levels), uint32
        Of whole images.
    clip_limit : float
        Height above which counts are clipped, in units of a flat histogram's height (OpenCV's
        ``clipLimit``); 0 or less clips nothing.

    Returns
    -------
    ndarray (n, down, across, levels), uint8 or uint16
    """
    levels = counts.shape[-1]
    out = np.empty(counts.shape, np.uint8 if levels == 256 else np.uint16)
    _tables(counts.reshape(-1, levels), float(clip_limit), out.reshape(-1, levels))
    return out


def _between(
    length: int, offset: int, size: int, tiles: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the neighbouring tile centres of each index.

    Returns runs (start, stop, first tile, second tile) of equal neighbours, and the float32
    weight of the second tile at each index.
    """
    at = np.arange(offset, offset + length, dtype=np.float32)
    place = at * (np.float32(1) / np.float32(size)) - np.float32(0.5)
    first = np.floor(place)
    starts = np.flatnonzero(np.diff(first, prepend=np.nan) != 0)
    stops = np.append(starts[1:], length)
    tile = first[starts].astype(np.int64)
    runs = np.stack([starts, stops, np.maximum(tile, 0), np.minimum(tile + 1, tiles - 1)], axis=1)
    return runs, place - first


@njit(nogil=True, cache=True)
def _pack(tables, rows, columns, bits, low, quads):
    # The four tables that meet between tile centres, one word a level: one look-up a sample.
    upper_left = tables[rows[0], columns[0]]
    upper_right = tables[rows[0], columns[1]]
    lower_left = tables[rows[1], columns[0]]
    lower_right = tables[rows[1], columns[1]]
    kind = quads.dtype.type
    for k in range(quads.size):
        word = kind(lower_right[low + k])
        word = (word << kind(bits)) | kind(lower_left[low + k])
        word = (word << kind(bits)) | kind(upper_right[low + k])
        quads[k] = (word << kind(bits)) | kind(upper_left[low + k])


@njit(nogil=True, cache=True)
def _blend_row(source, weights, below, bits, low, quads, words, out):
    one = np.float32(1)
    above = one - below
    kind = quads.dtype.type
    mask = kind((1 << bits) - 1)
    for x in range(source.size):
        words[x] = quads[np.uint64(source[x]) - np.uint64(low)]
    for x in range(source.size):
        word = words[x]
        right = weights[x]
        left = one - right
        upper_left = np.float32(np.int32(word & mask))
        upper_right = np.float32(np.int32((word >> kind(bits)) & mask))
        lower_left = np.float32(np.int32((word >> kind(2 * bits)) & mask))
        lower_right = np.float32(np.int32(word >> kind(3 * bits)))
        upper = upper_left * left + upper_right * right
        lower = lower_left * left + lower_right * right
        out[x] = np.int32(np.rint(upper * above + lower * below))


@njit(nogil=True, cache=True)
def _blend(images, tables, bits, low, quads, bands, row_weights, runs, column_weights, out):
    words = np.empty(images.shape[2], quads.dtype)
    for n in range(images.shape[0]):
        for b in range(bands.shape[0]):
            for r in range(runs.shape[0]):
                start, stop = runs[r, 0], runs[r, 1]
                _pack(tables[n], bands[b, 2:], runs[r, 2:], bits, low, quads)
                for y in range(bands[b, 0], bands[b, 1]):
                    _blend_row(
                        images[n, y, start:stop],
                        column_weights[start:stop],
                        row_weights[y],
                        bits,
                        low,
                        quads,
                        words,
                        out[n, y, start:stop],
                    )


def blend_tiles(
    images: NDArray[Any], tables: NDArray[Any], grid: Grid, offset: tuple[int, int]
) -> NDArray[Any]:
    """Map every sample through the tables of the four nearest tiles, blended bilinearly.

    Parameters
    ----------
    images : ndarray (n, height, width), uint8 or uint16
        A part of each image.
    tables : ndarray (n, down, across, levels)
        Of the whole image.
    grid : Grid
        Of the whole image.
    offset : tuple of int
        Row and column of the whole image where the part begins.

    Returns
    -------
    ndarray (n, height, width)
        Of the tables' dtype, rounded half to even.
    """
    out = np.empty(images.shape, tables.dtype)
    bits = 8 * tables.dtype.itemsize
    low, high = (int(images.min()), int(images.max())) if images.size else (0, 0)
    quads = np.empty(high - low + 1, np.uint32 if bits == 8 else np.uint64)
    bands, row_weights = _between(images.shape[1], offset[0], grid.size[0], grid.tiles[0])
    runs, column_weights = _between(images.shape[2], offset[1], grid.size[1], grid.tiles[1])
    _blend(images, tables, bits, low, quads, bands, row_weights, runs, column_weights, out)
    return out


def clahe_block(
    images: NDArray[Any],
    clip_limit: float,
    tiles: tuple[int, int],
    left_out: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Equalize whole images tile by tile, as ``cv2.createCLAHE(clip_limit, tiles[::-1])`` does.

    Parameters
    ----------
    images : ndarray (n, height, width), uint8 or uint16
    clip_limit : float
    tiles : tuple of int
        Tiles (down, across).
    left_out : ndarray (n, height, width), bool, or None
        Samples that no tile counts.

    Returns
    -------
    ndarray (n, height, width)
        Of the images' dtype.
    """
    out = np.empty(images.shape, images.dtype)
    grid = lay_grid((images.shape[1], images.shape[2]), tiles)
    levels = 1 << (8 * images.dtype.itemsize)
    for i in range(len(images)):
        one = images[i : i + 1]
        gone = None if left_out is None else left_out[i : i + 1]
        tables = tile_tables(tile_counts(one, gone, grid, (0, 0), levels), clip_limit)
        out[i : i + 1] = blend_tiles(one, tables, grid, (0, 0))
    return out
