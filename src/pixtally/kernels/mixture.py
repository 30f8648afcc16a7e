"""The E-step of Gaussian mixtures: what a block of weighted samples adds to the statistics."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixtally.kernels.copying import copy_row
from pixtally.kernels.elementary import exp_negative, log_positive

# A constant trip count spares every inner loop its remainder; the buffers of a block fit in L1/L2.
_BLOCK = 512

Floats = NDArray[np.float64]


def n_moments(n_features: int) -> int:
    """Numbers kept for a component: mass, d first moments, upper triangle of d × d second ones."""
    return 1 + n_features + n_features * (n_features + 1) // 2


def expect(
    samples: NDArray[np.uint8] | Floats,
    counts: Floats,
    means: Floats,
    factors: Floats,
    constants: Floats,
) -> tuple[Floats, float]:
    """Sufficient statistics of a block: add those of all blocks, then take the M-step.

    Parameters
    ----------
    samples : ndarray of uint8 or float64, shape (d, n)
        Finite samples, one feature a row.
    counts : ndarray of float64, shape (n,)
        Weight ≥ 0 of each sample.
    means : ndarray of float64, shape (K, d)
        Present means.
    factors : ndarray of float64, shape (K, d, d)
        Upper triangular; ``factors[k] @ factors[k].T`` is the precision matrix.
    constants : ndarray of float64, shape (K,)
        Log of weight times the density's peak.

    Returns
    -------
    moments : ndarray of float64, shape (K, 1 + d + d(d+1)/2)
        Σ r, Σ r·(x-m) and the upper triangle of Σ r·(x-m)(x-m)ᵀ, row by row, where m is the
        present mean: centred there, they lose nothing to an offset of the data.
    log_likelihood : float
        Σ counts · log p(x) under the present mixture.
    """
    moments = np.zeros((means.shape[0], n_moments(means.shape[1])))
    log_likelihood = accumulate(samples, counts, means, factors, constants, moments)
    return moments, float(log_likelihood)


@njit(nogil=True, cache=True, error_model="numpy")
def accumulate(samples, counts, means, factors, constants, moments):
    """Add the statistics of a block of samples to ``moments``; return its log-likelihood."""
    n_features, n_samples = samples.shape
    n_components = means.shape[0]
    x = np.zeros((n_features, _BLOCK))
    count = np.empty(_BLOCK)
    log_p = np.empty((n_components, _BLOCK))
    share = np.empty((n_components, _BLOCK))
    likelihood = 0.0
    for start in range(0, n_samples, _BLOCK):
        size = min(_BLOCK, n_samples - start)
        _load(samples, counts, start, size, x, count)
        for k in range(n_components):
            if n_features == 3:
                _log_density_rgb(x, means[k], factors[k], constants[k], log_p[k])
            else:
                _log_density(x, means[k], factors[k], constants[k], log_p[k])
        likelihood += _share_out(log_p, count, share)
        for k in range(n_components):
            if n_features == 3:
                _add_moments_rgb(x, means[k], share[k], moments[k])
            else:
                _add_moments(x, means[k], share[k], moments[k])
    return likelihood


@njit(nogil=True, cache=True, error_model="numpy")
def respond(samples, means, factors, constants, shares):
    """Write the responsibilities (K, n) of samples (d, n) into ``shares``."""
    n_features, n_samples = samples.shape
    n_components = means.shape[0]
    x = np.zeros((n_features, _BLOCK))
    count = np.empty(_BLOCK)
    log_p = np.empty((n_components, _BLOCK))
    share = np.empty((n_components, _BLOCK))
    ones = np.ones(n_samples)
    for start in range(0, n_samples, _BLOCK):
        size = min(_BLOCK, n_samples - start)
        _load(samples, ones, start, size, x, count)
        for k in range(n_components):
            _log_density(x, means[k], factors[k], constants[k], log_p[k])
        _share_out(log_p, count, share)
        for k in range(n_components):
            for i in range(size):
                shares[k, start + i] = share[k, i]


@njit(nogil=True, cache=True)
def _load(samples, counts, start, size, x, count):
    """Copy one block as doubles; a short last block ends in samples of count 0."""
    for a in range(x.shape[0]):
        for i in range(size):
            x[a, i] = samples[a, start + i]
    for i in range(size):
        count[i] = counts[start + i]
    for i in range(size, _BLOCK):
        count[i] = 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _log_density(x, mean, factor, constant, out):
    """Log of weight times density of a block under one component, any number of features."""
    y = np.empty(_BLOCK)
    for i in range(_BLOCK):
        out[i] = constant
    for j in range(x.shape[0]):
        for i in range(_BLOCK):
            y[i] = 0.0
        for a in range(j + 1):
            m, f, xa = mean[a], factor[a, j], x[a]
            for i in range(_BLOCK):
                y[i] += (xa[i] - m) * f
        for i in range(_BLOCK):
            out[i] -= 0.5 * y[i] * y[i]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _log_density_rgb(x, mean, factor, constant, out):
    """Do the same for three features, all in registers: twice as fast."""
    x0, x1, x2 = x[0], x[1], x[2]
    m0, m1, m2 = mean[0], mean[1], mean[2]
    f00, f01, f02 = factor[0, 0], factor[0, 1], factor[0, 2]
    f11, f12, f22 = factor[1, 1], factor[1, 2], factor[2, 2]
    for i in range(_BLOCK):
        d0, d1, d2 = x0[i] - m0, x1[i] - m1, x2[i] - m2
        y0 = d0 * f00
        y1 = d0 * f01 + d1 * f11
        y2 = d0 * f02 + d1 * f12 + d2 * f22
        out[i] = constant - 0.5 * (y0 * y0 + y1 * y1 + y2 * y2)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _share_out(log_p, count, share):
    """Turn log densities (K, B) into responsibilities times counts; return Σ count·log Σ p.

    The largest log density is taken out first (log-sum-exp), so that nothing under- or overflows.
    """
    top = np.empty(_BLOCK)
    total = np.empty(_BLOCK)
    copy_row(log_p[0], top)
    total[:] = 0.0
    for k in range(1, log_p.shape[0]):
        row = log_p[k]
        for i in range(_BLOCK):
            top[i] = row[i] if row[i] > top[i] else top[i]
    for k in range(log_p.shape[0]):
        row, out = log_p[k], share[k]
        for i in range(_BLOCK):
            p = exp_negative(row[i] - top[i])
            out[i] = p
            total[i] += p
    likelihood = 0.0
    for i in range(_BLOCK):
        likelihood += count[i] * (top[i] + log_positive(total[i]))
        total[i] = count[i] / total[i]
    for k in range(log_p.shape[0]):
        out = share[k]
        for i in range(_BLOCK):
            out[i] *= total[i]
    return likelihood


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _add_moments(x, mean, share, moments):
    """Add Σ r, Σ r·d and the upper triangle of Σ r·d·dᵀ of a block, any number of features."""
    y = np.empty(_BLOCK)
    mass = 0.0
    for i in range(_BLOCK):
        mass += share[i]
    moments[0] += mass
    at = 1 + x.shape[0]
    for a in range(x.shape[0]):
        m, xa = mean[a], x[a]
        first = 0.0
        for i in range(_BLOCK):
            y[i] = share[i] * (xa[i] - m)
            first += y[i]
        moments[1 + a] += first
        for b in range(a, x.shape[0]):
            m, xb = mean[b], x[b]
            second = 0.0
            for i in range(_BLOCK):
                second += y[i] * (xb[i] - m)
            moments[at] += second
            at += 1


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _add_moments_rgb(x, mean, share, moments):
    """Do the same for three features, all in registers: twice as fast."""
    x0, x1, x2 = x[0], x[1], x[2]
    m0, m1, m2 = mean[0], mean[1], mean[2]
    s = s0 = s1 = s2 = s00 = s01 = s02 = s11 = s12 = s22 = 0.0
    for i in range(_BLOCK):
        r = share[i]
        d0, d1, d2 = x0[i] - m0, x1[i] - m1, x2[i] - m2
        r0, r1, r2 = r * d0, r * d1, r * d2
        s += r
        s0 += r0
        s1 += r1
        s2 += r2
        s00 += r0 * d0
        s01 += r0 * d1
        s02 += r0 * d2
        s11 += r1 * d1
        s12 += r1 * d2
        s22 += r2 * d2
    moments[0] += s
    moments[1] += s0
    moments[2] += s1
    moments[3] += s2
    moments[4] += s00
    moments[5] += s01
    moments[6] += s02
    moments[7] += s11
    moments[8] += s12
    moments[9] += s22
