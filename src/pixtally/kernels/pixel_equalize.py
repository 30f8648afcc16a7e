"""Equalization of each pixel through its own histogram over the images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixtally.kernels.equalize import apply_map, map_of
from pixtally.kernels.image_slots import prepare_edges
from pixtally.kernels.recipe import Recipe

_BATCH_BYTES = 1 << 23  # tables held at once


def equalize_pixels(
    samples: NDArray[Any],
    counts: NDArray[Any],
    recipe: Recipe,
    edges: NDArray[np.float64],
    left_out: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Send every sample through the map of its pixel.

    Parameters
    ----------
    samples : ndarray (n, p)
        n images of p pixels.
    counts : ndarray (p, bins)
        The pixels' histograms. For integer samples of 8 or 16 bits a bin is one level.
    recipe : Recipe
    edges : ndarray (bins + 1,), float64
        Ascending.
    left_out : ndarray (n, p), bool, or None

    Returns
    -------
    ndarray (n, p)
        Of ``recipe.dtype``.
    """
    out = np.empty(samples.shape, recipe.dtype)
    bins = counts.shape[1]
    levels = recipe.levels if recipe.by_level else bins
    first = round(edges[0]) - recipe.lowest if recipe.by_level else 0
    step = max(1, _BATCH_BYTES // (8 * levels))
    for start in range(0, samples.shape[1], step):
        columns = slice(start, start + step)
        own = np.zeros((len(counts[columns]), levels), np.int64)
        own[:, first : first + bins] = counts[columns]
        at = None
        if not recipe.by_level:
            at = prepare_edges(np.repeat(edges[None], len(own), axis=0))
        turned = np.ascontiguousarray(samples[:, columns].T)
        gone = None if left_out is None else np.ascontiguousarray(left_out[:, columns].T)
        equalized = np.empty(turned.shape, recipe.dtype)
        apply_map(turned, gone, recipe, map_of(own, recipe, at), equalized)
        out[:, columns] = equalized.T
    return out
