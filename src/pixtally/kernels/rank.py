"""Ranks of float samples within their own image, by buckets of equal width.

A sample's rank is the number of samples in lower buckets and of the smaller ones in its own.
Where the samples crowd into few buckets (far outliers, many equal values), the image is
sorted instead, and the buckets only shorten the search.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_CROWDED = 24  # mean number of neighbours a sample is compared with, above which sorting wins


@njit(nogil=True, cache=True)
def _buckets(image, low, high, places, starts):
    # Counting sort, first half; NaN gets the bucket past the last. Returns the comparisons due.
    buckets = starts.size - 2
    scale = buckets / (high - low) if high > low else 0.0
    last = np.float64(buckets - 1)
    starts[:] = 0
    for k in range(image.size):
        value = np.float64(image[k])
        place = (value - low) * scale
        place = place if place > 0.0 else 0.0
        place = place if place < last else last
        places[k] = np.uint32(np.int32(place)) if value == value else np.uint32(buckets)
    for k in range(image.size):
        starts[places[k]] += np.uint32(1)
    due = np.int64(0)
    total = np.int64(0)
    for b in range(starts.size):
        size = np.int64(starts[b])
        if b < buckets:
            due += size * size
        starts[b] = total
        total += size
    return due


@njit(nogil=True, cache=True)
def _rank_in_buckets(image, places, starts, right, members, out):
    for k in range(image.size):
        at = starts[places[k]]
        members[at] = image[k]
        starts[places[k]] = at + np.uint32(1)
    # Every start has moved to the start of the next bucket.
    for k in range(image.size):
        place = places[k]
        first = np.int64(starts[place - np.uint32(1)]) if place else 0
        value = image[k]
        rank = first
        if right:
            for j in range(first, np.int64(starts[place])):
                rank += members[j] <= value
        else:
            for j in range(first, np.int64(starts[place])):
                rank += members[j] < value
        out[k] = rank


@njit(nogil=True, cache=True)
def _rank_by_search(ordered, image, right, starts, out):
    count = ordered.size
    buckets = starts.size - 2
    # The outermost thousandth on each side goes to the end buckets, so that a few far
    # outliers cannot crowd all the others into one bucket.
    trim = count // 1000
    low = np.float64(ordered[trim])
    high = np.float64(ordered[count - 1 - trim])
    scale = buckets / (high - low) if high > low else 0.0
    if not np.isfinite(scale):
        scale = 0.0
    last = np.float64(buckets - 1)
    previous = -1
    for k in range(count):
        place = (np.float64(ordered[k]) - low) * scale
        place = place if place > 0.0 else 0.0
        while previous < np.int64(place if place < last else last):
            previous += 1
            starts[previous] = k
    starts[previous + 1 :] = count
    for k in range(image.size):
        value = image[k]
        place = (np.float64(value) - low) * scale
        place = place if place > 0.0 else 0.0
        bucket = np.uint64(place if place < last else last)
        base = np.int64(starts[bucket])
        size = np.int64(starts[bucket + np.uint64(1)]) - base
        while size > 0:
            half = size // 2
            middle = ordered[np.uint64(base + half)]
            if middle < value or (right and middle == value):
                base += half + 1
                size -= half + 1
            else:
                size = half
        out[k] = base


def float_ranks(image: NDArray[Any], *, right: bool = False) -> tuple[NDArray[np.int64], int]:
    """Rank every sample of one image among its valid samples.

    Parameters
    ----------
    image : ndarray (p,), float32 or float64
        At most 2**31 samples. NaN is invalid and takes no part; its own rank is meaningless.
    right : bool
        Count the samples at or below, in place of those below.

    Returns
    -------
    ranks : ndarray (p,), int64
        ``np.sort(image).searchsorted(image)`` on an image without NaN.
    valid : int
        Number of samples that are not NaN.
    """
    image = np.ascontiguousarray(image)
    ranks = np.empty(image.shape, np.int64)
    starts = np.empty(max(16, image.size) + 2, np.uint32)
    places = np.empty(image.shape, np.uint32)
    low = float(np.fmin.reduce(image, initial=np.inf))
    high = float(np.fmax.reduce(image, initial=-np.inf))
    if math.isfinite(high - low) or low > high:  # an infinite span has no equal buckets
        due = _buckets(image, low, high, places, starts)
        valid = int(starts[-2])
        if due <= _CROWDED * valid:
            _rank_in_buckets(image, places, starts, right, np.empty_like(image), ranks)
            return ranks, valid
    ordered = np.sort(image)
    valid = int(ordered.searchsorted(np.nan))
    _rank_by_search(ordered[:valid], image, right, starts, ranks)
    return ranks, valid
