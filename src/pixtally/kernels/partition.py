"""The best cut of a weighted line into K runs (one-dimensional k-means)."""

from __future__ import annotations

import numpy as np
from numba import njit

MOST_POINTS = 24


@njit(nogil=True, cache=True, error_model="numpy")
def cut_line(values, counts, n_points, n_runs, ends, work):
    """Cut ascending weighted points into runs of least squared distance to the runs' means.

    Parameters
    ----------
    values, counts : ndarray of float64, shape (≥ n_points,)
        Ascending values, and their counts > 0.
    n_points : int
        How many of them, at least ``n_runs``.
    n_runs : int
        K.
    ends : ndarray of int64, shape (K,)
        Written: run k holds the points from ``ends[k-1]`` (0 for the first) to before ``ends[k]``.
    work : tuple
        Buffers from :func:`cut_buffers`.

    Notes
    -----
    Dynamic programming over prefix sums: exact for up to 24 points; more are first pooled into
    as many groups of neighbours, which is near enough for a start.

    References
    ----------
    Wang and Song, "Ckmeans.1d.dp", The R Journal 3(2), 2011.
    """
    mass, first, second, cost, origin, group_end = work
    n_groups = _pool_neighbours(values, counts, n_points, mass, first, second, group_end)
    for j in range(1, n_groups + 1):
        cost[0, j] = _within(mass, first, second, 0, j)
    for k in range(1, n_runs):
        lowest = k
        # The last run needs its cost at the end only.
        for j in range(n_groups if k == n_runs - 1 else k + 1, n_groups + 1):
            lowest, cost[k, j] = _best_origin(mass, first, second, cost[k - 1], lowest, j)
            origin[k, j] = lowest
    j = n_groups
    for k in range(n_runs - 1, -1, -1):
        ends[k] = group_end[j]
        j = origin[k, j]


@njit(nogil=True, cache=True, error_model="numpy")
def _best_origin(mass, first, second, before, lowest, j):
    """Where the last run, up to j, begins at the least total cost; and that cost.

    It never begins before that of a shorter line (``lowest``), and once the run alone costs more
    than the best so far, longer ones do too.
    """
    mass_j, first_j, second_j = mass[j], first[j], second[j]
    least = np.inf
    origin = j - 1
    for i in range(j - 1, lowest - 1, -1):
        s = first_j - first[i]
        run = (second_j - second[i]) - s * s / (mass_j - mass[i])
        if run > least:
            break
        if before[i] + run < least:
            least = before[i] + run
            origin = i
    return origin, least


@njit(nogil=True, cache=True, error_model="numpy")
def _within(mass, first, second, i, j):
    """Squared distance to their mean of the groups from i to before j."""
    s = first[j] - first[i]
    return second[j] - second[i] - s * s / (mass[j] - mass[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _pool_neighbours(values, counts, n_points, mass, first, second, group_end):
    """Prefix sums over groups of neighbouring points; return the number of groups."""
    n_groups = min(n_points, MOST_POINTS)
    middle = values[n_points // 2]
    mass[0] = first[0] = second[0] = 0.0
    group_end[0] = 0
    for g in range(n_groups):
        mass[g + 1], first[g + 1], second[g + 1] = mass[g], first[g], second[g]
        group_end[g + 1] = (g + 1) * n_points // n_groups
        for i in range(group_end[g], group_end[g + 1]):
            x = values[i] - middle
            mass[g + 1] += counts[i]
            first[g + 1] += counts[i] * x
            second[g + 1] += counts[i] * x * x
    return n_groups


@njit(nogil=True, cache=True)
def cut_buffers(n_runs):
    """Allocate the buffers that :func:`cut_line` works in."""
    size = MOST_POINTS + 1
    return (
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty((n_runs, size)),
        np.zeros((n_runs, size), np.int64),
        np.zeros(size, np.int64),
    )
