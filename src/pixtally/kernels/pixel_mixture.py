"""One-dimensional Gaussian mixtures of many pixels at once, from the counts of their bins."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixtally.kernels.copying import copy_row
from pixtally.kernels.mixture_step import VANISHED
from pixtally.kernels.partition import cut_buffers, cut_line
from pixtally.kernels.pixel_em import LANES, bin_buffers, expect_line, gather_bins

Floats = NDArray[np.float64]

# Two starts run on pooled bins until the likelihood changes by 20 tol; the better one goes on.
_ROUGH = 20.0
_TAIL = 0.1


class PixelMixtures(NamedTuple):
    """Mixtures of n pixels: NaN where a pixel was never seen.

    Attributes
    ----------
    weights, means, stds : ndarray of float64, shape (n, K)
        Sorted by mean. A pixel with fewer distinct bins than components has as many components
        as bins; the rest, at the end, have weight 0 and mean and standard deviation NaN.
    log_likelihood : ndarray of float64, shape (n,)
        Mean log density of the samples, taken at the centres of their bins.
    n_iter : ndarray of int32, shape (n,)
        Iterations of EM; ``max_iter`` where it has not converged.
    """

    weights: Floats
    means: Floats
    stds: Floats
    log_likelihood: Floats
    n_iter: NDArray[np.int32]


def fit_pixels(
    counts: NDArray[Any],
    centres: Floats,
    widths: Floats,
    n_components: int,
    tol: float = 3e-4,
    max_iter: int = 100,
    reg_covar: float = 1e-6,
) -> PixelMixtures:
    """Fit a mixture to the histogram of every pixel.

    Parameters
    ----------
    counts : ndarray, shape (n, bins)
        Counts of each pixel's bins, of any integer or float type.
    centres : ndarray of float64, shape (bins,)
        Ascending values that stand for the bins.
    widths : ndarray of float64, shape (bins,)
        Widths over which the samples of a bin spread; 0 where the centre is the sample's value.
    n_components : int
        K ≥ 1.
    tol : float
        EM has converged when the mean log-likelihood changes by less.
    max_iter : int
        Most iterations.
    reg_covar : float
        Added to every variance.

    Returns
    -------
    PixelMixtures
        See there.

    Notes
    -----
    Starts from the best cut of the pixel's values into K runs (one-dimensional k-means) and from
    one that cuts off both tails; the likelier after some EM on pooled bins goes on to EM on all
    bins, so there is no chance in it. EM
    sees every sample at its bin's centre, which adds width²/12 to a variance; that is taken off
    at the end (Sheppard), down to the width²/12 of samples that all lie in one bin.
    """
    n = counts.shape[0]
    result = PixelMixtures(
        np.full((n, n_components), np.nan),
        np.full((n, n_components), np.nan),
        np.full((n, n_components), np.nan),
        np.full(n, np.nan),
        np.zeros(n, np.int32),
    )
    _fit_all(
        np.ascontiguousarray(counts), centres, widths**2 / 12, tol, max_iter, reg_covar, result
    )
    return result


@njit(nogil=True, cache=True, error_model="numpy")
def _fit_all(counts, centres, within, tol, max_iter, reg_covar, result):
    """Fit each pixel in turn with one set of buffers."""
    n_pixels, n_bins = counts.shape
    n_components = result.means.shape[1]
    value, count, spread = bin_buffers(n_bins)
    pooled_value, pooled_count, _ = bin_buffers(LANES)
    cuts = cut_buffers(n_components)
    ends = np.zeros(n_components, np.int64)
    model = np.zeros((3, n_components))
    other = np.zeros((3, n_components))
    buffers = np.zeros((n_components, 3)), np.zeros((n_components + 2, value.size))
    for p in range(n_pixels):
        m = gather_bins(counts[p], centres, within, value, count, spread)
        if m == 0:
            continue
        k = min(n_components, m)
        cut_line(value, count, m, k, ends, cuts)
        _start(value, count, ends, reg_covar, k, model)
        if 1 < k < m:
            _cut_tails(count, m, k, ends)
            _start(value, count, ends, reg_covar, k, other)
            rough = _ROUGH * tol
            n, inside = _pool(value, count, m, pooled_value, pooled_count)
            reg = reg_covar + inside
            first, _ = _em(pooled_value, pooled_count, n, k, rough, max_iter, reg, model, buffers)
            second, _ = _em(pooled_value, pooled_count, n, k, rough, max_iter, reg, other, buffers)
            if second > first:
                for r in range(3):
                    copy_row(other[r], model[r])
        fit = _em(value, count, m, k, tol, max_iter, reg_covar, model, buffers)
        result.log_likelihood[p], result.n_iter[p] = fit
        _take_off_width(value, count, spread, m, k, model)
        _sort_into(model, k, result.weights[p], result.means[p], result.stds[p])


@njit(nogil=True, cache=True, error_model="numpy")
def _pool(value, count, m, pooled_value, pooled_count):
    """Pool neighbouring bins into one run of lanes; return how many, and the variance inside."""
    step = (m + LANES - 1) // LANES
    n = 0
    total = inside = 0.0
    for begin in range(0, m, step):
        mass = first = second = 0.0
        origin = value[begin]
        for i in range(begin, min(begin + step, m)):
            x = value[i] - origin
            mass += count[i]
            first += count[i] * x
            second += count[i] * x * x
        pooled_value[n] = origin + first / mass
        pooled_count[n] = mass
        total += mass
        inside += second - first * first / mass
        n += 1
    for i in range(n, LANES):
        pooled_value[i] = pooled_value[n - 1]
        pooled_count[i] = 0.0
    return n, inside / total


@njit(nogil=True, cache=True)
def _cut_tails(count, m, k, ends):
    """Cut off a tenth of the samples at either end and share out what lies between."""
    total = 0.0
    for i in range(m):
        total += count[i]
    passed = 0.0
    at = 0
    for c in range(k - 1):
        goal = _TAIL + (1 - 2 * _TAIL) * c / max(k - 2, 1) if k > 2 else 1 - _TAIL
        while passed <= goal * total:
            passed += count[at]
            at += 1
        least = ends[c - 1] + 1 if c > 0 else 1
        ends[c] = min(max(at, least), m - (k - 1 - c))
    ends[k - 1] = m


@njit(nogil=True, cache=True, error_model="numpy")
def _start(value, count, ends, reg_covar, k, model):
    """Weight, mean and variance of each run of bins."""
    weights, means, variances = model
    total = 0.0
    begin = 0
    for c in range(k):
        mass = first = second = 0.0
        origin = value[begin]
        for i in range(begin, ends[c]):
            x = value[i] - origin
            mass += count[i]
            first += count[i] * x
            second += count[i] * x * x
        weights[c] = mass
        means[c] = origin + first / mass
        variances[c] = max(second / mass - (first / mass) ** 2, 0.0) + reg_covar
        total += mass
        begin = ends[c]
    for c in range(k):
        weights[c] /= total


@njit(nogil=True, cache=True, error_model="numpy")
def _em(value, count, m, k, tol, max_iter, reg_covar, model, buffers):
    """Iterate on one pixel; the model left is the one whose log-likelihood is returned."""
    weights, means, variances = model
    moments, work = buffers
    total = 0.0
    for i in range(m):
        total += count[i]
    before = -np.inf
    for iteration in range(max_iter + 1):
        mean = expect_line(value, count, m, k, model, moments, work) / total
        if abs(mean - before) < tol:
            return mean, iteration
        before = mean
        if iteration == max_iter:
            break
        for c in range(k):
            mass = moments[c, 0]
            if mass <= VANISHED * total:
                weights[c] = 0.0
                continue
            offset = moments[c, 1] / mass
            weights[c] = mass / total
            means[c] += offset
            variances[c] = max(moments[c, 2] / mass - offset * offset, 0.0) + reg_covar
    return before, max_iter


@njit(nogil=True, cache=True, error_model="numpy")
def _take_off_width(value, count, spread, m, k, model):
    """Take the variance inside the bins off each component's variance (Sheppard)."""
    weights, means, variances = model
    widest = 0.0
    for i in range(m):
        widest = max(widest, spread[i])
    if widest == 0.0:
        return
    inside = np.zeros((k, 2))
    for i in range(m):
        for c in range(k):
            if weights[c] > 0.0:
                d = value[i] - means[c]
                density = weights[c] / np.sqrt(variances[c]) * np.exp(-0.5 * d * d / variances[c])
                inside[c, 0] += count[i] * density
                inside[c, 1] += count[i] * density * spread[i]
    for c in range(k):
        if inside[c, 0] > 0.0:
            floor = inside[c, 1] / inside[c, 0]
            variances[c] = max(variances[c] - floor, floor)


@njit(nogil=True, cache=True)
def _sort_into(model, k, weights, means, stds):
    """Write the components sorted by mean; those without samples come last, as NaN."""
    weights[:] = 0.0
    kept = 0
    for c in range(k):
        if model[0, c] <= 0.0:
            continue
        at = kept
        while at > 0 and means[at - 1] > model[1, c]:
            weights[at], means[at], stds[at] = weights[at - 1], means[at - 1], stds[at - 1]
            at -= 1
        weights[at], means[at], stds[at] = model[0, c], model[1, c], np.sqrt(model[2, c])
        kept += 1
    for c in range(kept, means.size):
        means[c] = np.nan
        stds[c] = np.nan
