"""Which uniform bin a sample of an image falls into, and how many samples each bin holds.

A sample's slot is the number of bin edges at or below it: 0 below all bins (and for NaN),
``b + 1`` in bin ``b``, ``bins + 1`` above. It is computed by one multiplication and, where
that lands too close to an edge to be trusted, corrected against the edges themselves, so that
it is always the slot a binary search would find.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Slots = NDArray[np.uint32]

STRIP = 256  # samples placed together, and looked at again together when one is doubtful


class Edges(NamedTuple):
    """The bin edges of each image, prepared for finding slots by multiplication.

    Attributes
    ----------
    own : ndarray (n or 1, bins + 1), float32 or float64
        The edges as they were given.
    at : ndarray (n or 1, bins + 1), float64
        The same, with the last bin closed on both sides as in ``numpy.histogram``.
    frame : ndarray (n or 1, 3), float32 or float64
        First edge, bins per unit, and the largest distance from a bin's middle that can be
        trusted without looking at the edges. Slots are computed in its precision: float32 does
        twice as many at a time, and is as exact, because doubtful slots are looked up.
    """

    own: NDArray[Any]
    at: NDArray[np.float64]
    frame: NDArray[np.float64]


@njit(nogil=True, cache=True, error_model="numpy")
def measure_edges(at, frame):
    """Fill the frames of the edges in ``at``, and close each last bin on both sides."""
    bins = at.shape[1] - 1
    rounding = 2.0**-23 if frame.itemsize == 4 else 2.0**-52
    for i in range(at.shape[0]):
        frame[i, 0] = at[i, 0]
        frame[i, 1] = bins / (at[i, bins] - at[i, 0])
        first = np.float64(frame[i, 0])
        scale = np.float64(frame[i, 1])
        drift = 0.0
        for b in range(bins + 1):
            off = abs((at[i, b] - first) * scale - b)
            drift = off if off > drift else drift
        # How far rounding moved the edges off the uniform grid, and that of the two products.
        frame[i, 2] = 0.5 - drift - 2 * rounding * (bins + 2)
        at[i, bins] = np.nextafter(at[i, bins], np.inf)


def prepare_edges(edges: NDArray[Any]) -> Edges:
    """Prepare nearly uniform, strictly ascending bin edges.

    Parameters
    ----------
    edges : ndarray (n or 1, bins + 1), float32 or float64

    Returns
    -------
    Edges
    """
    at = edges.astype(np.float64)
    frame = np.empty((len(at), 3), edges.dtype)
    measure_edges(at, frame)
    return Edges(edges, at, frame)


@njit(nogil=True, cache=True)
def strip_slots(values, at, frame, slots):
    """Write the slots of one strip of samples (the caller's kernel inlines this)."""
    first = frame[0]
    scale = frame[1]
    trusted = frame[2]
    last = at.size
    kind = frame.dtype.type
    half = kind(0.5)
    high = kind(last + 0.5)
    doubtful = np.int32(0)
    for k in range(values.size):
        place = (kind(values[k]) - first) * scale + kind(1)
        # Written so that NaN falls to 0.5, the slot below every bin.
        place = place if place > half else half
        place = place if place < high else high
        slot = np.int32(place)
        doubtful += np.int32(abs(place - kind(slot) - half) > trusted)
        slots[k] = slot
    if doubtful:
        for k in range(values.size):
            value = np.float64(values[k])
            slot = np.uint32(slots[k])
            while slot > 0 and value < at[slot - np.uint32(1)]:
                slot -= np.uint32(1)
            while slot < last and value >= at[slot]:
                slot += np.uint32(1)
            slots[k] = slot


@njit(nogil=True, cache=True)
def _find(samples, at, frame, out):
    for i in range(samples.shape[0]):
        row = i % at.shape[0]
        strip_slots(samples[i], at[row], frame[row], out[i])


@njit(nogil=True, cache=True)
def count_slots(samples, at, frame, counts, keep, slots):
    """Add up the bins of each image; with ``keep`` the slots of all samples are kept."""
    size = at.shape[1] + 1
    lanes = np.empty((4, size), np.uint32)  # four counters a slot: equal neighbours do not wait
    for i in range(samples.shape[0]):
        row = i % at.shape[0]
        lanes[:] = 0
        for start in range(0, samples.shape[1], STRIP):
            strip = samples[i, start : start + STRIP]
            found = slots[i, start : start + STRIP] if keep else slots[0, : strip.size]
            strip_slots(strip, at[row], frame[row], found)
            whole = strip.size // 4 * 4
            for k in range(0, whole, 4):
                lanes[0, found[k]] += np.uint32(1)
                lanes[1, found[k + 1]] += np.uint32(1)
                lanes[2, found[k + 2]] += np.uint32(1)
                lanes[3, found[k + 3]] += np.uint32(1)
            for k in range(whole, strip.size):
                lanes[0, found[k]] += np.uint32(1)
        for b in range(size - 2):
            total = np.int64(lanes[0, b + 1]) + np.int64(lanes[1, b + 1])
            counts[i, b] += total + np.int64(lanes[2, b + 1]) + np.int64(lanes[3, b + 1])


def find_slots(samples: NDArray[Any], edges: Edges) -> Slots:
    """Find the slot of each sample.

    Parameters
    ----------
    samples : ndarray (n, p), float32 or float64
        One image a row.
    edges : Edges

    Returns
    -------
    ndarray (n, p), uint32
        ``numpy.searchsorted(edges, sample, side="right")``, the last edge belonging to the last
        bin; 0 for NaN.
    """
    out = np.empty(samples.shape, np.uint32)
    _find(np.ascontiguousarray(samples), edges.at, edges.frame, out)
    return out


def binned_counts(samples: NDArray[Any], edges: Edges) -> NDArray[np.int64]:
    """Count the samples of each image in each bin; what lies outside or is NaN is left out.

    Parameters
    ----------
    samples : ndarray (n, p), float32 or float64
        One image a row, at most 2**32 - 1 samples an image.
    edges : Edges

    Returns
    -------
    ndarray (n, bins), int64
        ``numpy.histogram(image, edges)[0]`` of each image.
    """
    counts = np.zeros((samples.shape[0], edges.at.shape[1] - 1), np.int64)
    scratch = np.empty((1, STRIP), np.uint32)
    rows = np.ascontiguousarray(samples)
    count_slots(rows, edges.at, edges.frame, counts, False, scratch)
    return counts
