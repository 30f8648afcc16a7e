"""Each pixel equalized through its own stored histogram: flat-field, illumination correction."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally import schema
from pixtally.errors import PixtallyError
from pixtally.kernels.pixel_equalize import equalize_pixels
from pixtally.kernels.recipe import Recipe
from pixtally.layout import choose_layout
from pixtally.planes import Array, Planes
from pixtally.windows import with_chunks

COUNTS_BYTES = 96 * 2**20
"""Counts that one task holds at most."""

MOST_IMAGES = 256
"""Images of a chunk, unless a shard of whole images has more: one that is looked at reads them."""


def equalize_pixelwise(planes: Planes, recipe: Recipe, histogram: xr.Dataset) -> Array:
    """Send every sample through the distribution of its pixel over the counted images.

    Parameters
    ----------
    planes : Planes
    recipe : Recipe
        Its bins and range give way to those of the histogram.
    histogram : Dataset
        From `pixel_histogram` or `open_histogram`, of the same pixels.

    Returns
    -------
    array
        Of the planes' shape.

    Raises
    ------
    PixtallyError
        When the histogram is of other pixels, or its bins do not tell the images' levels apart.
    """
    edges, counts = _counts_of(planes, recipe, histogram)
    pixelwise = replace(recipe, range=_ends(recipe, edges), bins=_bins(recipe, edges))
    call = partial(_equalize_block, recipe=pixelwise, edges=edges)
    samples = planes.samples
    if not isinstance(samples, da.Array):
        return call(samples, np.asarray(counts), planes.mask)
    tiles = with_chunks(samples, _long_tiles(samples, recipe, counts))
    axes = tuple(range(samples.ndim))
    counts = with_chunks(da.asarray(counts), (*tiles.chunks[1:], -1))
    arguments: list[Any] = [tiles, axes, counts, (*axes[1:], samples.ndim)]
    if planes.mask is not None:
        arguments += [da.asarray(planes.mask).rechunk(tiles.chunks), axes]
    return da.blockwise(
        call,
        axes,
        *arguments,
        dtype=recipe.dtype,
        meta=np.empty((0,) * samples.ndim, recipe.dtype),
        concatenate=True,
    )


def _long_tiles(samples: Any, recipe: Recipe, counts: Array) -> tuple[int, ...]:
    """Choose chunks of few pixels over many images, so that counts are read few times.

    They are whole chunks of the store that the result is written to.
    """
    layout = choose_layout(samples.shape[0], samples.shape[1:], recipe.dtype.itemsize)
    step, *tile = layout.chunks
    while math.prod(tile) * counts.nbytes // math.prod(samples.shape[1:]) > COUNTS_BYTES:
        longest = tile.index(max(tile))
        if tile[longest] == 1:
            break
        tile[longest] = -(-tile[longest] // 2)
    images = max(MOST_IMAGES // step * step, layout.shards[0])
    return (min(images, samples.shape[0]), *tile)


def _ends(recipe: Recipe, edges: NDArray[np.float64]) -> tuple[float, float] | None:
    return (float(edges[0]), float(edges[-1])) if recipe.method == "interp" else None


def _bins(recipe: Recipe, edges: NDArray[np.float64]) -> int:
    return recipe.bins if recipe.method == "matlab" else len(edges) - 1


def _counts_of(
    planes: Planes, recipe: Recipe, histogram: xr.Dataset
) -> tuple[NDArray[np.float64], Array]:
    """Return the bin edges and the counts, (..., y, x, bin) in the planes' order."""
    if schema.COUNTS not in histogram:
        raise PixtallyError(
            f"histogram holds {', '.join(map(str, histogram.data_vars))}; expected one from"
            " pixel_histogram or open_histogram, with counts"
        )
    counts = histogram[schema.COUNTS]
    wanted = {d: planes.images.sizes[d] for d in planes.dims[1:]}
    found = {d: n for d, n in counts.sizes.items() if d != schema.BIN}
    if found != wanted:
        raise PixtallyError(f"histogram is of pixels {found}, the images have {wanted}")
    axis = schema.axis_of(histogram)
    if recipe.by_level and axis.kind != "integer":
        raise PixtallyError(
            f"histogram has {axis}, the images are {recipe.source}; scope='pixel' needs one bin a"
            " value for integers, such as pixel_histogram(images, bins=256, range=(0, 256))"
        )
    if recipe.method == "matlab" and not recipe.by_level:
        raise PixtallyError("method 'matlab' with scope='pixel' needs integers; use 'cdf'")
    ordered = counts.transpose(*planes.dims[1:], schema.BIN)
    return np.asarray(axis.edges, np.float64), ordered.data


def _equalize_block(
    block: NDArray[Any],
    counts: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    *,
    recipe: Recipe,
    edges: NDArray[np.float64],
) -> NDArray[Any]:
    n = len(block)
    gone = None if mask is None else mask.reshape(n, -1)
    flat = counts.reshape(-1, counts.shape[-1])
    return equalize_pixels(block.reshape(n, -1), flat, recipe, edges, gone).reshape(block.shape)
