"""What follows from the counts of each pixel: quantiles, moments, mode, entropy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def quantiles(
    counts: NDArray[Any], q: NDArray[np.float64], edges: NDArray[np.float64], exact: bool
) -> NDArray[np.float64]:
    """Return quantiles of every pixel.

    Parameters
    ----------
    counts : ndarray, shape (..., bins)
        Counts or sums of weights.
    q : ndarray of float64, shape (quantiles,)
        Probabilities in [0, 1].
    edges : ndarray of float64, shape (bins + 1,)
        Of the bins.
    exact : bool
        Bins are single values: return the value itself, as ``numpy.quantile(method=
        "inverted_cdf")``. Otherwise the piecewise-linear CDF is inverted.

    Returns
    -------
    ndarray of float64, shape (..., quantiles)
        NaN in pixels without a count.
    """
    flat = np.ascontiguousarray(counts).reshape(-1, counts.shape[-1])
    found = np.empty((flat.shape[0], q.size))
    order = np.argsort(q)
    _quantiles(flat, q[order], order, edges, exact, found)
    return found.reshape(*counts.shape[:-1], q.size)


@njit(nogil=True, cache=True)
def _quantiles(counts, q, order, edges, exact, found):
    """Go once through the bins of a pixel for all quantiles in rising order."""
    bins = counts.shape[1]
    for p in range(counts.shape[0]):
        row = counts[p]
        total = 0.0
        for b in range(bins):
            total += row[b]
        if total <= 0.0:
            found[p, :] = np.nan
            continue
        b, below = 0, 0.0
        for k in range(q.size):
            # numpy takes the sample of rank ceil(q n), the first for q = 0.
            target = max(np.ceil(q[k] * total), 1.0) if exact else q[k] * total
            while b < bins - 1 and (below + row[b] < target or row[b] == 0):
                below += row[b]
                b += 1
            if exact:
                found[p, order[k]] = edges[b]
            elif row[b] > 0:
                part = min(max((target - below) / row[b], 0.0), 1.0)
                found[p, order[k]] = edges[b] + part * (edges[b + 1] - edges[b])
            else:
                found[p, order[k]] = edges[b]


def moments(
    counts: NDArray[Any], values: NDArray[np.float64], ddof: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance of every pixel.

    Parameters
    ----------
    counts : ndarray, shape (..., bins)
        Counts or sums of weights.
    values : ndarray of float64, shape (bins,)
        What a count in each bin stands for.
    ddof : int
        The variance is divided by ``n - ddof``.

    Returns
    -------
    mean, variance : ndarray of float64, shape (...)
        NaN in pixels without a count (and variance where ``n <= ddof``).
    """
    flat = np.ascontiguousarray(counts).reshape(-1, counts.shape[-1])
    mean = np.empty(flat.shape[0])
    variance = np.empty(flat.shape[0])
    _moments(flat, values, ddof, mean, variance)
    return mean.reshape(counts.shape[:-1]), variance.reshape(counts.shape[:-1])


@njit(nogil=True, cache=True)
def _moments(counts, values, ddof, mean, variance):
    """Two passes over the bins of a pixel: a mean that is exact for integers, then the spread."""
    for p in range(counts.shape[0]):
        row = counts[p]
        total, first = 0.0, 0.0
        for b in range(row.size):
            total += row[b]
            first += row[b] * values[b]
        centre = first / total if total > 0.0 else np.nan
        spread = 0.0
        for b in range(row.size):
            away = values[b] - centre
            spread += row[b] * away * away
        mean[p] = centre
        variance[p] = spread / (total - ddof) if total > ddof else np.nan


def modes(counts: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the value of the fullest bin of every pixel, the lowest of equals; NaN if none."""
    fullest = values.astype(np.float64)[np.argmax(counts, axis=-1)]
    return np.where(counts.any(axis=-1), fullest, np.nan)


def entropies(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the Shannon entropy of every pixel's bins in bits; NaN in pixels without a count.

    Parameters
    ----------
    counts : ndarray, shape (..., bins)
        Counts or sums of weights.
    """
    flat = np.ascontiguousarray(counts).reshape(-1, counts.shape[-1])
    found = np.empty(flat.shape[0])
    _entropies(flat, found)
    return found.reshape(counts.shape[:-1])


@njit(nogil=True, cache=True)
def _entropies(counts, found):
    for p in range(counts.shape[0]):
        row = counts[p]
        total, weighted = 0.0, 0.0
        for b in range(row.size):
            if row[b] > 0:
                total += row[b]
                weighted += row[b] * np.log2(np.float64(row[b]))
        found[p] = np.log2(total) - weighted / total if total > 0.0 else np.nan
