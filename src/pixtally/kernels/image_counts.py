"""Counts of whole images: how often each integer level occurs, and each image's finite span."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True)
def _levels(samples, lanes, counts):
    size = lanes.shape[1]
    for i in range(samples.shape[0]):
        row = samples[i]
        lanes[:] = 0
        whole = row.size // 4 * 4
        for k in range(0, whole, 4):
            lanes[0, row[k]] += np.uint32(1)
            lanes[1, row[k + 1]] += np.uint32(1)
            lanes[2, row[k + 2]] += np.uint32(1)
            lanes[3, row[k + 3]] += np.uint32(1)
        for k in range(whole, row.size):
            lanes[0, row[k]] += np.uint32(1)
        for level in range(size):
            for lane in range(4):
                counts[i, level] += lanes[lane, level]


@njit(nogil=True, cache=True)
def _levels_direct(samples, counts):
    for i in range(samples.shape[0]):
        row = samples[i]
        for k in range(row.size):
            counts[i, row[k]] += 1


@njit(nogil=True, cache=True)
def _levels_kept(samples, left_out, counts):
    for i in range(samples.shape[0]):
        for k in range(samples.shape[1]):
            counts[i, samples[i, k]] += 1 - np.int64(left_out[i, k])


@njit(nogil=True, cache=True)
def _span(samples, out):
    for i in range(samples.shape[0]):
        low = np.inf
        high = -np.inf
        for value in samples[i]:
            if np.isfinite(value):
                low = min(low, np.float64(value))
                high = max(high, np.float64(value))
        out[i, 0] = low
        out[i, 1] = high


@njit(nogil=True, cache=True)
def _ordered_span(bits, out):
    """Find the smallest and largest of floats by their bits, as integers in the same order.

    Compilers make several comparisons of integers at a time, but not of floats, among which there
    may be NaN. A NaN is beyond the infinities in this order.
    """
    kind = bits.dtype.type
    most = kind(np.iinfo(bits.dtype).max)
    shift = 31 if bits.itemsize == 4 else 63
    for i in range(bits.shape[0]):
        row = bits[i]
        low = most
        high = kind(~most)
        for k in range(np.uintp(row.size)):
            key = kind(row[k] ^ ((row[k] >> shift) & most))
            low = key if key < low else low
            high = key if key > high else high
        out[i, 0] = low ^ ((low >> shift) & most)
        out[i, 1] = high ^ ((high >> shift) & most)


def level_counts(samples: NDArray[Any], left_out: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Count how often each level occurs in each image.

    Parameters
    ----------
    samples : ndarray (n, p), uint8 or uint16
        One image a row.
    left_out : ndarray (n, p), bool, or None
        Samples that are not counted.

    Returns
    -------
    ndarray (n, 256 or 65536), int64
        ``numpy.bincount`` of each image. Pages of levels that never occur stay untouched,
        so a narrow span of 16-bit levels costs no more than it holds.
    """
    levels = 1 << (8 * samples.dtype.itemsize)
    counts = np.zeros((samples.shape[0], levels), np.int64)
    rows = np.ascontiguousarray(samples)
    if left_out is not None:
        _levels_kept(rows, np.ascontiguousarray(left_out), counts)
    elif levels == 256:
        _levels(rows, np.empty((4, levels), np.uint32), counts)
    else:
        _levels_direct(rows, counts)
    return counts


def finite_span(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Find the smallest and largest finite sample of each image.

    Parameters
    ----------
    samples : ndarray (n, p), float32 or float64

    Returns
    -------
    ndarray (n, 2), float64
        ``[inf, -inf]`` for an image without a finite sample: the identity of a later
        combination by minimum and maximum.
    """
    ends = np.empty((samples.shape[0], 2), f"i{samples.itemsize}")
    _ordered_span(np.ascontiguousarray(samples).view(ends.dtype), ends)
    out = ends.view(samples.dtype).astype(np.float64)
    doubtful = ~np.isfinite(out).all(axis=1)
    if doubtful.any():
        exact = np.empty((int(doubtful.sum()), 2))
        _span(samples[doubtful], exact)
        out[doubtful] = exact
    return out
