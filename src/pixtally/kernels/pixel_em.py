"""The E-step of one pixel's mixture: its bins that are not empty, and what they add up to."""

from __future__ import annotations

import numpy as np
from numba import njit

from pixtally.kernels.elementary import exp_negative, log_positive

# Bins are worked on in runs of constant length, the last one filled up with counts of 0.
LANES = 32


@njit(nogil=True, cache=True)
def bin_buffers(n_bins):
    """Allocate values, counts and inner variances for the bins of one pixel."""
    padded = (n_bins + LANES) // LANES * LANES  # room for at least one more than there are
    return np.zeros(padded), np.zeros(padded), np.zeros(padded)


@njit(nogil=True, cache=True)
def gather_bins(counts, centres, within, value, count, spread):
    """List the bins that are not empty, filled up to whole runs of lanes; return how many."""
    at = np.uint64(0)  # unsigned, so that the index needs no wrap-around test
    for b in range(counts.size):
        value[at] = centres[b]
        count[at] = counts[b]
        spread[at] = within[b]
        at += np.uint64(counts[b] > 0)
    m = np.int64(at)
    for i in range(m, min((m + LANES - 1) // LANES * LANES, value.size)):
        value[i] = value[max(m - 1, 0)]
        count[i] = 0.0
        spread[i] = 0.0
    return m


@njit(nogil=True, cache=True, error_model="numpy")
def expect_line(value, count, m, k, model, moments, work):
    """Statistics Σ r, Σ r·d, Σ r·d² of each component; return the log-likelihood."""
    weights, means, variances = model
    top, total = work[-2], work[-1]
    padded = (m + LANES - 1) // LANES * LANES
    for c in range(k):
        w = weights[c]
        peak = -np.inf if w <= 0.0 else np.log(w) - 0.5 * np.log(2 * np.pi * variances[c])
        _log_density(value, padded, means[c], -0.5 / variances[c], peak, work[c], top, c == 0)
    for c in range(k):
        _exponentiate(work[c], padded, top, total, c == 0)
    likelihood = _divide(count, padded, top, total)
    for c in range(k):
        _add_moments(value, padded, means[c], work[c], total, moments[c])
    return likelihood


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def _log_density(value, padded, mean, scale, peak, row, top, first):
    """Log density of the values under one component, and the largest so far."""
    for i in range(padded):
        d = value[i] - mean
        row[i] = peak + scale * d * d
    if first:
        for i in range(padded):
            top[i] = row[i]
    else:
        for i in range(padded):
            top[i] = row[i] if row[i] > top[i] else top[i]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _exponentiate(row, padded, top, total, first):
    """Density relative to the largest, and the sum so far."""
    if first:
        for i in range(padded):
            total[i] = 0.0
    for i in range(padded):
        row[i] = exp_negative(row[i] - top[i])
        total[i] += row[i]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _divide(count, padded, top, total):
    """Turn the sums into count ÷ sum; return the log-likelihood."""
    likelihood = 0.0
    for i in range(padded):
        likelihood += count[i] * (top[i] + log_positive(total[i]))
        total[i] = count[i] / total[i]
    return likelihood


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def _add_moments(value, padded, mean, row, total, moments):
    """Set the moments of one component about its present mean."""
    s0 = s1 = s2 = 0.0
    for i in range(padded):
        r = row[i] * total[i]
        d = value[i] - mean
        s0 += r
        s1 += r * d
        s2 += r * d * d
    moments[0] = s0
    moments[1] = s1
    moments[2] = s2
