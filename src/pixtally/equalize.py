"""Equalization of whole collections: each image, all together, or each pixel, as Dask graphs."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from pixtally.errors import PixtallyError
from pixtally.kernels.equalize import (
    apply_map,
    check_range,
    counts_of,
    edges_of,
    map_of,
    span_of,
)
from pixtally.kernels.image_slots import Edges
from pixtally.kernels.luminance import luminance, recolour
from pixtally.kernels.recipe import Recipe, UnfitError
from pixtally.kernels.whole_images import equalize_block, image_batches
from pixtally.operands import ArrayLike
from pixtally.pixel_scope import equalize_pixelwise
from pixtally.planes import (
    Array,
    Planes,
    as_planes,
    bring_together,
    map_parts,
    map_whole,
    sum_parts,
)
from pixtally.recipes import Method, make_recipe

log = logging.getLogger("pixtally")

Scope = Literal["image", "collection", "pixel"]
Channels = Literal["each", "luminance"]


def equalize(
    images: ArrayLike,
    method: Method = "interp",
    bins: int | None = None,
    range: tuple[float, float] | None = None,
    *,
    scope: Scope = "image",
    mask: ArrayLike | None = None,
    histogram: xr.Dataset | None = None,
    dtype: DTypeLike | None = None,
    normalize: bool = False,
    fill: float | None = None,
    channels: Channels = "each",
    dim: Hashable = "image",
) -> xr.DataArray:
    """Equalize every image of a collection.

    On Dask the result is lazy; an image may lie in any number of chunks, and the result never
    depends on them. NumPy gives NumPy.

    Parameters
    ----------
    images : array-like, shape (image, y, x) or (image, channel, y, x)
        8- or 16-bit integers, float32 or float64 (other numbers are taken as float64). NaN is
        invalid.
    method : str
        ``interp``: the NumPy recipe, `numpy.interp` of the density's running sum over the left
        edges, 0 … bins - 1. ``cdf``: `skimage.exposure.equalize_hist`, 0 … 1. ``lut``:
        ``floor(top * cumsum / n)``. ``opencv``: `cv2.equalizeHist`, also on 16 bits. ``rank``:
        ``np.sort(image).searchsorted(image)``. ``matlab``: MATLAB's ``histeq``.
    bins : int, optional
        Bins of ``interp`` and of ``cdf`` on floats (256); output levels of ``matlab`` (64).
    range : (float, float), optional
        Ends of the bins; by default each image's (or the collection's) own smallest and largest
        sample, for which lazy floats in several chunks are read once more.
    scope : {"image", "collection", "pixel"}
        Whose distribution: each image's own, one of all images together, or each pixel's over
        the images (`histogram`). Channels are always apart.
    mask : array-like of bool, optional
        True: leave the sample out of every distribution. Some of the images' dimensions.
    histogram : Dataset, optional
        For ``scope="pixel"``: from `pixel_histogram` or `open_histogram`.
    dtype : dtype, optional
        Of the result. Default: float64 for ``interp``; float64 for ``cdf`` (float32 of float32);
        int64 for ``rank`` (float64 of floats or normalized); the images' own for the others.
        Integer dtypes are rounded to nearest, and shares in 0 … 1 spread over their full range.
    normalize : bool
        Divide ranks by the number of samples less one.
    fill : float, optional
        What invalid samples become. Default: NaN in float results, their old value in results of
        the images' own integer dtype.
    channels : {"each", "luminance"}
        Equalize each channel, or the luminance of RGB only (integers: OpenCV's YCrCb).
    dim : hashable
        Name of the image dimension.

    Returns
    -------
    DataArray
        Of the images' dimensions and coordinates.

    Raises
    ------
    PixtallyError
        When an argument does not fit; on computing, when a range holds no sample of an image or
        a NaN has no place in an integer result.

    References
    ----------
    R. C. Gonzalez and R. E. Woods, Digital Image Processing, section 3.3.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> images = np.array([[[10, 20], [20, 40]]], dtype="uint8")
    >>> pt.equalize(images, method="opencv").values.tolist()
    [[[0, 170], [170, 255]]]
    """
    planes = _known_numbers(as_planes(images, mask, dim))
    recipe = make_recipe(
        planes.samples.dtype, method, bins, range, dtype=dtype, normalize=normalize, fill=fill
    )
    _check_call(recipe, planes, scope, histogram)
    if channels == "luminance":
        data = _equalize_luminance(planes, recipe, scope, histogram)
    elif channels == "each":
        data = _equalize_planes(planes, recipe, scope, histogram)
    else:
        raise PixtallyError(f"channels is {channels!r}; expected 'each' or 'luminance'")
    return planes.restore(data, "equalized")


def _known_numbers(planes: Planes) -> Planes:
    kind = planes.samples.dtype
    if kind in (np.float32, np.float64) or (kind.kind in "iu" and kind.itemsize <= 2):
        return planes
    if kind == np.bool_:
        return planes.with_samples(planes.samples.astype(np.uint8))
    if kind.kind not in "iuf":
        raise PixtallyError(f"images is {kind}; expected real numbers")
    return planes.with_samples(
        planes.samples.astype(np.float32 if kind == np.float16 else np.float64)
    )


def _check_call(recipe: Recipe, planes: Planes, scope: str, histogram: xr.Dataset | None) -> None:
    if scope not in ("image", "collection", "pixel"):
        raise PixtallyError(f"scope is {scope!r}; expected 'image', 'collection' or 'pixel'")
    if (scope == "pixel") != (histogram is not None):
        raise PixtallyError(
            "scope='pixel' maps every pixel through its own histogram: pass histogram= (from"
            " pixel_histogram or open_histogram) with it, and only with it"
        )
    if recipe.road == "sort" and scope != "image":
        raise PixtallyError(
            f"method 'rank' on {recipe.source} needs all samples at once for scope={scope!r}; use"
            " scope='image', method='cdf', or integers of 16 bits at most"
        )
    kept = recipe.dtype.kind == "f" or recipe.dtype == recipe.source or recipe.fill is not None
    if planes.mask is not None and not kept:
        raise PixtallyError(
            f"masked samples have no place in a {recipe.dtype} result of {recipe.source} images;"
            " pass fill= (their value) or dtype='float64'"
        )


def _equalize_planes(
    planes: Planes, recipe: Recipe, scope: str, histogram: xr.Dataset | None
) -> Array:
    """Return the equalized samples, in the planes' order of dimensions."""
    if histogram is not None:
        return equalize_pixelwise(planes, recipe, histogram)
    if scope == "image" and (recipe.road == "sort" or not _counts_are_small(planes, recipe)):
        if not planes.whole:
            log.info("%s on %s needs whole images: chunks are joined", recipe.method, recipe.source)
        planes = bring_together(planes)
    if scope == "image" and planes.whole:
        return map_whole(planes, equalize_whole, recipe.dtype, recipe)
    return _in_two_passes(planes, recipe, together=scope == "collection")


def _counts_are_small(planes: Planes, recipe: Recipe) -> bool:
    """Whether the counts of an image's part take less memory than the part itself."""
    if not isinstance(planes.samples, da.Array):
        return True
    rows, columns = planes.samples.chunksize[-2:]
    held = 8 * (recipe.levels if recipe.by_level else recipe.bins)
    return bool(held <= rows * columns * recipe.source.itemsize)


def _in_two_passes(planes: Planes, recipe: Recipe, *, together: bool) -> Array:
    spans = None
    if recipe.needs_span:
        find = partial(span_part, recipe=recipe, together=together)
        spans = sum_parts(
            planes, find, 2, np.float64, combine="span", together=together, again="span"
        )
    length = recipe.counters
    count = partial(count_part, recipe=recipe, together=together)
    counts = sum_parts(planes, count, length, np.int64, together=together, spans=spans)
    apply = partial(apply_part, recipe=recipe)
    return map_parts(planes, apply, recipe.dtype, counts=counts, spans=spans)


def _rows(block: NDArray[Any] | None) -> Any:
    """Return the planes of a block one a row."""
    return None if block is None else block.reshape(-1, block.shape[-2] * block.shape[-1])


def equalize_whole(
    block: NDArray[Any], mask: NDArray[np.bool_] | None, recipe: Recipe
) -> NDArray[Any]:
    """Equalize a block of whole planes, each by its own counts."""
    with _said_to_users():
        return equalize_block(_rows(block), recipe, _rows(mask)).reshape(block.shape)


@contextmanager
def _said_to_users() -> Iterator[None]:
    try:
        yield
    except UnfitError as error:
        raise PixtallyError(str(error)) from None


def _edges(spans: NDArray[Any] | None, recipe: Recipe, planes: int = 1) -> Edges | None:
    """Return the edges of each plane, over its span or over the range that is given."""
    if recipe.by_level:
        return None
    if spans is None:
        spans = np.array([recipe.range or (0.0, 1.0)] * planes, np.float64)
    with _said_to_users():
        return edges_of(spans.reshape(-1, 2), recipe)


def span_part(
    block: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    *,
    at: Any,
    recipe: Recipe,
    together: bool,
) -> NDArray[np.float64]:
    """Return the smallest and largest sample of each plane's part."""
    spans = span_of(_rows(block), _rows(mask), recipe).reshape(*block.shape[:-2], 2)
    if not together:
        return spans
    return np.stack([spans[..., 0].min(axis=0), spans[..., 1].max(axis=0)], axis=-1)[None]


def count_part(
    block: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    *,
    at: Any,
    recipe: Recipe,
    together: bool,
    spans: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Return the counts of each plane's part, or their sum over the images."""
    rows, gone = _rows(block), _rows(mask)
    edges = _edges(spans, recipe)
    if not together:
        return counts_of(rows, gone, recipe, edges).reshape(*block.shape[:-2], -1)
    channels = len(rows) // len(block)
    total = np.zeros((channels, recipe.counters), np.int64)
    for some in image_batches(rows, recipe, channels):
        part = None if gone is None else gone[some]
        total += counts_of(rows[some], part, recipe, edges).reshape(-1, *total.shape).sum(axis=0)
    return total.reshape(1, *block.shape[1:-2], -1)


def apply_part(
    block: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    *,
    at: Any,
    recipe: Recipe,
    counts: NDArray[np.int64],
    spans: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """Send a part of each plane through the map that the whole plane's counts give."""
    rows, gone = _rows(block), _rows(mask)
    whole = counts.reshape(-1, counts.shape[-1])
    edges = _edges(spans, recipe, len(whole))
    out = np.empty(rows.shape, recipe.dtype)
    with _said_to_users():
        check_range(whole, rows, gone, recipe)
        apply_map(rows, gone, recipe, map_of(whole, recipe, edges), out)
    return out.reshape(block.shape)


def _equalize_luminance(
    planes: Planes, recipe: Recipe, scope: str, histogram: xr.Dataset | None
) -> Array:
    """Equalize the luminance of RGB and give every colour its new luminance."""
    samples = planes.samples
    if samples.ndim != 4 or samples.shape[1] != 3 or recipe.source.kind == "i":
        raise PixtallyError(
            f"channels='luminance' needs RGB images (image, channel, y, x) of uint8, uint16 or"
            f" floats; found {planes.images.dims} {planes.images.shape} of {recipe.source}"
        )
    factor = _to_white(recipe)
    if not isinstance(samples, da.Array):
        gray = planes.with_samples(_luminance_block(samples))
        gray = _one_channel(gray)
        new = _equalize_planes(gray, recipe, scope, histogram)
        return _recolour_block(samples, gray.samples, new, planes.mask, factor=factor)
    samples = samples.rechunk({1: -1})
    one = (samples.chunks[0], (1,), *samples.chunks[2:])
    brightness = samples.map_blocks(_luminance_block, chunks=one, dtype=samples.dtype)
    gray = _one_channel(planes.with_samples(brightness))
    new = _equalize_planes(gray, recipe, scope, histogram)
    again = [gray.samples.rechunk(one), new.rechunk(one)]
    mask = [] if planes.mask is None else [planes.mask.rechunk(samples.chunks)]
    return da.map_blocks(
        _recolour_block, samples, *again, *mask, factor=factor, dtype=recipe.dtype,
        chunks=samples.chunks, meta=np.empty((0,) * 4, recipe.dtype),
    )  # fmt: skip


def _to_white(recipe: Recipe) -> float:
    """Return the factor from a method's results to the images' own units, or refuse."""
    if recipe.dtype.kind in "iu":
        full = recipe.method != "interp" or recipe.bins - 1 == recipe.levels - 1
        if recipe.dtype == recipe.source and full and (recipe.method != "rank" or recipe.normalize):
            return 1.0
    elif recipe.method in ("interp", "cdf", "matlab") or recipe.normalize:
        white = 1.0 if recipe.source.kind == "f" else float(np.iinfo(recipe.source).max)
        return white / (recipe.bins - 1) if recipe.method == "interp" else white
    raise PixtallyError(
        f"channels='luminance' needs results in the images' units, and method {recipe.method!r}"
        f" gives {recipe.dtype} of another scale from {recipe.source}; use 'opencv' or 'lut' on"
        " integers, 'cdf' or 'interp' on floats, and normalize=True with 'rank'"
    )


def _one_channel(gray: Planes) -> Planes:
    mask = None if gray.mask is None else gray.mask.any(axis=1, keepdims=True)
    return Planes(gray.images, gray.dims, gray.samples, mask)


def _luminance_block(block: NDArray[Any]) -> NDArray[Any]:
    flat = np.ascontiguousarray(block.reshape(*block.shape[:2], -1))
    return luminance(flat).reshape(block.shape[0], 1, *block.shape[2:])


def _recolour_block(
    block: NDArray[Any],
    old: NDArray[Any],
    new: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    *,
    factor: float,
) -> NDArray[Any]:
    n = len(block)
    scaled = new.reshape(n, -1) if factor == 1.0 else new.reshape(n, -1) * new.dtype.type(factor)
    made = recolour(np.ascontiguousarray(block.reshape(n, 3, -1)), old.reshape(n, -1), scaled)
    made = made.reshape(block.shape)
    if mask is not None and made.dtype.kind in "iu":
        made[mask] = block[mask]
    return made
