"""From samples to slots: which bin, or which flow slot, every sample of a block falls into."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


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
            _even_slots(floats, edges, scale, right, slots)
        else:
            _searched_slots(floats, edges, right, slots)
    if mask is not None:
        slots[np.broadcast_to(mask, slots.shape)] = bins + 2
    return slots


def slot_dtype(slots: int) -> np.dtype[Any]:
    """Return the narrowest unsigned type that numbers so many slots."""
    return np.dtype(np.min_scalar_type(slots - 1))


@njit(nogil=True, cache=True)
def _even_slots(samples, edges, scale, right, slots):
    """Multiply, then correct by one against the real edges: rounding is never off by more."""
    bins = edges.size - 1
    low, high, one = edges[0], edges[bins], np.uintp(1)
    last = np.uintp(bins - 1)
    for i in range(samples.shape[0]):
        row, out = samples[i], slots[i]
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
