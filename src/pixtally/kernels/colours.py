"""Distinct 8-bit colours of a block of pixels and how often each occurs, exactly and mergeably."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

MAX_CHANNELS = 4
_PAGED_CHANNELS = 3
_BLOCK = 1024
_PAGE_BITS = 6  # the low bits of a code: a counter in its page
_FULL = 65535


class ColourCounts(NamedTuple):
    """Distinct colours in ascending Morton order with their counts.

    Attributes
    ----------
    codes : ndarray of uint32, shape (m,)
        Strictly ascending. Bit ``b`` of channel ``c`` of ``d`` is bit ``d*b + (d-1-c)``, so a
        shift right by ``d*s`` leaves the colour's cell of side 2**s: neighbours stay together.
    counts : ndarray of float64, shape (m,)
        How often each colour occurs, or the sum of its weights; > 0. Whole counts are exact to
        2**53.
    channels : int
        The number d of channels, 1 to 4.
    """

    codes: NDArray[np.uint32]
    counts: NDArray[np.float64]
    channels: int


def count_colours(
    pixels: NDArray[np.uint8], weights: NDArray[np.float64] | None = None
) -> ColourCounts:
    """Count the distinct colours of a block of pixels.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n, d)
        Colours of d = 1 to 4 channels; either memory order is read without a copy.
    weights : ndarray of float64, shape (n,), optional
        Weight of each pixel, ≥ 0; 1 when left out. Colours of weight 0 do not appear.

    Returns
    -------
    ColourCounts
        The same for any order of the pixels (weights that are not whole: to rounding).

    Notes
    -----
    A sparse table in two levels: the high bits of the code name a page, made when first seen; the
    low six bits the counter in it, of 16 bits; that it was full is noted aside. Colours of one
    image crowd in few pages, so the counters stay in cache. Four channels would need too large a
    first level and are sorted.

    Examples
    --------
    >>> import numpy as np
    >>> found = count_colours(np.array([[0], [2], [2]], np.uint8))
    >>> found.codes.tolist(), found.counts.tolist()
    ([0, 2], [1.0, 2.0])
    """
    channels = pixels.shape[1]
    if channels > _PAGED_CHANNELS:
        return _count_sorted(pixels, weights)
    flat, strides = _flat_view(pixels)
    table = np.zeros((_PAGED_CHANNELS, 256), np.uint32)
    table[:channels] = spread_table(channels)
    n = pixels.shape[0]
    n_cells = 1 << max(8 * channels - _PAGE_BITS, 0)
    page_of = np.zeros(n_cells, np.int32)
    # Never touched pages of a zeroed allocation cost address space only.
    shape = (n_cells + 1, 1 << _PAGE_BITS)
    if weights is not None:
        sums = np.zeros(shape, np.float64)
        m = _fill_sums(flat, n, strides, table, weights, page_of, sums)
        codes, totals = _gather_pages(page_of, sums, m)
        return ColourCounts(codes, totals, channels)
    pages = np.zeros(shape, np.uint16)
    full = np.empty(n // _FULL + 1, np.uint32)
    m, n_full = _fill_counts(flat, n, strides, table, page_of, pages, full)
    codes, counts = _gather_pages(page_of, pages, m)
    np.add.at(counts, np.searchsorted(codes, full[:n_full]), float(_FULL))
    return ColourCounts(codes, counts, channels)


def merge_colours(left: ColourCounts, right: ColourCounts) -> ColourCounts:
    """Add the counts of two blocks: associative, commutative, exact for whole counts.

    Parameters
    ----------
    left, right : ColourCounts
        Of the same number of channels.

    Returns
    -------
    ColourCounts
        The counts of both blocks together.
    """
    codes, counts = _merge_sorted(left.codes, left.counts, right.codes, right.counts)
    return ColourCounts(codes, counts, left.channels)


def no_colours(channels: int) -> ColourCounts:
    """Return the counts of an empty block: the identity of :func:`merge_colours`."""
    return ColourCounts(np.empty(0, np.uint32), np.empty(0, np.float64), channels)


def colour_codes(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Morton codes (n,) of pixels (n, d): see :class:`ColourCounts`."""
    table = spread_table(pixels.shape[1])
    codes = np.zeros(pixels.shape[0], np.uint32)
    for channel in range(pixels.shape[1]):
        codes |= table[channel, pixels[:, channel]]
    return codes


def decode_colours(codes: NDArray[np.uint32], channels: int) -> NDArray[np.uint8]:
    """Colours (d, m) of Morton codes (m,): the inverse of :func:`colour_codes`, transposed."""
    colours = np.empty((channels, codes.size), np.uint8)
    _decode(codes, gather_table(channels, 4), colours)
    return colours


def lookup_colours(pixels: NDArray[np.uint8], found: ColourCounts) -> NDArray[np.integer[Any]]:
    """Position (n,) of each pixel's colour in ``found.codes``; every colour must be there."""
    codes = colour_codes(pixels)
    if found.channels > _PAGED_CHANNELS:
        return np.searchsorted(found.codes, codes)
    # Only the entries of colours that occur are ever touched.
    table = np.empty(1 << (8 * found.channels), np.int32)
    table[found.codes] = np.arange(found.codes.size, dtype=np.int32)
    return table[codes]


def spread_table(channels: int) -> NDArray[np.uint32]:
    """Table (d, 256): the bits of a channel's value moved to their places in the Morton code."""
    values = np.arange(256, dtype=np.uint32)
    spread = np.zeros(256, np.uint32)
    for bit in range(8):
        spread |= ((values >> np.uint32(bit)) & np.uint32(1)) << np.uint32(channels * bit)
    return np.stack([spread << np.uint32(channels - 1 - c) for c in range(channels)])


def gather_table(channels: int, bits: int) -> NDArray[np.uint32]:
    """Table (2**(d*bits),) from a Morton code of few bits to its channels, one a byte.

    Channel c stands in byte c; ``bits`` is the number of bits of each channel.
    """
    codes = np.arange(1 << (channels * bits), dtype=np.uint32)
    packed = np.zeros_like(codes)
    for c in range(channels):
        for bit in range(bits):
            value = (codes >> np.uint32(channels * bit + channels - 1 - c)) & np.uint32(1)
            packed |= value << np.uint32(8 * c + bit)
    return packed


def _flat_view(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """Return the pixels as one flat array with the steps to the next pixel, channels 2 and 3.

    The step to a channel that is not there is 0: its table is all zeros.
    """
    n, channels = pixels.shape
    if pixels.T.flags.c_contiguous:
        flat, step, to_channel = pixels.T.reshape(-1), 1, n
    else:
        flat, step, to_channel = np.ascontiguousarray(pixels).reshape(-1), channels, 1
    return flat, (step, to_channel * (channels > 1), 2 * to_channel * (channels > 2))


def _count_sorted(pixels: NDArray[np.uint8], weights: NDArray[np.float64] | None) -> ColourCounts:
    """Count by sorting the codes."""
    codes = colour_codes(pixels)
    if weights is None:
        distinct, counts = np.unique(codes, return_counts=True)
        return ColourCounts(distinct, counts.astype(np.float64), pixels.shape[1])
    distinct, inverse = np.unique(codes, return_inverse=True)
    sums = np.bincount(inverse, weights, distinct.size).astype(np.float64)
    return ColourCounts(distinct[sums > 0], sums[sums > 0], pixels.shape[1])


@njit(nogil=True, cache=True)
def _fill_counts(flat, n, strides, table, page_of, pages, full):
    """Count n pixels in 16 bits; return how many colours, and counters that were full.

    A counter that overflows goes on from 1 and its code is noted in ``full``.
    """
    codes = np.empty(_BLOCK, np.uint32)
    slot_mask = np.uint32(pages.shape[1] - 1)
    used = colours = n_full = 0
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        _encode(flat, start, size, strides, table, codes)
        for i in range(size):
            cell = codes[i] >> np.uint32(_PAGE_BITS)
            page = page_of[cell]
            if page == 0:
                used += 1
                page = used
                page_of[cell] = page
            slot = codes[i] & slot_mask
            before = pages[page, slot]
            colours += before == 0
            after = np.uint16(before + np.uint16(1))
            if after == 0:
                full[n_full] = codes[i]
                n_full += 1
                after = np.uint16(1)
            pages[page, slot] = after
    return colours, n_full


@njit(nogil=True, cache=True)
def _fill_sums(flat, n, strides, table, weights, page_of, pages):
    """Add up the weights of n pixels; return how many colours have some."""
    codes = np.empty(_BLOCK, np.uint32)
    slot_mask = np.uint32(pages.shape[1] - 1)
    used = colours = 0
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        _encode(flat, start, size, strides, table, codes)
        for i in range(size):
            cell = codes[i] >> np.uint32(_PAGE_BITS)
            page = page_of[cell]
            if page == 0:
                used += 1
                page = used
                page_of[cell] = page
            slot = codes[i] & slot_mask
            before = pages[page, slot]
            after = before + weights[start + i]
            colours += before == 0 and after > 0
            pages[page, slot] = after
    return colours


@njit(nogil=True, cache=True)
def _encode(flat, start, size, strides, table, codes):
    """Write the codes of a block of pixels: first, so that then many cache misses overlap."""
    step, to_second, to_third = strides
    first, second, third = table[0], table[1], table[2]
    for i in range(size):
        at = (start + i) * step
        codes[i] = first[flat[at]] | second[flat[at + to_second]] | third[flat[at + to_third]]


@njit(nogil=True, cache=True)
def _gather_pages(page_of, pages, colours):
    """List the counters that are not zero, in ascending order of code."""
    codes = np.empty(colours + 1, np.uint32)  # one more: a zero counter is written, then passed
    counts = np.empty(colours + 1, np.float64)
    at = np.uint64(0)  # unsigned, so that the index needs no wrap-around test
    for cell in range(page_of.size):
        page = page_of[cell]
        if page > 0:
            first = np.uint32(cell * pages.shape[1])
            row = pages[page]
            for slot in range(row.size):
                codes[at] = first + np.uint32(slot)
                counts[at] = row[slot]
                at += np.uint64(row[slot] > 0)
    return codes[:colours], counts[:colours]


@njit(nogil=True, cache=True)
def _merge_sorted(left, left_counts, right, right_counts):
    """Merge two ascending lists of codes, adding the counts of equal ones."""
    codes = np.empty(left.size + right.size, np.uint32)
    counts = np.empty(codes.size, np.float64)
    i = j = m = 0
    while i < left.size or j < right.size:
        take_left = j == right.size or (i < left.size and left[i] <= right[j])
        take_right = i == left.size or (j < right.size and right[j] <= left[i])
        codes[m] = left[i] if take_left else right[j]
        counts[m] = 0.0
        if take_left:
            counts[m] += left_counts[i]
            i += 1
        if take_right:
            counts[m] += right_counts[j]
            j += 1
        m += 1
    return codes[:m].copy(), counts[:m].copy()


@njit(nogil=True, cache=True)
def _decode(codes, table, colours):
    """Unpick Morton codes into ``colours`` (d, m), half a code at a time."""
    channels = colours.shape[0]
    half = np.uint32(4 * channels)
    for i in range(codes.size):
        packed = table[codes[i] & np.uint32(table.size - 1)] | (table[codes[i] >> half] << 4)
        for c in range(channels):
            colours[c, i] = (packed >> np.uint32(8 * c)) & np.uint32(255)
