"""Membrane through the holes: the discrete Laplace equation with the valid pixels fixed.

Every hole pixel becomes the mean of its four neighbours (of those that exist, at the image's
border). Holes with no hole beside them are that mean at once. The others form one sparse
system, solved by conjugate gradients with a multigrid V-cycle as preconditioner. The coarse
grids join 2×2 pixels; summing the edges between two such groups keeps the four-neighbour shape
at every level, whatever the outline of the holes.

All levels lie one after the other in flat arrays, and neighbours are indices into them: row
``k`` of ``neighbours`` and ``weights`` holds the edges left, right, up and down; an absent edge
has weight 0 and points at the pixel itself.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

TOLERANCE = 5e-7  # of the range of the valid values around the holes; the promise is 1e-6
SMALLEST = 24  # unknowns; a level this small is smoothed instead of coarsened
MAX_LEVELS = 14
GAIN = 1.7  # groups move in steps instead of slopes, so their grid is up to twice too stiff
MARKED = -2
LOOSE = 0.5  # mean share of the diagonal tied to other unknowns below which smoothing suffices
MAX_ITERATIONS = 500


@numba.njit(nogil=True, cache=True)
def _valid_mean(values, invalid, y, x):
    """Count the neighbours, the hole neighbours and sum the valid ones."""
    height, width = invalid.shape
    degree, open_ends, total = 0, 0, 0.0
    for step in range(4):
        yy = y + (step == 3) - (step == 2)
        xx = x + (step == 1) - (step == 0)
        if 0 <= yy < height and 0 <= xx < width:
            degree += 1
            if invalid[yy, xx]:
                open_ends += 1
            else:
                total += values[yy, xx]
    return degree, open_ends, total


@numba.njit(nogil=True, cache=True)
def _fill_singles(values, invalid, index):
    """Solve the holes that touch no other, number the rest in ``index``; return their count."""
    height, width = invalid.shape
    n = 0
    for y in range(height):
        for x in range(width):
            index[y, x] = -1
            if invalid[y, x]:
                degree, open_ends, total = _valid_mean(values, invalid, y, x)
                if open_ends:
                    index[y, x] = n
                    n += 1
                else:
                    values[y, x] = total / degree
    return n


@numba.njit(nogil=True, cache=True)
def _assemble(values, invalid, index, neighbours, weights, diagonal, rhs, ys, xs):
    """Write the finest level; return the smallest and largest valid value beside a hole."""
    height, width = invalid.shape
    low, high = np.inf, -np.inf
    for y in range(height):
        for x in range(width):
            k = index[y, x]
            if k < 0:
                continue
            ys[k], xs[k] = y, x
            degree, total = 0.0, 0.0
            for step in range(4):
                yy = y + (step == 3) - (step == 2)
                xx = x + (step == 1) - (step == 0)
                neighbours[k, step], weights[k, step] = k, 0.0
                if 0 <= yy < height and 0 <= xx < width:
                    degree += 1.0
                    if index[yy, xx] >= 0:
                        neighbours[k, step], weights[k, step] = index[yy, xx], 1.0
                    else:
                        value = values[yy, xx]
                        total += value
                        low, high = min(low, value), max(high, value)
            diagonal[k], rhs[k] = degree, total
    return low, high


@numba.njit(nogil=True, cache=True)
def _tie(weights, diagonal, start, stop):
    """Mean share of the diagonal that is tied to other unknowns."""
    share = 0.0
    for k in range(start, stop):
        edges = weights[k, 0] + weights[k, 1] + weights[k, 2] + weights[k, 3]
        share += edges / diagonal[k]
    return share / max(stop - start, 1)


@numba.njit(nogil=True, cache=True)
def _join_pixels(start, stop, shape, index, ys, xs, parents):
    """Number the 2×2 groups of a level, row by row, after its own unknowns; return the end.

    ``index`` serves again as the map from place to number: the levels are listed by now.
    """
    for k in range(start, stop):
        index[ys[k] // 2, xs[k] // 2] = MARKED
    n = stop
    for y in range(shape[0]):
        for x in range(shape[1]):
            if index[y, x] == MARKED:
                index[y, x], ys[n], xs[n] = n, y, x
                n += 1
    for k in range(start, stop):
        parents[k] = index[ys[k] // 2, xs[k] // 2]
    return n


@numba.njit(nogil=True, cache=True)
def _sum_edges(start, stop, end, neighbours, weights, diagonal, parents):
    """Add up the edges of a level into those of its groups ``stop <= k < end``."""
    for k in range(stop, end):
        diagonal[k] = 0.0
        for step in range(4):
            neighbours[k, step], weights[k, step] = k, 0.0
    for k in range(start, stop):
        group = parents[k]
        diagonal[group] += diagonal[k]
        for step in range(4):
            weight = weights[k, step]
            if weight != 0.0:
                other = parents[neighbours[k, step]]
                if other == group:
                    diagonal[group] -= weight
                else:
                    neighbours[group, step] = other
                    weights[group, step] += weight


@numba.njit(nogil=True, cache=True)
def _coarsen(n, index, neighbours, weights, diagonal, ys, xs, parents, starts):
    """Build the coarse levels after the first; return how many levels there are."""
    starts[0], starts[1] = 0, n
    height, width = index.shape
    levels = 1
    while levels < MAX_LEVELS:
        start, stop = starts[levels - 1], starts[levels]
        no_room = stop + (stop - start) > len(parents)
        if no_room or stop - start <= SMALLEST or _tie(weights, diagonal, start, stop) < LOOSE:
            break
        height, width = (height + 1) // 2, (width + 1) // 2
        end = _join_pixels(start, stop, (height, width), index, ys, xs, parents)
        _sum_edges(start, stop, end, neighbours, weights, diagonal, parents)
        levels += 1
        starts[levels] = end
    return levels


@numba.njit(nogil=True, cache=True)
def _sweep_down(start, stop, neighbours, weights, inverse, b, x):
    """Forward Gauss–Seidel from x = 0: what comes later (right, down) is still zero."""
    for k in range(start, stop):
        above = weights[k, 2] * x[neighbours[k, 2]]
        # The left neighbour is the newest value: it comes last, so that little waits for it.
        x[k] = (b[k] + above) * inverse[k] + (weights[k, 0] * inverse[k]) * x[neighbours[k, 0]]


@numba.njit(nogil=True, cache=True)
def _restrict(start, stop, neighbours, weights, x, parents, b):
    """Sum the residual after `_sweep_down` into the groups: only later pixels still pull."""
    for k in range(start, stop):
        late = weights[k, 1] * x[neighbours[k, 1]] + weights[k, 3] * x[neighbours[k, 3]]
        b[parents[k]] += late


@numba.njit(nogil=True, cache=True)
def _sweep_up(start, stop, neighbours, weights, inverse, b, x):
    """Backward Gauss–Seidel: the mirror image of `_sweep_down`, so the cycle is symmetric."""
    for k in range(stop - 1, start - 1, -1):
        known = weights[k, 0] * x[neighbours[k, 0]] + weights[k, 2] * x[neighbours[k, 2]]
        below = weights[k, 3] * x[neighbours[k, 3]]
        x[k] = (b[k] + known + below) * inverse[k] + (weights[k, 1] * inverse[k]) * x[
            neighbours[k, 1]
        ]


@numba.njit(nogil=True, cache=True)
def _multiply(start, stop, neighbours, weights, diagonal, x, out):
    """Apply the operator of one level."""
    for k in range(start, stop):
        total = weights[k, 0] * x[neighbours[k, 0]] + weights[k, 1] * x[neighbours[k, 1]]
        total += weights[k, 2] * x[neighbours[k, 2]] + weights[k, 3] * x[neighbours[k, 3]]
        out[k] = diagonal[k] * x[k] - total


@numba.njit(nogil=True, cache=True)
def _v_cycle(levels, starts, neighbours, weights, inverse, parents, b, x):
    """Write to ``x`` the symmetric approximate solution for ``b`` (both hold all levels)."""
    for level in range(levels):
        start, stop = starts[level], starts[level + 1]
        _sweep_down(start, stop, neighbours, weights, inverse, b, x)
        if level + 1 < levels:
            b[stop : starts[level + 2]] = 0.0
            _restrict(start, stop, neighbours, weights, x, parents, b)
    for level in range(levels - 1, -1, -1):
        start, stop = starts[level], starts[level + 1]
        if level + 1 < levels:
            for k in range(start, stop):
                x[k] += GAIN * x[parents[k]]
        _sweep_up(start, stop, neighbours, weights, inverse, b, x)


@numba.njit(nogil=True, cache=True)
def _solve(n, levels, starts, neighbours, weights, diagonal, parents, rhs, x, tolerance):
    """Conjugate gradients on the finest level; ``rhs[:n]`` is consumed; return the rounds."""
    size = starts[levels]
    inverse = 1.0 / diagonal[:size]
    direction, step = np.zeros(n), np.zeros(n)
    z = np.zeros(size)
    _multiply(0, n, neighbours, weights, diagonal, x, step)
    residual = rhs[:size]
    for k in range(n):
        residual[k] -= step[k]
    product = 1.0
    for iteration in range(MAX_ITERATIONS):
        worst = 0.0
        for k in range(n):
            worst = max(worst, abs(residual[k]) * inverse[k])
        if worst <= tolerance:
            return iteration
        _v_cycle(levels, starts, neighbours, weights, inverse, parents, residual, z)
        previous, product = product, 0.0
        for k in range(n):
            product += residual[k] * z[k]
        beta = product / previous if iteration else 0.0
        for k in range(n):
            direction[k] = z[k] + beta * direction[k]
        _multiply(0, n, neighbours, weights, diagonal, direction, step)
        curvature = 0.0
        for k in range(n):
            curvature += direction[k] * step[k]
        alpha = product / curvature
        for k in range(n):
            x[k] += alpha * direction[k]
            residual[k] -= alpha * step[k]
    return MAX_ITERATIONS


@numba.njit(nogil=True, cache=True)
def _first_guess(n, neighbours, weights, diagonal, rhs, middle):
    """Carry the valid values right and down: a start close to the answer saves rounds."""
    x = np.zeros(n)  # absent edges read it, times zero
    for k in range(n):
        known = diagonal[k] - weights[k, 1] - weights[k, 3]
        early = weights[k, 0] * x[neighbours[k, 0]] + weights[k, 2] * x[neighbours[k, 2]]
        x[k] = (rhs[k] + early) / known if known > 0.0 else middle
    return x


@numba.njit(nogil=True, cache=True)
def _relax(values, invalid, relative):
    """Solve in place; return the rounds."""
    index = np.empty(invalid.shape, np.int32)
    n = _fill_singles(values, invalid, index)
    if n == 0:
        return 0
    room = 2 * n  # all levels; where groups do not shrink fast enough, coarsening stops
    neighbours, weights = np.empty((room, 4), np.int32), np.empty((room, 4), np.float32)
    diagonal, rhs = np.empty(room), np.empty(room)
    ys, xs, parents = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int32)
    starts = np.zeros(MAX_LEVELS + 1, np.int64)
    low, high = _assemble(values, invalid, index, neighbours, weights, diagonal, rhs, ys, xs)
    levels = _coarsen(n, index, neighbours, weights, diagonal, ys, xs, parents, starts)
    x = _first_guess(n, neighbours, weights, diagonal, rhs, 0.5 * (low + high))
    rounding = 16.0 * 2.2e-16 * max(abs(low), abs(high))
    tolerance = max(relative * (high - low), rounding)
    rounds = _solve(n, levels, starts, neighbours, weights, diagonal, parents, rhs, x, tolerance)
    for k in range(n):
        values[ys[k], xs[k]] = x[k]
    return rounds


def solve_harmonic(values: npt.NDArray[np.float64], invalid: npt.NDArray[np.bool_]) -> int:
    """Replace the holes, in place, by the solution of the discrete Laplace equation.

    Parameters
    ----------
    values : ndarray of float64, shape (y, x)
        Finite where valid; at least one pixel is valid.
    invalid : ndarray of bool, shape (y, x)
        True where a pixel is a hole.

    Returns
    -------
    int
        Rounds of conjugate gradients that were needed.

    Notes
    -----
    No hole differs from the mean of its neighbours by more than 10⁻⁶ of the range of the valid
    pixels beside holes. At the image's border the neighbours are those that exist.

    References
    ----------
    Y. Notay, "An aggregation-based algebraic multigrid method", ETNA 37, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([[1.0, np.nan, np.nan, 4.0]])
    >>> _ = solve_harmonic(values, np.isnan(values))
    >>> values.round(5).tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """
    return int(_relax(values, np.ascontiguousarray(invalid), TOLERANCE))
