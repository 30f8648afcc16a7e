"""Counting: a block of samples into the slot counters of each pixel, in caches.

A few hundred pixels are counted at a time in 8-bit counters that stay in the L2 cache. They are
widened to 16 bits before 256 images, and added to the caller's counters once a block, so that the
large array is touched as rarely as possible.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

IMAGES_AT_ONCE = 4
PIXELS_AT_ONCE = 8
IMAGES_A_FLUSH = 252
FLUSHES_A_BLOCK = 256
"""252 images fill no 8-bit counter, 256 such flushes (64,512 images) fill no 16-bit counter."""

CACHED_BYTES = 400_000
"""Room for the 8- and 16-bit counters of one group of pixels: about half of a small L2 cache."""

BYTE_STRIDE = 257
"""Distance of two pixels' 8-bit counters: odd, so that equal values of neighbouring pixels spread
over all sets of the L1 cache, and constant, so that the compiler can fold it into addresses."""

WIDEST_TABLE = 4096
"""Above so many slots a group is too few pixels to be worth its caches."""


def count_block(
    samples: NDArray[Any], table: NDArray[Any] | None, counts: NDArray[Any]
) -> NDArray[Any]:
    """Add the samples of a block of images to the counters of their pixels.

    Parameters
    ----------
    samples : ndarray of uint8, uint16 or uint32, shape (images, pixels)
        Slots, or values that `table` turns into slots. C-contiguous.
    table : ndarray of uint16 or uint32, shape (256,) or (65536,), or None
        Slot of each value.
    counts : ndarray of unsigned integers, shape (pixels, slots)
        Counters, added to in place; they must be wide enough for every image counted.

    Returns
    -------
    ndarray
        `counts`.
    """
    images = samples.shape[0]
    slots = counts.shape[1]
    values = 256 if samples.dtype == np.uint8 else slots
    if values > WIDEST_TABLE or images * 8 < values:
        _count_straight(samples, table, counts)
        return counts
    group = CACHED_BYTES // (3 * values) // PIXELS_AT_ONCE * PIXELS_AT_ONCE
    group = max(min(group, samples.shape[1]), PIXELS_AT_ONCE)
    if samples.dtype == np.uint8:
        _count_bytes(samples, table, counts, group)
    else:
        _count_wide(samples, table, counts, group)
    return counts


@njit(nogil=True, cache=True)
def _count_straight(samples, table, counts):
    """Count into the wide counters themselves: for few images or very many slots."""
    one = counts.dtype.type(1)
    for i in range(samples.shape[0]):
        row = samples[i]
        for p in range(row.size):
            if table is None:
                counts[p, np.uintp(row[p])] += one
            else:
                counts[p, np.uintp(table[np.uintp(row[p])])] += one


@njit(nogil=True, cache=True)
def _count_bytes(samples, table, counts, group):
    """Count the 256 values of 8-bit samples, and turn values into slots only at the end."""
    _count_in_groups(samples, None, table, counts, group, 256, BYTE_STRIDE)


@njit(nogil=True, cache=True)
def _count_wide(samples, table, counts, group):
    """Count samples of 16 bits, one counter a slot."""
    slots = counts.shape[1]
    _count_in_groups(samples, table, None, counts, group, slots, slots | 1)


@njit(nogil=True, cache=True, inline="always")
def _count_in_groups(samples, table, late_table, counts, group, values, stride):
    """Count one group of pixels after the other, each over all images of the block."""
    images, pixels = samples.shape
    narrow = np.zeros(group * stride, np.uint8)
    middle = np.zeros((group, values), np.uint16)
    for left in range(0, pixels, group):
        right = min(left + group, pixels)
        for first in range(0, images, IMAGES_A_FLUSH * FLUSHES_A_BLOCK):
            last = min(first + IMAGES_A_FLUSH * FLUSHES_A_BLOCK, images)
            for begin in range(first, last, IMAGES_A_FLUSH):
                end = min(begin + IMAGES_A_FLUSH, last)
                _count_narrow(samples[begin:end, left:right], table, narrow, stride)
                _widen(narrow, stride, middle, right - left)
            _add_and_clear(middle, late_table, counts[left:right])


@njit(nogil=True, cache=True, inline="always")
def _count_narrow(samples, table, narrow, stride):
    """Count at most 252 images into 8-bit counters, four images in one pass over the pixels.

    Eight neighbours of one image, then of the next: the same counter is touched again only after
    eight others, so that a store is finished before its value is loaded again.
    """
    one = np.uint8(1)
    step = np.uintp(stride)
    images, pixels = samples.shape
    whole_images = images // IMAGES_AT_ONCE * IMAGES_AT_ONCE
    whole_pixels = pixels // PIXELS_AT_ONCE * PIXELS_AT_ONCE
    for i in range(0, whole_images, IMAGES_AT_ONCE):
        rows = samples[i : i + IMAGES_AT_ONCE]
        for q in range(np.uintp(0), np.uintp(whole_pixels), np.uintp(PIXELS_AT_ONCE)):
            for j in range(np.uintp(IMAGES_AT_ONCE)):
                for k in range(np.uintp(PIXELS_AT_ONCE)):
                    p = q + np.uintp(k)
                    value = np.uintp(rows[np.uintp(j), p])
                    if table is not None:
                        value = np.uintp(table[value])
                    narrow[p * step + value] += one
    for i in range(images):
        rest = whole_pixels if i < whole_images else 0
        for p in range(np.uintp(rest), np.uintp(pixels)):
            value = np.uintp(samples[i, p])
            if table is not None:
                value = np.uintp(table[value])
            narrow[p * step + value] += one


@njit(nogil=True, cache=True, inline="always")
def _widen(narrow, stride, middle, pixels):
    """Move the 8-bit counters into the 16-bit ones."""
    slots = middle.shape[1]
    for p in range(pixels):
        small = narrow[p * stride : p * stride + slots]
        large = middle[p]
        for s in range(slots):
            large[s] += small[s]
        for s in range(slots):
            small[s] = 0


@njit(nogil=True, cache=True, inline="always")
def _add_and_clear(middle, table, counts):
    """Add the 16-bit counters to the caller's, by `table` where there is one, and clear them."""
    values = min(middle.shape[1], counts.shape[1]) if table is None else middle.shape[1]
    for p in range(counts.shape[0]):
        small = middle[p]
        large = counts[p]
        if table is None:
            for s in range(values):
                large[s] += small[s]
        else:
            for s in range(values):
                large[np.uintp(table[s])] += small[s]
        for s in range(values):
            small[s] = 0


def weigh_block(
    slots: NDArray[Any], weights: NDArray[np.float64], sums: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Add the weights of a block's samples to the slot sums of their pixels, image after image.

    Parameters
    ----------
    slots : ndarray of unsigned integers, shape (images, pixels)
        Slot of each sample.
    weights : ndarray of float64, shape (images, pixels) or (images, 1)
        Weight of each sample, or of each image.
    sums : ndarray of float64, shape (pixels, slots)
        Added to in place.

    Returns
    -------
    ndarray
        `sums`.
    """
    _weigh(slots, weights, sums)
    return sums


@njit(nogil=True, cache=True)
def _weigh(slots, weights, sums):
    shared = weights.shape[1] == 1
    for i in range(slots.shape[0]):
        for p in range(slots.shape[1]):
            weight = weights[i, 0] if shared else weights[i, p]
            sums[p, np.uintp(slots[i, p])] += weight
