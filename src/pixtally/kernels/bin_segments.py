"""Equalization of binned samples: from the counts of uniform bins to piecewise maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixtally.kernels.image_slots import Edges
from pixtally.kernels.level_tables import matlab_levels
from pixtally.kernels.segments import Segments, linear_segments, step_segments

Counts = NDArray[np.int64]


@njit(nogil=True, cache=True, error_model="numpy")
def _lay(low, high, kind, edges):
    bins = edges.size - 1
    if low == high:
        low, high = low - kind(0.5), high + kind(0.5)
    step = (high - low) / kind(bins)
    for b in range(bins):
        edges[b] = kind(b) * step + low
    edges[bins] = high


@njit(nogil=True, cache=True)
def lay_edges(span, given, edges):
    """Fill each row with ``numpy.linspace`` over its span.

    A span taken from the samples is divided in their own precision; a given one in float64,
    whose edges are rounded afterwards.
    """
    for i in range(edges.shape[0]):
        low, high = span[i, 0], span[i, 1]
        if not (np.isfinite(low) and np.isfinite(high)):
            low, high = 0.0, 1.0
        if given:
            _lay(low, high, np.float64, edges[i])
        else:
            _lay(edges.dtype.type(low), edges.dtype.type(high), edges.dtype.type, edges[i])


def uniform_edges(
    span: NDArray[np.float64], bins: int, dtype: Any, *, given: bool = False
) -> NDArray[Any]:
    """Lay ``bins`` equal bins over each image's span, in the arithmetic of ``numpy.histogram``.

    Parameters
    ----------
    span : ndarray (n, 2), float64
        Smallest and largest sample; an empty span is widened by a half on both sides, and an
        image without samples (``[inf, -inf]``) gets [0, 1].
    bins : int
    dtype : dtype
        Of the samples: float32 samples have float32 edges.
    given : bool
        Whether the span is the user's range, in place of the samples' own.

    Returns
    -------
    ndarray (n, bins + 1)
        float32 or float64.
    """
    kind = np.float32 if np.dtype(dtype) == np.float32 else np.float64
    edges = np.empty((len(span), bins + 1), kind)
    lay_edges(span, given, edges)
    return edges


@njit(nogil=True, cache=True, error_model="numpy")
def recipe_heights(counts, own, heights):
    """Fill the recipe's CDF: the running sum of the density, from 0 at most to bins - 1."""
    bins = counts.shape[1]
    for i in range(counts.shape[0]):
        total = max(counts[i].sum(), 1)
        for b in range(bins):
            heights[i, b] = counts[i, b] / np.float64(own[i, b + 1] - own[i, b]) / total
        summed = 0.0
        for b in range(bins):
            summed += heights[i, b]
            heights[i, b] = summed
        whole = summed if summed > 0.0 else 1.0
        for b in range(bins):
            heights[i, b] = (bins - 1) * heights[i, b] / whole


@njit(nogil=True, cache=True, error_model="numpy")
def share_heights(counts, own, heights):
    """Fill the cumulative share of each bin, rounded to the edges' precision."""
    kind = own.dtype.type
    for i in range(counts.shape[0]):
        total = np.float64(max(counts[i].sum(), 1))
        below = 0
        for b in range(counts.shape[1]):
            below += counts[i, b]
            heights[i, b] = kind(below / total)


def interp_segments(counts: Counts, edges: Edges) -> Segments:
    """Build the NumPy recipe's map: the density's running sum over the left edges.

    Parameters
    ----------
    counts : ndarray (n, bins), int64
    edges : Edges
        Of the same n images.

    Returns
    -------
    Segments
        From 0 at most to ``bins - 1``.
    """
    heights = np.empty(counts.shape)
    recipe_heights(counts, edges.own, heights)
    return linear_segments(edges, heights, centred=False)


def cdf_segments(counts: Counts, edges: Edges) -> Segments:
    """Build scikit-image's map: the cumulative share over the bin centres.

    Parameters
    ----------
    counts : ndarray (n, bins), int64
    edges : Edges
        Of the same n images; float32 edges round the shares to float32, as scikit-image does.

    Returns
    -------
    Segments
        In [0, 1].
    """
    heights = np.empty(counts.shape)
    share_heights(counts, edges.own, heights)
    return linear_segments(edges, heights, centred=True)


def matlab_edges() -> NDArray[np.float64]:
    """Return the edges of MATLAB's 256 bins over [0, 1], centred on k / 255: (1, 257)."""
    return np.asarray((np.arange(257)[None, :] - 0.5) / 255)


def matlab_segments(counts: Counts, edges: Edges, levels: int) -> Segments:
    """Build the staircase of MATLAB's ``histeq`` for floats in [0, 1].

    Parameters
    ----------
    counts : ndarray (n, 256), int64
    edges : Edges
        Of :func:`matlab_edges`.
    levels : int

    Returns
    -------
    Segments
        In [0, 1].
    """
    return step_segments(edges, matlab_levels(counts, levels))
