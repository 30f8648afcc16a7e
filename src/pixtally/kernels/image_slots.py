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
    frame : ndarray (n or 1, 3), float64
        First edge, bins per unit, and the largest distance from a bin's middle that can be
        trusted without looking at the edges.
    """

    own: NDArray[Any]
    at: NDArray[np.float64]
    frame: NDArray[np.float64]


@njit(nogil=True, cache=True)
def measure_edges(at, frame):
    """Fill the frames of the edges in ``at``, and close each last bin on both sides."""
    bins = at.shape[1] - 1
    for i in range(at.shape[0]):
        first = at[i, 0]
        scale = bins / (at[i, bins] - first)
        drift = 0.0
        for b in range(bins + 1):
            drift = max(drift, abs((at[i, b] - first) * scale - b))
        frame[i, 0] = first
        frame[i, 1] = scale
        # How far rounding moved the edges off the uniform grid, and the product's rounding.
        frame[i, 2] = 0.5 - drift - 1e-15 * (bins + 2)
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
    frame = np.empty((len(at), 3))
    measure_edges(at, frame)
    return Edges(edges, at, frame)


@njit(nogil=True, cache=True)
def strip_slots(values, at, frame, slots):
    """Write the slots of one strip of samples (the caller's kernel inlines this)."""
    first = frame[0]
    scale = frame[1]
    trusted = frame[2]
    last = at.size
    high = last + 0.5
    doubtful = np.int32(0)
    for k in range(values.size):
        place = (np.float64(values[k]) - first) * scale + 1.0
        # Written so that NaN falls to 0.5, the slot below every bin.
        place = place if place > 0.5 else 0.5
        place = place if place < high else high
        slot = np.int32(place)
        doubtful += np.int32(abs(place - np.float64(slot) - 0.5) > trusted)
        slots[k] = np.uint32(slot)
    if doubtful:
        for k in range(values.size):
            value = np.float64(values[k])
            slot = slots[k]
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
            for lane in range(4):
                counts[i, b] += lanes[lane, b + 1]


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
