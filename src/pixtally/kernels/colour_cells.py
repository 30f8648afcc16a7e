"""Distinct colours pooled into cubic cells: the coarse data on which mixtures start."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixtally.kernels.colours import ColourCounts, decode_colours, gather_table


class ColourCells(NamedTuple):
    """Cells of colours: where their pixels lie and how many they are.

    Attributes
    ----------
    codes : ndarray of uint32, shape (cells,)
        Ascending Morton codes without the bits inside a cell.
    centroids : ndarray of float64, shape (d, cells)
        Mean colour of the pixels of each cell.
    counts : ndarray of float64, shape (cells,)
        Pixels in each cell.
    scatter : ndarray of float64, shape (d, d)
        Mean variance of the pixels about the centroid of their cell (diagonal): what pooling
        hides.
    """

    codes: NDArray[np.uint32]
    centroids: NDArray[np.float64]
    counts: NDArray[np.float64]
    scatter: NDArray[np.float64]


def pool_colours(found: ColourCounts, side_bits: int) -> ColourCells:
    """Pool distinct colours into cubic cells of side ``2**side_bits``.

    Parameters
    ----------
    found : ColourCounts
        Distinct colours in Morton order, so that each cell is one run of them.
    side_bits : int
        0 keeps each colour, 4 makes 16 × 16 × 16 cells of RGB.

    Returns
    -------
    ColourCells
        In Morton order.

    Examples
    --------
    >>> import numpy as np
    >>> from pixtally.kernels.colours import count_colours
    >>> found = count_colours(np.array([[0], [2], [2], [9]], np.uint8))
    >>> cells = pool_colours(found, side_bits=2)
    >>> cells.counts.tolist()
    [3.0, 1.0]
    """
    d = found.channels
    halves = gather_table(d, 4)
    cells, totals, first, second = _pool(
        found.codes, found.counts, halves, np.uint32(4 * d), np.uint64(d * side_bits)
    )
    offsets = first[:d] / totals
    corners = decode_colours(_first_codes(cells, d * side_bits), d).astype(np.float64)
    variance = (second[:d] - (offsets**2) @ totals) / totals.sum()
    return ColourCells(cells, corners + offsets, totals, np.diag(variance))


def pool_cells(cells: ColourCells, more_bits: int) -> ColourCells:
    """Pool cells into cells of ``2**more_bits`` times their side."""
    d = cells.centroids.shape[0]
    codes = (cells.codes.astype(np.uint64) >> np.uint64(d * more_bits)).astype(np.uint32)
    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    counts = np.add.reduceat(cells.counts, starts)
    centroids = np.add.reduceat(cells.centroids * cells.counts, starts, axis=1) / counts
    sizes = np.diff(np.append(starts, codes.size))
    apart = cells.centroids - np.repeat(centroids, sizes, axis=1)
    between = np.diag(apart**2 @ cells.counts / counts.sum())
    return ColourCells(codes[starts], centroids, counts, cells.scatter + between)


def cells_by_side(found: ColourCounts) -> NDArray[np.int64]:
    """Return the numbers of cells of side 2**s that hold colours, for s = 0 to 8, shape (9,)."""
    return _count_cells(found.codes, np.uint64(found.channels))


def _first_codes(cells: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    """Give the code of each cell's lowest colour (a shift by all 32 bits is undefined)."""
    return (cells.astype(np.uint64) << np.uint64(bits)).astype(np.uint32)


@njit(nogil=True, cache=True)
def _pool(codes, counts, halves, half, bits):
    """Sum counts, offsets from the cell's corner and their squares over runs of one cell."""
    cells = np.empty(codes.size, np.uint32)
    totals = np.empty(codes.size)
    first = np.empty((4, codes.size))  # four channels always: fixed work vectorises
    second = np.zeros(4)
    q0 = q1 = q2 = q3 = 0.0
    mask = np.uint32((np.uint64(1) << bits) - np.uint64(1))
    half_mask = np.uint32(halves.size - 1)
    n = np.uint64(0)
    i = np.uint64(0)
    size = np.uint64(codes.size)
    while i < size:
        cell = np.uint64(codes[i]) >> bits
        total = s0 = s1 = s2 = s3 = 0.0
        while i < size and np.uint64(codes[i]) >> bits == cell:
            low = codes[i] & mask
            packed = halves[low & half_mask] | (halves[low >> half] << np.uint32(4))
            o0 = float(packed & np.uint32(255))
            o1 = float((packed >> np.uint32(8)) & np.uint32(255))
            o2 = float((packed >> np.uint32(16)) & np.uint32(255))
            o3 = float(packed >> np.uint32(24))
            count = counts[i]
            total += count
            s0 += count * o0
            s1 += count * o1
            s2 += count * o2
            s3 += count * o3
            q0 += count * o0 * o0
            q1 += count * o1 * o1
            q2 += count * o2 * o2
            q3 += count * o3 * o3
            i += np.uint64(1)
        cells[n] = cell
        totals[n] = total
        first[0, n] = s0
        first[1, n] = s1
        first[2, n] = s2
        first[3, n] = s3
        n += np.uint64(1)
    second[0] = q0
    second[1] = q1
    second[2] = q2
    second[3] = q3
    return cells[:n].copy(), totals[:n].copy(), first[:, :n].copy(), second


@njit(nogil=True, cache=True)
def _count_cells(codes, channels):
    """Count the changes of cell from colour to colour, for every side."""
    cells = np.ones(9, np.int64) if codes.size else np.zeros(9, np.int64)
    for side in range(9):
        shift = channels * np.uint64(side)
        changes = 0
        for i in range(1, codes.size):
            changes += np.uint64(codes[i] ^ codes[i - 1]) >> shift != 0
        cells[side] += changes
    return cells
