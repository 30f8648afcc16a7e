"""How clearly the counts of each pixel fall into two groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

LEAST_SHARE = 0.05
"""Part of the samples that the smaller group holds at least: a few outliers are no group."""


def bimodalities(
    counts: NDArray[Any], values: NDArray[np.float64], width: float
) -> NDArray[np.float64]:
    """Return the part of every pixel's variance that the best cut into two groups explains.

    Parameters
    ----------
    counts : ndarray, shape (..., bins)
        Counts or sums of weights.
    values : ndarray of float64, shape (bins,)
        What a count in each bin stands for, rising.
    width : float
        Of a bin. Its square is added to the variance, so that a pixel which only moves between
        two neighbouring bins is not taken for two groups.

    Returns
    -------
    ndarray of float64, shape (...)
        Between 0 and 1: near 0.64 for a Gaussian, 0.75 for an even spread, towards 1 for two
        narrow groups far apart. 0 where no cut leaves 5 % on both sides; NaN without a count.

    References
    ----------
    The criterion of N. Otsu, A threshold selection method from gray-level histograms, 1979.
    """
    flat = np.ascontiguousarray(counts).reshape(-1, counts.shape[-1])
    found = np.empty(flat.shape[0])
    _bimodalities(flat, values, width * width, LEAST_SHARE, found)
    return found.reshape(counts.shape[:-1])


@njit(nogil=True, cache=True)
def _bimodalities(counts, values, least, share, found):
    """One pass for the moments, one over all cuts."""
    origin = values[0]
    for p in range(counts.shape[0]):
        row = counts[p]
        total, first, second = 0.0, 0.0, 0.0
        for b in range(row.size):
            if row[b] > 0:
                away = values[b] - origin
                total += row[b]
                first += row[b] * away
                second += row[b] * away * away
        if total <= 0.0:
            found[p] = np.nan
            continue
        mean = first / total
        spread = max(second / total - mean * mean, 0.0)
        best, below, below_first = 0.0, 0.0, 0.0
        for b in range(row.size):
            if row[b] == 0:
                continue
            below += row[b]
            below_first += row[b] * (values[b] - origin)
            part = below / total
            if part < share:
                continue
            if part > 1.0 - share:
                break
            gap = mean * part - below_first / total
            best = max(best, gap * gap / (part * (1.0 - part)))
        found[p] = min(best / (spread + least), 1.0)
