"""Piecewise maps over uniform bins: what ``numpy.interp`` does, without a search."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixtally.kernels.image_slots import STRIP, Edges, Slots, prepare_edges, strip_slots
from pixtally.kernels.table_rows import WIDTH, map_four

KNOT, SLOPE, VALUE = range(3)
"""Columns of a table of segments."""

Table = NDArray[np.float64]


class Segments(NamedTuple):
    """A piecewise-linear map of each image: ``slope * (x - knot) + value`` by slot.

    Attributes
    ----------
    edges : Edges
        Of n images, or of one that serves all: k edges an image.
    table : ndarray (n, k + 1, 4), float64
        Knot, slope and value of each slot; the fourth is not used.
    """

    edges: Edges
    table: Table


@njit(nogil=True, cache=True)
def _map_strip(strip, slots, rows, out):
    low = rows[0, KNOT]
    high = rows[rows.shape[0] - 1, KNOT]
    whole = strip.size // WIDTH * WIDTH
    for k in range(0, whole, WIDTH):
        map_four(strip, slots, rows, out, k, low, high)
    for k in range(whole, strip.size):
        s = slots[k]
        x = np.float64(strip[k])
        x = low if x < low else x  # keeps NaN, and infinity out of 0 * inf
        x = high if x > high else x
        out[k] = rows[s, SLOPE] * (x - rows[s, KNOT]) + rows[s, VALUE]


@njit(nogil=True, cache=True)
def map_slots(samples, at, frame, table, keep, slots, out):
    """Map the samples by slot; with ``keep`` the slots of all samples are known already."""
    for i in range(samples.shape[0]):
        row = i % at.shape[0]
        for start in range(0, samples.shape[1], STRIP):
            strip = samples[i, start : start + STRIP]
            found = slots[i, start : start + STRIP] if keep else slots[0, : strip.size]
            if not keep:
                strip_slots(strip, at[row], frame[row], found)
            _map_strip(strip, found, table[row], out[i, start : start + STRIP])


@njit(nogil=True, cache=True)
def halve_bins(own, halves):
    """Fill the edges of half bins: the edges, and the bin centres between them."""
    half = own.dtype.type(0.5)
    bins = own.shape[1] - 1
    for i in range(own.shape[0]):
        for b in range(bins):
            halves[i, 2 * b] = own[i, b]
            halves[i, 2 * b + 1] = (own[i, b] + own[i, b + 1]) * half
        halves[i, 2 * bins] = own[i, bins]


@njit(nogil=True, cache=True, error_model="numpy")
def _rates(places, height, rates):
    for b in range(np.uintp(rates.size)):
        rates[b] = (height[b + 1] - height[b]) / (places[b + 1] - places[b])


@njit(nogil=True, cache=True)
def _fill_row(row, knot, slope, value):
    row[KNOT] = knot
    row[SLOPE] = slope
    row[VALUE] = value


@njit(nogil=True, cache=True)
def tabulate(own, heights, centred, table):
    """Fill the table of the linear map through ``heights`` at left edges or bin centres.

    ``own`` are the edges, or with `centred` those of half bins: each segment between two centres
    then has two slots.
    """
    bins = heights.shape[1]
    step = 2 if centred else 1
    places = np.empty(bins)
    rates = np.zeros(bins)  # past the last position the map is flat
    for i in range(heights.shape[0]):
        height = heights[i]
        rows = table[i]
        for b in range(bins):
            places[b] = own[i, step * b + step - 1]
        _rates(places, height, rates[: bins - 1])
        for s in range(step):  # flat below the first position too
            _fill_row(rows[s], places[0], 0.0, height[0])
        for b in range(bins):
            for twin in range(step):
                _fill_row(rows[step * (b + 1) + twin], places[b], rates[b], height[b])
        _fill_row(rows[rows.shape[0] - 1], places[bins - 1], 0.0, height[bins - 1])


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
    if centred:
        halves = np.empty((len(edges.own), 2 * heights.shape[1] + 1), edges.own.dtype)
        halve_bins(edges.own, halves)
        edges = prepare_edges(halves)
    table = np.empty((heights.shape[0], edges.own.shape[1] + 1, WIDTH))
    tabulate(edges.own, heights, centred, table)
    return Segments(edges, table)


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
    table = np.zeros((*values.shape, WIDTH))
    table[..., KNOT] = edges.at[:, [0, *range(edges.at.shape[1])]]
    table[..., VALUE] = values
    shared = Edges(*(np.broadcast_to(a, (len(steps), a.shape[1])).copy() for a in edges))
    return Segments(shared, table)


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
    edges, table = segments
    rows = np.ascontiguousarray(samples)
    keep = slots is not None
    map_slots(rows, edges.at, edges.frame, table, keep, kept, out)
