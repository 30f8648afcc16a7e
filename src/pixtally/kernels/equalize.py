"""Equalization by four verbs: span, counts, map and apply, each usable on a part of an image.

For an image cut into parts the spans of the parts are combined by minimum and maximum, their counts
are added, and what is made of the sums is applied to each part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixtally.kernels import bin_segments
from pixtally.kernels import level_tables as tables
from pixtally.kernels.image_counts import finite_span, level_counts
from pixtally.kernels.image_slots import Edges, binned_counts, find_slots, prepare_edges
from pixtally.kernels.lut import apply_lut
from pixtally.kernels.recipe import Recipe, UnfitError
from pixtally.kernels.segments import Segments, apply_segments

Counts = NDArray[np.int64]
Span = NDArray[np.float64]
Mask = NDArray[np.bool_]


def levels_of(samples: NDArray[Any]) -> NDArray[Any]:
    """Return integers numbered from 0: unsigned samples as they are, signed ones shifted.

    Parameters
    ----------
    samples : ndarray, 8- or 16-bit integers

    Returns
    -------
    ndarray, uint8 or uint16
    """
    kind = samples.dtype
    if kind.kind == "u":
        return samples
    unsigned = np.dtype(f"u{kind.itemsize}")
    return np.asarray(samples.view(unsigned) ^ unsigned.type(1 << (8 * kind.itemsize - 1)))


def valid_samples(samples: NDArray[Any], left_out: Mask | None) -> NDArray[Any]:
    """Return floats with NaN where a sample is left out."""
    return samples if left_out is None else np.where(left_out, samples.dtype.type(np.nan), samples)


def span_of(samples: NDArray[Any], left_out: Mask | None, recipe: Recipe) -> Span:
    """Find the span that the bins of each image cover.

    Parameters
    ----------
    samples : ndarray (n, p)
    left_out : ndarray (n, p), bool, or None
    recipe : Recipe

    Returns
    -------
    ndarray (n, 2), float64
        Spans of parts combine by minimum and maximum.
    """
    if recipe.needs_span:
        return finite_span(valid_samples(samples, left_out))
    ends = recipe.range or (0.0, 1.0)
    return np.tile(np.array(ends, np.float64), (samples.shape[0], 1))


def edges_of(span: Span, recipe: Recipe) -> Edges:
    """Lay each image's bins over its span.

    Parameters
    ----------
    span : ndarray (n, 2), float64
        From :func:`span_of`, combined over all parts of the image or collection.
    recipe : Recipe

    Returns
    -------
    Edges

    Raises
    ------
    UnfitError
        If so many bins do not fit into the span in the samples' precision.
    """
    if recipe.method == "matlab":
        return prepare_edges(bin_segments.matlab_edges())
    kind = np.float64 if recipe.by_level else recipe.source
    edges = bin_segments.uniform_edges(span, recipe.bins, kind, given=recipe.range is not None)
    coincide = (np.diff(edges, axis=1) <= 0).any(axis=1)
    if coincide.any():
        raise too_narrow(span[coincide.argmax()], recipe)
    return prepare_edges(edges)


def too_narrow(span: NDArray[np.float64], recipe: Recipe) -> UnfitError:
    """Return the error for bins that do not fit into an image's span."""
    return UnfitError(
        f"{recipe.bins} bins do not fit between {span[0]} and {span[1]} in {recipe.source}: their"
        " edges coincide; pass fewer bins, a wider range, or images as float64"
    )


def counts_of(
    samples: NDArray[Any], left_out: Mask | None, recipe: Recipe, edges: Edges | None
) -> Counts:
    """Count the valid samples of each image by level or by bin.

    Parameters
    ----------
    samples : ndarray (n, p)
    left_out : ndarray (n, p), bool, or None
    recipe : Recipe
    edges : Edges, or None
        From :func:`edges_of`; levels need none.

    Returns
    -------
    ndarray (n, levels or bins), int64
        Counts of parts are added.
    """
    if edges is None:
        return level_counts(levels_of(samples), left_out)
    valid = valid_samples(samples, left_out)
    if recipe.method == "matlab":
        valid = np.clip(valid, 0, 1)
    return binned_counts(valid, edges)


def _interp_table(counts: Counts, first: int, recipe: Recipe) -> NDArray[np.float64]:
    n = len(counts)
    values = np.arange(first, first + counts.shape[1], dtype=np.float64) + recipe.lowest
    span = np.array(recipe.range or (0, 0), np.float64)[None].repeat(n, axis=0)
    if recipe.range is None:
        present = counts > 0
        span[:, 0] = values[present.argmax(axis=1)]
        span[:, 1] = values[::-1][present[:, ::-1].argmax(axis=1)]
    edges = edges_of(span, recipe)
    rows = np.broadcast_to(values, counts.shape)
    slots = find_slots(rows, edges)
    size = recipe.bins + 2
    place = slots + np.arange(n)[:, None] * size
    binned = np.bincount(place.ravel(), counts.ravel(), n * size).reshape(n, size)[:, 1:-1]
    out = np.empty(counts.shape)
    made = bin_segments.interp_segments(binned.astype(np.int64), edges)
    apply_segments(rows, made, out, slots)
    return out


def _rank_table(counts: Counts, first: int, recipe: Recipe) -> NDArray[Any]:
    ranks = tables.rank_table(counts)
    if not recipe.normalize:
        return ranks
    return np.asarray(ranks / np.maximum(counts.sum(axis=1, keepdims=True) - 1, 1) * recipe.unit)


_TABLES: dict[str, Callable[[Counts, int, Recipe], NDArray[Any]]] = {
    "interp": _interp_table,
    "cdf": lambda counts, first, recipe: tables.cdf_table(counts) * recipe.unit,
    "lut": lambda counts, first, recipe: tables.floor_table(counts, recipe.levels - 1),
    "opencv": lambda counts, first, recipe: tables.opencv_table(counts, first, recipe.levels - 1),
    "rank": _rank_table,
    "matlab": lambda counts, first, recipe: (
        tables.matlab_table(counts, recipe.bins, first, recipe.levels - 1) + recipe.lowest
    ),
}


def _level_map(counts: Counts, recipe: Recipe, span: tuple[int, int] | None) -> NDArray[Any]:
    first, stop = span or (0, recipe.levels)
    made = _TABLES[recipe.method](counts[:, first:stop], first, recipe)
    whole = np.empty(counts.shape, recipe.dtype)
    whole[:, first:stop] = tables.narrow(made, recipe.dtype)
    return whole


_SEGMENTS: dict[str, Callable[[Counts, Edges, Recipe], Segments]] = {
    "interp": lambda counts, edges, recipe: bin_segments.interp_segments(counts, edges),
    "cdf": lambda counts, edges, recipe: bin_segments.cdf_segments(counts, edges),
    "matlab": lambda counts, edges, recipe: bin_segments.matlab_segments(
        counts, edges, recipe.bins
    ),
}


def check_range(
    counts: Counts, samples: NDArray[Any], left_out: Mask | None, recipe: Recipe
) -> None:
    """Refuse a range that misses all samples of an image: its CDF would be empty.

    Parameters
    ----------
    counts : ndarray (k, levels or bins), int64
        Of whole images, or of the channels of a whole collection, which n is a multiple of.
    samples : ndarray (n, p)
        Any part of the same images.
    left_out : ndarray (n, p), bool, or None
    recipe : Recipe

    Raises
    ------
    UnfitError
        If such an image has a valid sample among these.
    """
    if recipe.range is None:
        return
    low, high = recipe.range
    inside = counts
    if recipe.by_level:
        first, stop = math.ceil(low) - recipe.lowest, math.floor(high) - recipe.lowest + 1
        inside = counts[:, max(first, 0) : max(stop, 0)]
    missed = np.resize(inside.sum(axis=1) == 0, len(samples))
    valid = samples[missed]
    valid = valid[~left_out[missed]] if left_out is not None else valid
    valid = valid[valid == valid]
    if len(valid):
        raise UnfitError(
            f"range=({low}, {high}) holds no sample of an image that spans {valid.min()} to"
            f" {valid.max()}; pass a range that every image reaches, or range=None for its own"
        )


def map_of(
    counts: Counts,
    recipe: Recipe,
    edges: Edges | None,
    span: tuple[int, int] | None = None,
) -> NDArray[Any] | Segments:
    """Make each image's map from its counts.

    Parameters
    ----------
    counts : ndarray (n, levels or bins), int64
        Of whole images, or of a whole collection in one row.
    recipe : Recipe
    edges : Edges, or None
        From :func:`edges_of`, of the same images; levels need none.
    span : tuple of int, or None
        First and past-the-last level that occurs; the table is filled only there.

    Returns
    -------
    ndarray (n, levels) of ``recipe.dtype``, or Segments
        A look-up table for integers, a piecewise map for floats.
    """
    if edges is None:
        return _level_map(counts, recipe, span)
    return _SEGMENTS[recipe.method](counts, edges, recipe)


def apply_map(
    samples: NDArray[Any],
    left_out: Mask | None,
    recipe: Recipe,
    made: NDArray[Any] | Segments,
    out: NDArray[Any],
) -> None:
    """Send every sample through its image's map; invalid ones stay invalid.

    Parameters
    ----------
    samples : ndarray (n, p)
    left_out : ndarray (n, p), bool, or None
    recipe : Recipe
    made : ndarray or Segments
        From :func:`map_of`; of n images, or of one that serves all.
    out : ndarray (n, p)
        Of ``recipe.dtype``; filled here.
    """
    if not isinstance(made, Segments):
        apply_lut(levels_of(samples), made, out)
        keep_invalid(samples, left_out, recipe, out)
        return
    direct = recipe.dtype.kind == "f"
    target = out if direct else np.empty(samples.shape)
    apply_segments(samples, made, target)
    finish_floats(samples, left_out, recipe, target, out)


def finish_floats(
    samples: NDArray[Any],
    left_out: Mask | None,
    recipe: Recipe,
    values: NDArray[Any],
    out: NDArray[Any],
) -> None:
    """Write float results into ``out`` and settle the invalid samples, NaN among them."""
    if recipe.dtype.kind == "f":
        if values is not out:
            out[:] = values
        if left_out is not None or recipe.fill is not None:
            gone = np.isnan(samples) if left_out is None else left_out | np.isnan(samples)
            keep_invalid(samples, gone, recipe, out)
        return
    gone = np.isnan(samples) if left_out is None else left_out | np.isnan(samples)
    if gone.any() and recipe.fill is None:
        raise UnfitError(
            f"NaN cannot be kept in a {recipe.dtype} result; pass fill= (a value for invalid"
            " samples) or dtype='float32'"
        )
    out[:] = tables.narrow(np.where(gone, recipe.fill or 0, values * recipe.unit), recipe.dtype)


def keep_invalid(
    samples: NDArray[Any], left_out: Mask | None, recipe: Recipe, out: NDArray[Any]
) -> None:
    """Give the samples that were left out their fill, NaN, or their own old value."""
    if left_out is None:
        return
    if recipe.fill is not None:
        out[left_out] = recipe.fill
    elif recipe.dtype.kind == "f":
        out[left_out] = np.nan
    else:
        out[left_out] = samples[left_out]
