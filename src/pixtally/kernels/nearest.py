"""The exact Euclidean feature transform: for every hole pixel, the valid pixel nearest to it.

Two passes. Down and up the columns, every pixel learns the row of the nearest valid pixel in
its own column. Along each row, every run of holes takes the lower envelope of the parabolas
``(x - column)**2 + vertical**2``. A run is bounded by valid pixels (height zero) or by the
image, so columns beyond them never matter and the work is linear in the number of holes.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

NO_ROW = -(2**28)  # "no valid pixel in this column": farther away than any image is tall
SHORT = 16  # runs below this length are searched, longer ones go through the envelope
FAR = 2**26  # vertical distances beyond this come from NO_ROW


@numba.njit(nogil=True, cache=True)
def _nearest_rows(invalid, rows):
    """Write the row of the nearest valid pixel in the same column; return the hole count."""
    height, width = invalid.shape
    holes = 0
    for x in range(width):
        rows[0, x] = NO_ROW if invalid[0, x] else 0
        holes += invalid[0, x]
    for y in range(1, height):
        for x in range(width):
            rows[y, x] = rows[y - 1, x] if invalid[y, x] else y
            holes += invalid[y, x]
    for y in range(height - 2, -1, -1):
        for x in range(width):
            below = rows[y + 1, x]
            # A valid pixel has distance 0 already and never takes the row below.
            rows[y, x] = below if abs(below - y) < abs(rows[y, x] - y) else rows[y, x]
    return holes


@numba.njit(nogil=True, cache=True)
def _push_column(column, height, columns, heights, borders, top):
    """Add one parabola to the envelope of a run; return the new top of the stack."""
    while top >= 0:
        old = columns[top]
        # Where the new parabola becomes the lower one. All terms are whole numbers below
        # 2**53 and the quotient is below 2**16, so the floor of the float is exact.
        lift = float(column * column + height) - float(old * old + heights[top])
        border = np.floor(lift / (2.0 * (column - old)))
        if border >= borders[top]:
            top += 1
            columns[top], heights[top], borders[top] = column, height, border
            return top
        top -= 1
    columns[0], heights[0], borders[0] = column, height, -np.inf
    return 0


@numba.njit(nogil=True, cache=True)
def _envelope(y, start, stop, rows, columns, heights, borders):
    """Build the lower envelope of the columns that can serve the holes ``start <= x < stop``."""
    width = rows.shape[1]
    top = -1
    for x in range(max(start - 1, 0), min(stop + 1, width)):
        vertical = np.int64(abs(rows[y, x] - y))
        if vertical < FAR:
            top = _push_column(np.int64(x), vertical * vertical, columns, heights, borders, top)
    return top


@numba.njit(nogil=True, cache=True)
def _search_outward(y, hole, start, stop, rows):
    """Find the best column for one hole of a short run: no divisions, few steps."""
    width = rows.shape[1]
    vertical = np.int64(abs(rows[y, hole] - y))
    best, squared = hole, vertical * vertical
    step = 1
    while step * step < squared and step < SHORT:
        for column in (hole - step, hole + step):
            if max(start - 1, 0) <= column <= min(stop, width - 1):
                vertical = np.int64(abs(rows[y, column] - y))
                candidate = vertical * vertical + step * step
                if candidate < squared:
                    best, squared = column, candidate
        step += 1
    return best, squared


@numba.njit(nogil=True, cache=True)
def _row_runs(invalid, rows, holes, sources, squared):
    """Fill the three flat tables run by run, in the order of the pixels."""
    height, width = invalid.shape
    columns = np.empty(width + 2, np.int64)
    heights = np.empty(width + 2, np.int64)
    borders = np.empty(width + 2, np.float64)
    n = 0
    for y in range(height):
        x = 0
        while x < width:
            if not invalid[y, x]:
                x += 1
                continue
            start = x
            while x < width and invalid[y, x]:
                x += 1
            short = x - start < SHORT
            top = 0 if short else _envelope(y, start, x, rows, columns, heights, borders)
            k = 0
            for hole in range(start, x):
                if short:
                    column, distance = _search_outward(y, hole, start, x, rows)
                else:
                    while k < top and borders[k + 1] < hole:
                        k += 1
                    column = columns[k]
                    distance = (hole - column) ** 2 + heights[k]
                holes[n] = y * width + hole
                sources[n] = np.int64(rows[y, column]) * width + column
                squared[n] = distance
                n += 1


def nearest_sources(
    invalid: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find the nearest valid pixel of every hole.

    Parameters
    ----------
    invalid : ndarray of bool, shape (y, x)
        True where a pixel is a hole.

    Returns
    -------
    holes, sources, squared : ndarray of int64, shape (n,)
        Flat indices of the holes in pixel order, flat index of the valid pixel nearest to each,
        and the squared distance between the two in pixels. Empty where no pixel is valid.

    Notes
    -----
    Equal to ``scipy.ndimage.distance_transform_edt(invalid, return_indices=True)`` up to the
    choice among valid pixels that are equally near.

    References
    ----------
    A. Meijster, J. Roerdink, W. Hesselink, "A general algorithm for computing distance
    transforms in linear time", 2000.

    Examples
    --------
    >>> import numpy as np
    >>> holes, sources, squared = nearest_sources(np.array([[False, True, True]]))
    >>> holes.tolist(), sources.tolist(), squared.tolist()
    ([1, 2], [0, 0], [1, 4])
    """
    invalid = np.ascontiguousarray(invalid)
    rows = np.empty(invalid.shape, np.int32)
    count = _nearest_rows(invalid, rows) if invalid.size else 0
    if count == invalid.size:
        count = 0
    holes, sources, squared = (np.empty(count, np.int64) for _ in range(3))
    if count:
        _row_runs(invalid, rows, holes, sources, squared)
    return holes, sources, squared
