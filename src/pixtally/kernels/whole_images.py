"""Equalization of whole images: all verbs on one image after the other, while it is cached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixtally.kernels.bin_equalize import equalize_binned
from pixtally.kernels.equalize import (
    Mask,
    apply_map,
    check_range,
    counts_of,
    edges_of,
    finish_floats,
    levels_of,
    map_of,
    span_of,
    too_narrow,
    valid_samples,
)
from pixtally.kernels.rank import float_ranks
from pixtally.kernels.recipe import Recipe

_BATCH_BYTES = 1 << 22  # images worked on together: they stay in the outer cache between passes


def _rank_floats(
    samples: NDArray[Any], left_out: Mask | None, recipe: Recipe, out: NDArray[Any]
) -> None:
    for i, image in enumerate(valid_samples(samples, left_out)):
        ranks, valid = float_ranks(image)
        scale = 1 / max(valid - 1, 1) if recipe.normalize else 1
        values = np.where(np.isnan(image), np.nan, ranks * scale)[None]
        one = slice(i, i + 1)
        gone = None if left_out is None else left_out[one]
        finish_floats(image[None], gone, recipe, values, out[one])


def image_batches(samples: NDArray[Any], recipe: Recipe, channels: int = 1) -> Iterator[slice]:
    """Yield slices of rows that fit into the caches together: whole images of some channels."""
    per_image = samples.shape[1] * samples.dtype.itemsize
    if recipe.by_level:
        per_image += 8 * recipe.levels
    step = max(1, _BATCH_BYTES // max(per_image * channels, 1)) * channels
    for start in range(0, samples.shape[0], step):
        yield slice(start, start + step)


def equalize_block(
    samples: NDArray[Any], recipe: Recipe, left_out: Mask | None = None
) -> NDArray[Any]:
    """Equalize whole images, each by its own counts.

    Parameters
    ----------
    samples : ndarray (n, p)
        One image a row, of ``recipe.source``.
    recipe : Recipe
    left_out : ndarray (n, p), bool, or None
        True marks samples that are invalid, beside NaN.

    Returns
    -------
    ndarray (n, p)
        Of ``recipe.dtype``.
    """
    if _finer_than_image(samples, recipe):
        as_float = replace(recipe, source=np.dtype(np.float64))
        return equalize_block(samples.astype(np.float64), as_float, left_out)
    out = np.empty(samples.shape, recipe.dtype)
    for rows in image_batches(samples, recipe):
        gone = None if left_out is None else left_out[rows]
        _WHOLE[recipe.road](samples[rows], gone, recipe, out[rows])
    return out


def _finer_than_image(samples: NDArray[Any], recipe: Recipe) -> bool:
    """Whether an image has fewer samples than its dtype has levels, and bins serve it better."""
    few = recipe.by_level and samples.shape[1] < recipe.levels
    return few and recipe.method == "interp" and recipe.dtype.kind == "f"


def _by_level(
    samples: NDArray[Any], left_out: Mask | None, recipe: Recipe, out: NDArray[Any]
) -> None:
    counts = counts_of(samples, left_out, recipe, None)
    check_range(counts, samples, left_out, recipe)
    span = None
    if recipe.levels > 256:  # most of so many levels never occur
        levels = levels_of(samples)
        span = (int(levels.min()), int(levels.max()) + 1)
    apply_map(samples, left_out, recipe, map_of(counts, recipe, None, span), out)


def _by_bin(
    samples: NDArray[Any], left_out: Mask | None, recipe: Recipe, out: NDArray[Any]
) -> None:
    valid = valid_samples(samples, left_out)
    span = span_of(valid, None, recipe)
    if recipe.method == "matlab":
        edges = edges_of(span, recipe)
        counts = counts_of(valid, None, recipe, edges)
        apply_map(samples, left_out, recipe, map_of(counts, recipe, edges), out)
        return
    values = out if recipe.dtype.kind == "f" else np.empty(samples.shape)
    centred = recipe.method == "cdf"
    counts, refused = equalize_binned(
        valid, span, recipe.bins, values, centred=centred, given=recipe.range is not None
    )
    if refused >= 0:
        raise too_narrow(span[refused], recipe)
    check_range(counts, valid, None, recipe)
    finish_floats(samples, left_out, recipe, values, out)


_WHOLE = {"level": _by_level, "bin": _by_bin, "sort": _rank_floats}
