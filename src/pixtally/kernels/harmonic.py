"""Membrane through the holes: the discrete Laplace equation with the valid pixels fixed.

Every hole pixel becomes the mean of its four neighbours (of those that exist, at the image's
border). Holes with no hole beside them are that mean at once. The others form one sparse
system, solved by conjugate gradients with a multigrid V-cycle as preconditioner. The coarse
grids join 2×2 pixels; summing the edges between two such groups keeps the four-neighbour shape
at every level, whatever the outline of the holes.

All levels lie one after the other in flat arrays, and neighbours are indices into them: row
``k`` of ``neighbours`` and ``weights`` holds the edges left, right, up and down. Unknowns count
from 1; an absent edge has weight 0 and points at number 0, whose value is always 0. So the finest
level, where all other weights are 1, needs none: there ``weights`` is None.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

TOLERANCE = 9e-7  # of the range of the valid values around the holes; the promise is 1e-6
SMALLEST = 24  # unknowns; a level this small is smoothed instead of coarsened
MAX_LEVELS = 14
GAIN = 1.7  # groups move in steps instead of slopes, so their grid is up to twice too stiff
MARKED = -2
LOOSE = 0.5  # mean share of the diagonal tied to other unknowns below which smoothing suffices
MAX_ROUNDS = 500
SUMS = {"reassoc", "nsz", "contract"}  # sums in any order; NaN and infinity keep their meaning


@numba.njit(nogil=True, cache=True)
def _look_around(values, invalid, y, x):
    """Count the existing and the hole neighbours of a pixel and sum the valid ones."""
    height, width = invalid.shape
    degree, joined, total = 0, 0, 0.0
    for step in range(4):
        yy = y + (step == 3) - (step == 2)
        xx = x + (step == 1) - (step == 0)
        if 0 <= yy < height and 0 <= xx < width:
            degree += 1
            if invalid[yy, xx]:
                joined += 1
            else:
                total += values[yy, xx]
    return degree, joined, total


@numba.njit(nogil=True, cache=True)
def _link(k, other, step, neighbours, weights):
    """Join pixel ``k`` and the earlier pixel to its left (step 0) or above it (step 2)."""
    neighbours[k, step], weights[k, step] = other, 1.0
    neighbours[other, step + 1], weights[other, step + 1] = k, 1.0


@numba.njit(nogil=True, cache=True)
def _assemble(values, invalid, index, places, found, members, level):
    """List the holes, solve the single ones, link the others; return their number and range."""
    neighbours, weights, diagonal, rhs, ys, xs = level
    low, high = np.inf, -np.inf
    holes, n = 0, 1
    for y in range(invalid.shape[0]):
        for x in range(invalid.shape[1]):
            if not invalid[y, x]:
                continue
            degree, joined, total = _look_around(values, invalid, y, x)
            places[holes] = y * invalid.shape[1] + x
            found[holes] = total / degree
            if joined:
                members[n], ys[n], xs[n] = holes, y, x
                diagonal[n], rhs[n], index[y, x] = degree, total, n
                for step in range(4):
                    neighbours[n, step], weights[n, step] = 0, 0.0
                if x and invalid[y, x - 1]:
                    _link(n, index[y, x - 1], 0, neighbours, weights)
                if y and invalid[y - 1, x]:
                    _link(n, index[y - 1, x], 2, neighbours, weights)
                if joined < degree:
                    mean = total / (degree - joined)
                    low, high = min(low, mean), max(high, mean)
                n += 1
            holes += 1
    return n - 1, low, high


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
    """Give the 2×2 groups of a level, row by row, the next free numbers; return their end.

    ``index`` serves again as the map from place to number: the levels are listed by now.
    """
    index[: shape[0], : shape[1]] = 0
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
            neighbours[k, step], weights[k, step] = 0, 0.0
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
    starts[0], starts[1] = 1, n + 1
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
        left, above = x[neighbours[k, 0]], x[neighbours[k, 2]]
        if weights is not None:
            left *= weights[k, 0]
            above *= weights[k, 2]
        # The left neighbour is the newest value: it comes last, so that little waits for it.
        x[k] = (b[k] + above) * inverse[k] + inverse[k] * left


@numba.njit(nogil=True, cache=True)
def _restrict(start, stop, neighbours, weights, x, parents, b):
    """Sum the residual after `_sweep_down` into the groups: only later pixels still pull."""
    for k in range(start, stop):
        right, below = x[neighbours[k, 1]], x[neighbours[k, 3]]
        if weights is not None:
            right *= weights[k, 1]
            below *= weights[k, 3]
        b[parents[k]] += right + below


@numba.njit(nogil=True, cache=True)
def _sweep_up(start, stop, neighbours, weights, inverse, b, x):
    """Backward Gauss–Seidel: the mirror image of `_sweep_down`, so the cycle is symmetric."""
    for k in range(stop - 1, start - 1, -1):
        left, right = x[neighbours[k, 0]], x[neighbours[k, 1]]
        above, below = x[neighbours[k, 2]], x[neighbours[k, 3]]
        if weights is not None:
            left *= weights[k, 0]
            right *= weights[k, 1]
            above *= weights[k, 2]
            below *= weights[k, 3]
        x[k] = (b[k] + left + above + below) * inverse[k] + inverse[k] * right


@numba.njit(nogil=True, cache=True, fastmath=SUMS)
def _multiply(n, neighbours, diagonal, x, out):
    """Apply the operator of the finest level to ``x``; return the product of both."""
    product = 0.0
    for k in range(1, n + 1):
        total = x[neighbours[k, 0]] + x[neighbours[k, 1]]
        total += x[neighbours[k, 2]] + x[neighbours[k, 3]]
        out[k] = diagonal[k] * x[k] - total
        product += x[k] * out[k]
    return product


@numba.njit(nogil=True, cache=True, fastmath=SUMS)
def _turn(n, residual, z, direction, previous):
    """Point the search along ``z``, conjugate to the last one; return residual times ``z``."""
    product = 0.0
    for k in range(1, n + 1):
        product += residual[k] * z[k]
    beta = product / previous
    for k in range(1, n + 1):
        direction[k] = z[k] + beta * direction[k]
    return product


@numba.njit(nogil=True, cache=True)
def _advance(n, alpha, direction, step, inverse, x, residual):
    """Take a step; return the largest difference of a pixel from its neighbours' mean."""
    worst = 0.0
    for k in range(1, n + 1):
        x[k] += alpha * direction[k]
        residual[k] -= alpha * step[k]
        worst = max(worst, abs(residual[k]) * inverse[k])
    return worst


@numba.njit(nogil=True, cache=True)
def _v_cycle(levels, starts, neighbours, weights, inverse, parents, b, x):
    """Write to ``x`` the symmetric approximate solution for ``b`` (both hold all levels)."""
    _sweep_down(starts[0], starts[1], neighbours, None, inverse, b, x)
    if levels > 1:
        b[starts[1] : starts[2]] = 0.0
        _restrict(starts[0], starts[1], neighbours, None, x, parents, b)
    for level in range(1, levels):
        start, stop = starts[level], starts[level + 1]
        _sweep_down(start, stop, neighbours, weights, inverse, b, x)
        if level + 1 < levels:
            b[stop : starts[level + 2]] = 0.0
            _restrict(start, stop, neighbours, weights, x, parents, b)
    for level in range(levels - 1, 0, -1):
        start, stop = starts[level], starts[level + 1]
        _sweep_up(start, stop, neighbours, weights, inverse, b, x)
        for k in range(starts[level - 1], start):
            x[k] += GAIN * x[parents[k]]
    _sweep_up(starts[0], starts[1], neighbours, None, inverse, b, x)


@numba.njit(nogil=True, cache=True)
def _solve(n, levels, starts, neighbours, weights, diagonal, parents, rhs, x, tolerance):
    """Conjugate gradients on the finest level; ``rhs`` is consumed; return the rounds."""
    size = starts[levels]
    inverse = np.zeros(size)
    inverse[1:] = 1.0 / diagonal[1:size]
    direction, step, z = np.zeros(n + 1), np.zeros(n + 1), np.zeros(size)
    _multiply(n, neighbours, diagonal, x, step)
    residual = rhs[:size]
    worst = _advance(n, 1.0, direction, step, inverse, x, residual)
    product = 1.0
    rounds = 0
    while worst > tolerance and rounds < MAX_ROUNDS:
        _v_cycle(levels, starts, neighbours, weights, inverse, parents, residual, z)
        product = _turn(n, residual, z, direction, product)
        curvature = _multiply(n, neighbours, diagonal, direction, step)
        worst = _advance(n, product / curvature, direction, step, inverse, x, residual)
        rounds += 1
    return rounds


@numba.njit(nogil=True, cache=True)
def _first_guess(n, neighbours, weights, diagonal, rhs, middle):
    """Carry the valid values right and down: a start close to the answer saves rounds."""
    x = np.zeros(n + 1)
    for k in range(1, n + 1):
        known = diagonal[k] - weights[k, 1] - weights[k, 3]
        early = weights[k, 0] * x[neighbours[k, 0]] + weights[k, 2] * x[neighbours[k, 2]]
        x[k] = (rhs[k] + early) / known if known > 0.0 else middle
    return x


@numba.njit(nogil=True, cache=True)
def _relax(values, invalid, relative, most, places, found):
    """Write place and value of every hole, in pixel order; at most ``most`` touch another."""
    index = np.empty(invalid.shape, np.int32)
    room = 2 * most + 1  # all levels; where groups do not shrink, coarsening stops
    neighbours, weights = np.empty((room, 4), np.uint32), np.empty((room, 4), np.float32)
    diagonal, rhs = np.empty(room), np.empty(room)
    ys, xs, parents = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.uint32)
    members = np.empty(most + 1, np.uint32)
    level = neighbours, weights, diagonal, rhs, ys, xs
    n, low, high = _assemble(values, invalid, index, places, found, members, level)
    if n == 0:
        return 0
    starts = np.zeros(MAX_LEVELS + 1, np.int64)
    levels = _coarsen(n, index, neighbours, weights, diagonal, ys, xs, parents, starts)
    x = _first_guess(n, neighbours, weights, diagonal, rhs, 0.5 * (low + high))
    rounding = 16.0 * 2.2e-16 * max(abs(low), abs(high))
    tolerance = max(relative * (high - low), rounding)
    rounds = _solve(n, levels, starts, neighbours, weights, diagonal, parents, rhs, x, tolerance)
    for k in range(1, n + 1):
        found[members[k]] = x[k]
    return rounds


def harmonic_values(
    values: npt.NDArray[np.float64], invalid: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Solve the discrete Laplace equation in the holes of an image.

    Parameters
    ----------
    values : ndarray of float64, shape (y, x)
        Finite where valid; at least one pixel is valid.
    invalid : ndarray of bool, shape (y, x)
        True where a pixel is a hole.

    Returns
    -------
    places : ndarray of int64, shape (n,)
        Flat indices of the holes, in pixel order.
    found : ndarray of float64, shape (n,)
        Their values.

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
    >>> harmonic_values(values, np.isnan(values))[1].round(5).tolist()
    [2.0, 3.0]
    """
    count = int(np.count_nonzero(invalid))
    places, found = np.empty(count, np.int64), np.empty(count)
    values, invalid = np.ascontiguousarray(values), np.ascontiguousarray(invalid)
    # Every pair of holes side by side joins at most two: a bound on the unknowns, cheaply had.
    beside = np.count_nonzero(invalid[:, 1:] & invalid[:, :-1])
    above = np.count_nonzero(invalid[1:] & invalid[:-1])
    _relax(values, invalid, TOLERANCE, min(count, 2 * (beside + above)), places, found)
    return places, found
