"""Evenly spaced photon peaks of many pixels at once: offset, gain, noise and rate of each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixtally.kernels.copying import copy_row
from pixtally.kernels.pixel_em import bin_buffers, expect_line, gather_bins

Floats = NDArray[np.float64]

# Gains tried, as multiples of the least one that the moments allow (noise 0): 12 % apart.
_LADDER = 1.01 * 1.12 ** np.arange(24)
_TRIAL_ITERATIONS = 3
_LEAST_NOISE = 1e-3  # of the gain: below, the likelihood of binned samples has no bound


class PixelPeaks(NamedTuple):
    """Photon peaks of n pixels: NaN where a pixel's counts do not hold at least two peaks.

    Attributes
    ----------
    offset : ndarray of float64, shape (n,)
        Where the peak of no photon lies.
    gain : ndarray of float64, shape (n,)
        Distance from peak to peak.
    noise : ndarray of float64, shape (n,)
        Standard deviation of every peak.
    rate : ndarray of float64, shape (n,)
        Mean number of photons in a sample.
    log_likelihood : ndarray of float64, shape (n,)
        Mean log density of the samples, taken at the centres of their bins.
    n_iter : ndarray of int32, shape (n,)
        Iterations of EM; ``max_iter`` where it has not converged.
    """

    offset: Floats
    gain: Floats
    noise: Floats
    rate: Floats
    log_likelihood: Floats
    n_iter: NDArray[np.int32]


def fit_pixel_peaks(
    counts: NDArray[Any],
    centres: Floats,
    widths: Floats,
    n_peaks: int = 16,
    gain_range: tuple[float, float] = (0.0, np.inf),
    tol: float = 1e-8,
    max_iter: int = 500,
) -> PixelPeaks:
    """Fit peaks at ``offset + k·gain`` of equal noise and Poisson heights to every pixel.

    Parameters
    ----------
    counts : ndarray, shape (n, bins)
        Counts of each pixel's bins, of any integer or float type.
    centres : ndarray of float64, shape (bins,)
        Ascending values that stand for the bins.
    widths : ndarray of float64, shape (bins,)
        Widths over which the samples of a bin spread; 0 where the centre is the sample's value.
    n_peaks : int
        Most peaks, the one of no photon included.
    gain_range : tuple of float
        Least and largest gain to look for.
    tol : float
        EM has converged when the mean log-likelihood changes by less.
    max_iter : int
        Most iterations.

    Returns
    -------
    PixelPeaks
        See there.

    Notes
    -----
    The first three moments of a Poisson spectrum (mean o + gλ, variance s² + g²λ, third central
    moment g³λ) leave one unknown, the gain: a ladder of gains is tried from there by a few
    iterations of EM, and the likeliest goes on. The M-step is a straight line of the peaks'
    means over their numbers.
    """
    n = counts.shape[0]
    empty = np.full((5, n), np.nan)
    result = PixelPeaks(empty[0], empty[1], empty[2], empty[3], empty[4], np.zeros(n, np.int32))
    limits = (float(gain_range[0]), float(gain_range[1]))
    _fit_all(
        np.ascontiguousarray(counts),
        centres,
        widths**2 / 12,
        n_peaks,
        limits,
        _LADDER,
        tol,
        max_iter,
        result,
    )
    return result


@njit(nogil=True, cache=True, error_model="numpy")
def _fit_all(counts, centres, within, n_peaks, limits, ladder, tol, max_iter, result):
    """Fit each pixel in turn with one set of buffers."""
    value, count, spread = bin_buffers(counts.shape[1])
    line = np.zeros(4)
    trial = np.zeros(4)
    buffers = (
        np.zeros((3, n_peaks)),
        np.zeros((n_peaks, 3)),
        np.zeros((n_peaks + 2, value.size)),
    )
    for p in range(counts.shape[0]):
        m = gather_bins(counts[p], centres, within, value, count, spread)
        if m < 2:
            continue
        moments = _central_moments(value, count, m)
        likeliest = -np.inf
        for step in ladder:
            if not _line_of_moments(moments, step, limits, trial):
                continue
            likelihood, _ = _em(value, count, m, n_peaks, tol, _TRIAL_ITERATIONS, trial, buffers)
            if likelihood > likeliest:
                likeliest = likelihood
                copy_row(trial, line)
        if likeliest == -np.inf:
            continue
        fit = _em(value, count, m, n_peaks, tol, max_iter, line, buffers)
        if not (line[3] > 0.0 and limits[0] <= line[1] <= limits[1]):
            continue
        result.log_likelihood[p], result.n_iter[p] = fit
        result.offset[p] = line[0]
        result.gain[p] = line[1]
        result.noise[p] = _narrow(line[2], count, spread, m)
        result.rate[p] = line[3]


@njit(nogil=True, cache=True, error_model="numpy")
def _central_moments(value, count, m):
    """Mean, variance and third central moment of the binned samples."""
    total = mean = second = third = 0.0
    for i in range(m):
        total += count[i]
        mean += count[i] * value[i]
    mean /= total
    for i in range(m):
        d = value[i] - mean
        second += count[i] * d * d
        third += count[i] * d * d * d
    return mean, second / total, third / total


@njit(nogil=True, cache=True, error_model="numpy")
def _line_of_moments(moments, step, limits, line):
    """Offset, gain, variance and rate that share the moments; False where there are none."""
    mean, variance, third = moments
    if not (third > 0.0 and variance > 0.0):
        return False
    gain = step * third / variance
    if gain < limits[0] or gain > limits[1]:
        return False
    rate = third / gain**3
    line[0] = mean - gain * rate
    line[1] = gain
    line[2] = variance - gain * gain * rate
    line[3] = rate
    return line[2] > 0.0 and line[2] < gain * gain


@njit(nogil=True, cache=True, error_model="numpy")
def _em(value, count, m, n_peaks, tol, max_iter, line, buffers):
    """Iterate on one pixel; the line left is the one whose log-likelihood is returned."""
    model, moments, work = buffers
    total = 0.0
    for i in range(m):
        total += count[i]
    before = -np.inf
    for iteration in range(max_iter + 1):
        reach = np.ceil((value[m - 1] - line[0]) / line[1]) + 2
        k = int(min(max(reach, 2.0), float(n_peaks)))
        _spread_peaks(line, k, model)
        mean = expect_line(value, count, m, k, model, moments, work) / total
        if abs(mean - before) < tol:
            return mean, iteration
        before = mean
        if iteration < max_iter and not _fit_line(moments, model[1], k, line):
            break
    return before, max_iter


@njit(nogil=True, cache=True, error_model="numpy")
def _spread_peaks(line, k, model):
    """Write the weights (Poisson), means and variances of the first k peaks."""
    offset, gain, variance, rate = line
    weight = np.exp(-rate)
    for n in range(k):
        model[0, n] = weight
        model[1, n] = offset + n * gain
        model[2, n] = variance
        weight *= rate / (n + 1)


@njit(nogil=True, cache=True, error_model="numpy")
def _fit_line(moments, means, k, line):
    """M-step: the line through the peaks' new means, the variance about it, the mean number."""
    mass = photons = squares = value = product = 0.0
    for n in range(k):
        s0, y = moments[n, 0], moments[n, 1] + means[n] * moments[n, 0]
        mass += s0
        photons += n * s0
        squares += n * n * s0
        value += y
        product += n * y
    spread = squares - photons * photons / mass
    if not spread > 0.0:
        return False
    gain = (product - photons * value / mass) / spread
    offset = (value - gain * photons) / mass
    if not gain > 0.0:
        return False
    variance = 0.0
    for n in range(k):
        shift = means[n] - (offset + n * gain)
        variance += moments[n, 2] + 2 * shift * moments[n, 1] + shift * shift * moments[n, 0]
    line[0] = offset
    line[1] = gain
    line[2] = max(variance / mass, (_LEAST_NOISE * gain) ** 2)
    line[3] = photons / mass
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _narrow(variance, count, spread, m):
    """Return the standard deviation without the variance inside the bins (Sheppard)."""
    total = inside = 0.0
    for i in range(m):
        total += count[i]
        inside += count[i] * spread[i]
    inside /= total
    return np.sqrt(max(variance - inside, inside)) if inside > 0.0 else np.sqrt(variance)
