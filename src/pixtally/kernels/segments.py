"""Piecewise maps over uniform bins: what ``numpy.interp`` does, without a search."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixtally.kernels.image_slots import STRIP, Edges, Slots, strip_slots

Table = NDArray[np.float64]


class Segments(NamedTuple):
    """A piecewise-linear map of each image: ``slopes * (x - knots) + values`` by slot.

    Attributes
    ----------
    edges : Edges
        Of n images, or of one that serves all.
    knots, slopes, values : ndarray (n, bins + 2), float64
    splits : ndarray (n, bins + 2 or 0), float64
        A sample below the split of its slot belongs to the segment before; none where the
        segments begin at the edges.
    """

    edges: Edges
    knots: Table
    slopes: Table
    values: Table
    splits: Table


@njit(nogil=True, cache=True)
def map_slots(samples, at, frame, knots, slopes, values, splits, keep, slots, out):
    """Map the samples by slot; with ``keep`` the slots of all samples are known already."""
    for i in range(samples.shape[0]):
        row = i % at.shape[0]
        knot = knots[row]
        slope = slopes[row]
        value = values[row]
        split = splits[row]
        low = knot[0]
        high = knot[knot.size - 1]
        for start in range(0, samples.shape[1], STRIP):
            strip = samples[i, start : start + STRIP]
            target = out[i, start : start + STRIP]
            found = slots[i, start : start + STRIP] if keep else slots[0, : strip.size]
            if not keep:
                strip_slots(strip, at[row], frame[row], found)
            if split.size:
                for k in range(strip.size):
                    x = np.float64(strip[k])
                    s = np.uint32(found[k]) - np.uint32(x < split[found[k]])
                    x = low if x < low else x  # keeps NaN, and infinity out of 0 * inf
                    x = high if x > high else x
                    target[k] = slope[s] * (x - knot[s]) + value[s]
            else:
                for k in range(strip.size):
                    s = found[k]
                    x = np.float64(strip[k])
                    x = low if x < low else x
                    x = high if x > high else x
                    target[k] = slope[s] * (x - knot[s]) + value[s]


@njit(nogil=True, cache=True)
def tabulate(own, heights, centred, knots, slopes, values, splits):
    """Fill the tables of the linear map through ``heights`` at left edges or bin centres."""
    last = heights.shape[1] - 1
    half = own.dtype.type(0.5)
    for i in range(heights.shape[0]):
        for b in range(last + 1):
            place = (own[i, b] + own[i, b + 1]) * half if centred else own[i, b]
            knots[i, b + 1] = place
            values[i, b + 1] = heights[i, b]
        for b in range(1, last + 1):
            slopes[i, b] = (values[i, b + 1] - values[i, b]) / (knots[i, b + 1] - knots[i, b])
        slopes[i, 0] = 0.0
        slopes[i, last + 1 :] = 0.0
        knots[i, 0] = knots[i, 1]
        values[i, 0] = values[i, 1]
        knots[i, last + 2] = knots[i, last + 1]
        values[i, last + 2] = values[i, last + 1]
        if centred:
            splits[i] = knots[i]
            splits[i, 0] = -np.inf
            splits[i, last + 2] = np.inf


def linear_segments(edges: Edges, heights: NDArray[np.float64], *, centred: bool) -> Segments:
    """Build the map ``numpy.interp(x, positions, heights)``.

    Parameters
    ----------
    edges : Edges
        Of n images, ``bins + 1`` an image.
    heights : ndarray (n, bins)
    centred : bool
        Whether the positions are the bin centres, in place of the left edges.

    Returns
    -------
    Segments
        Flat below the first position and from the last one on.
    """
    shape = (heights.shape[0], heights.shape[1] + 2)
    knots, slopes, values = np.empty(shape), np.empty(shape), np.empty(shape)
    splits = np.empty(shape if centred else (shape[0], 0))
    tabulate(edges.own, heights, centred, knots, slopes, values, splits)
    return Segments(edges, knots, slopes, values, splits)


def step_segments(edges: Edges, steps: NDArray[np.float64]) -> Segments:
    """Build the staircase that takes ``steps[:, b]`` in bin ``b`` and the end steps outside.

    Parameters
    ----------
    edges : Edges
    steps : ndarray (n, bins), float64

    Returns
    -------
    Segments
    """
    values = np.concatenate([steps[:, :1], steps, steps[:, -1:]], axis=1)
    knots = np.broadcast_to(edges.at[:, [0, *range(edges.at.shape[1])]], values.shape)
    shared = Edges(*(np.broadcast_to(a, (len(steps), a.shape[1])).copy() for a in edges))
    return Segments(shared, knots.copy(), np.zeros(values.shape), values, np.empty((len(steps), 0)))


def apply_segments(
    samples: NDArray[Any], segments: Segments, out: NDArray[Any], slots: Slots | None = None
) -> None:
    """Map every sample through its image's segments.

    Parameters
    ----------
    samples : ndarray (n, p), float32 or float64
        NaN stays NaN; infinities take the end values.
    segments : Segments
        Of n images, or of one that serves all.
    out : ndarray (n, p), float32 or float64
        Filled here.
    slots : ndarray (n, p), uint32, or None
        The samples' slots, where they are known already.
    """
    kept = np.empty((1, STRIP), np.uint32) if slots is None else slots
    edges, knots, slopes, values, splits = segments
    rows = np.ascontiguousarray(samples)
    keep = slots is not None
    map_slots(rows, edges.at, edges.frame, knots, slopes, values, splits, keep, kept, out)
