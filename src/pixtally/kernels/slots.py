"""From samples to slots: which bin, or which flow slot, every sample of a block falls into."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

STRETCH = 512
"""Samples that are compared again together when one of them is in doubt."""


def as_unsigned(samples: NDArray[Any]) -> NDArray[Any]:
    """Return 8- and 16-bit samples by their bits as unsigned, without a copy."""
    return samples.view(f"u{samples.dtype.itemsize}")


def find_slots(
    samples: NDArray[Any],
    table: NDArray[Any] | None,
    edges: NDArray[np.float64],
    scale: float,
    right: bool,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Return the slot of every sample.

    Parameters
    ----------
    samples : ndarray, shape (images, pixels)
        Integers or floats. Floats are compared with the edges in float64, and so are integers of
        32 and 64 bits, as `numpy.histogram` does.
    table : ndarray, shape (256,) or (65536,), or None
        Slot of each value of an 8- or 16-bit integer.
    edges : ndarray of float64, shape (bins + 1,)
        Rising.
    scale : float
        Bins per unit of evenly spaced edges; 0: find the bin by search.
    right : bool
        Bins are closed on the right (`numpy.searchsorted`, side left), else on the left.
    mask : ndarray of bool, shape (images, pixels) or broadcast to it, optional
        True: leave the sample out, into the slot ``invalid``.

    Returns
    -------
    ndarray of uint8, uint16 or uint32, shape (images, pixels)
        The narrowest type that holds ``bins + 3`` slots.
    """
    bins = len(edges) - 1
    slot_type = slot_dtype(bins + 3)
    if table is not None:
        slots = table.astype(slot_type)[as_unsigned(samples)]
    else:
        floats = samples if samples.dtype in (np.float32, np.float64) else samples.astype("f8")
        slots = np.empty(samples.shape, slot_type)
        if scale > 0:
            _even_slots(floats, edges, scale, right, _doubt(edges, scale), slots)
        else:
            _searched_slots(floats, edges, right, slots)
    if mask is not None:
        slots[np.broadcast_to(mask, slots.shape)] = bins + 2
    return slots


def slot_dtype(slots: int) -> np.dtype[Any]:
    """Return the narrowest unsigned type that numbers so many slots."""
    return np.dtype(np.min_scalar_type(slots - 1))


def _doubt(edges: NDArray[np.float64], scale: float) -> float:
    """Return how near to an edge, in bins, multiplying may find the wrong side of it.

    Four times the sum of the rounding errors: of ``(x - low) * scale`` and of the edges. Where that
    is a good part of a bin, everything is in doubt.
    """
    largest = max(abs(edges[0]), abs(edges[-1]))
    rounding = len(edges) * 2.0**-50 + scale * largest * 2.0**-51
    return max(4 * rounding, 1e-9) if rounding < 0.05 else 1.0


@njit(nogil=True, cache=True)
def _even_slots(samples, edges, scale, right, doubt, slots):
    """Multiply; where a sample is so near to an edge that rounding may matter, compare with it.

    The first loop has no branches and no look-ups, so that the compiler makes it several samples
    at a time; the second is exact and runs over the few stretches that hold a sample in doubt.
    """
    for i in range(samples.shape[0]):
        for first in range(0, samples.shape[1], STRETCH):
            row = samples[i, first : first + STRETCH]
            out = slots[i, first : first + STRETCH]
            if doubt >= 1.0 or _multiplied(row, edges, scale, doubt, out):
                _compared(row, edges, scale, right, out)


@njit(nogil=True, cache=True, error_model="numpy")
def _multiplied(row, edges, scale, doubt, out):
    """Find slots by multiplying alone, and return how many are in doubt."""
    bins = np.int32(edges.size - 1)
    low, high = edges[0], edges[bins]
    doubtful = 0
    for p in range(np.uintp(row.size)):
        x = np.float64(row[p])
        inside = (x >= low) & (x <= high)
        place = (x - low) * scale if inside else 0.5
        k = np.int32(place)
        part = place - np.float64(k)
        doubtful += np.int32((part < doubt) | (part > 1.0 - doubt))
        flow = bins if x < low else (bins + np.int32(1) if x > high else bins + np.int32(2))
        out[p] = k if inside else flow
    return doubtful


@njit(nogil=True, cache=True)
def _compared(row, edges, scale, right, out):
    """Multiply, then correct by one against the real edges: rounding is never off by more."""
    bins = edges.size - 1
    low, high, one = edges[0], edges[bins], np.uintp(1)
    last = np.uintp(bins - 1)
    for p in range(row.size):
        x = np.float64(row[p])
        if low < x < high:
            k = min(np.uintp((x - low) * scale), last)
            if x < edges[k] or (right and x == edges[k]):
                k -= one
            elif x > edges[k + one] or (not right and x == edges[k + one]):
                k += one
            out[p] = k
        elif x == low:
            out[p] = 0
        elif x == high:
            out[p] = last
        else:
            out[p] = bins if x < low else (bins + 1 if x > high else bins + 2)


@njit(nogil=True, cache=True)
def _searched_slots(samples, edges, right, slots):
    """Find the bin between edges at any distance by halving."""
    bins = edges.size - 1
    for i in range(samples.shape[0]):
        for p in range(samples.shape[1]):
            x = np.float64(samples[i, p])
            if x != x:
                slots[i, p] = bins + 2
            elif x < edges[0]:
                slots[i, p] = bins
            elif x > edges[bins]:
                slots[i, p] = bins + 1
            else:
                below, above = 0, bins
                while above - below > 1:
                    half = (below + above) // 2
                    if edges[half] < x or (edges[half] == x and not right):
                        below = half
                    else:
                        above = half
                slots[i, p] = below
