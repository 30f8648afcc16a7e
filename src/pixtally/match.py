"""Histogram matching of whole collections to an image, a collection or a stored histogram."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from pixtally import schema
from pixtally.errors import PixtallyError
from pixtally.kernels.equalize import levels_of
from pixtally.kernels.image_counts import level_counts
from pixtally.kernels.level_tables import narrow
from pixtally.kernels.lut import apply_lut
from pixtally.kernels.match import (
    Reference,
    match_floats,
    match_table,
    reference_from_counts,
    reference_from_samples,
)
from pixtally.operands import ArrayLike
from pixtally.planes import (
    SPLIT_EVERY,
    Array,
    Planes,
    as_planes,
    bring_together,
    map_parts,
    sum_parts,
)

References = tuple[Reference, ...]


def match_histogram(
    images: ArrayLike,
    reference: ArrayLike | xr.Dataset,
    *,
    mask: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
    dim: Hashable = "image",
) -> xr.DataArray:
    """Change every image so that its histogram matches that of a reference.

    Equal to `skimage.exposure.match_histograms`. On Dask the result is lazy.

    Parameters
    ----------
    images : array-like, shape (image, y, x) or (image, channel, y, x)
        Integers of 8 or 16 bits are matched by their counts, in chunks of any shape; floats need
        whole images, and chunks are joined. NaN is invalid and stays.
    reference : array-like or Dataset
        An image or a collection, all of whose samples together are the reference, or a stored
        per-pixel histogram, summed over its pixels. If images and reference have the same number
        of channels, each channel is matched to its own.
    mask : array-like of bool, optional
        True: leave the sample out of the image's distribution; it becomes NaN, or keeps its old
        value in a result of the images' own dtype.
    dtype : dtype, optional
        Of the result; default float64, or float32 of float32. Integers are rounded.
    dim : hashable
        Name of the image dimension.

    Returns
    -------
    DataArray
        Of the images' dimensions and coordinates.

    Raises
    ------
    PixtallyError
        When the reference is empty or the mask has another shape.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> images = np.array([[[0, 1], [2, 3]]], dtype="uint8")
    >>> pt.match_histogram(images, np.array([[10, 20], [30, 40]])).values.tolist()
    [[[10.0, 20.0], [30.0, 40.0]]]
    """
    planes = as_planes(images, mask, dim)
    kind = planes.samples.dtype
    if kind.kind not in "iuf":
        raise PixtallyError(f"images is {kind}; expected real numbers")
    made = np.dtype(dtype or (np.float32 if kind == np.float32 else np.float64))
    references = _references(reference, planes, dim)
    if kind.kind in "iu" and kind.itemsize <= 2:
        counts = sum_parts(planes, count_part, 1 << (8 * kind.itemsize), np.int64)
        apply = partial(apply_levels, dtype=made)
        data = _with_references(planes, apply, made, references, counts)
    else:
        planes = bring_together(planes)
        data = _with_references(planes, partial(match_whole, dtype=made), made, references, None)
    return planes.restore(data, "matched")


def _with_references(
    planes: Planes, apply: Any, made: np.dtype[Any], references: Any, counts: Array | None
) -> Array:
    """Apply to every part; on Dask the references are computed once, when they are needed."""
    if not planes.lazy:
        return apply(planes.samples, planes.mask, at=(0, 0), references=references, counts=counts)
    return map_parts(planes, apply, made, counts=counts, references=_as_one_chunk(references))


def _as_one_chunk(references: Any) -> da.Array:
    packed = _delayed(_pack)(references)
    return da.from_delayed(packed, shape=(1,), dtype=object)


def _pack(references: References) -> NDArray[Any]:
    one = np.empty(1, object)
    one[0] = references
    return one


def _references(reference: Any, planes: Planes, dim: Hashable) -> Any:
    """Return one reference, or one a channel: computed for NumPy images, delayed for Dask."""
    if isinstance(reference, xr.Dataset):
        return _from_histogram(reference, planes)
    apart = _channels_apart(reference, planes, dim)
    made = tuple(_lazy_reference(samples) for samples in apart)
    return made if planes.lazy else dask.compute(*made)


def _channels_apart(reference: Any, planes: Planes, dim: Hashable) -> list[Any]:
    channel = planes.dims[1] if len(planes.dims) == 4 else None
    if isinstance(reference, xr.DataArray):
        if channel in reference.dims and reference.sizes[channel] == planes.samples.shape[1]:
            return [reference.isel({channel: k}).data for k in np.arange(planes.samples.shape[1])]
        return [reference.data]
    plain = reference if isinstance(reference, da.Array) else np.asarray(reference)
    same = channel is not None and plain.ndim >= 3 and plain.shape[-3] == planes.samples.shape[1]
    return [plain[..., k, :, :] for k in np.arange(plain.shape[-3])] if same else [plain]


_delayed = partial(dask.delayed, pure=True)  # the same name in every run: jobs are resumed by it


def _lazy_reference(samples: Any) -> Any:
    """Return the delayed reference that all samples together are."""
    if not (samples.dtype.kind in "iu" and samples.dtype.itemsize <= 2):
        return _delayed(_from_samples)(samples)
    chunks = samples.to_delayed().ravel() if isinstance(samples, da.Array) else [samples]
    partials = [_delayed(_levels_in)(chunk) for chunk in chunks]
    while len(partials) > 1:
        groups = np.arange(0, len(partials), SPLIT_EVERY)
        partials = [_delayed(sum)(partials[k : k + SPLIT_EVERY]) for k in groups]
    return _delayed(_from_levels)(partials[0], samples.dtype)


def _levels_in(samples: NDArray[Any]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = level_counts(levels_of(samples.reshape(1, -1)), None)[0]
    return counts


def _from_levels(counts: NDArray[np.int64], kind: np.dtype[Any]) -> Reference:
    values = np.arange(len(counts)) + np.iinfo(kind).min
    return _checked(reference_from_counts(counts, values))


def _from_samples(samples: NDArray[Any]) -> Reference:
    return _checked(reference_from_samples(samples))


def _checked(reference: Reference) -> Reference:
    if not len(reference.values):
        raise PixtallyError("reference holds no valid sample; pass one that does")
    return reference


def _from_histogram(histogram: xr.Dataset, planes: Planes) -> Any:
    if schema.COUNTS not in histogram:
        raise PixtallyError(
            f"reference holds {', '.join(map(str, histogram.data_vars))}; expected a histogram"
            " with counts, an image or a collection"
        )
    counts = histogram[schema.COUNTS]
    channel = planes.dims[1] if len(planes.dims) == 4 else None
    kept = [channel] if channel in counts.dims else []
    summed = counts.sum([d for d in counts.dims if d not in (*kept, schema.BIN)], dtype=np.int64)
    rows = summed.transpose(*kept, schema.BIN).data
    made: Any = _delayed(_from_counts)(rows, histogram[schema.BIN].values)
    return made if planes.lazy else made.compute()


def _from_counts(rows: NDArray[Any], values: NDArray[Any]) -> References:
    return tuple(
        _checked(reference_from_counts(row, values)) for row in rows.reshape(-1, len(values))
    )


def _rows(block: NDArray[Any] | None) -> Any:
    return None if block is None else block.reshape(-1, block.shape[-2] * block.shape[-1])


def count_part(
    block: NDArray[Any], mask: NDArray[np.bool_] | None, *, at: tuple[int, int]
) -> NDArray[np.int64]:
    """Return the counts of the levels in each plane's part."""
    return level_counts(levels_of(_rows(block)), _rows(mask)).reshape(*block.shape[:-2], -1)


def _unpacked(references: Any) -> References:
    known: References = references[0] if isinstance(references, np.ndarray) else references
    return known


def apply_levels(
    block: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    *,
    at: tuple[int, int],
    counts: NDArray[np.int64],
    references: Any,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """Send a part of each plane through the table that the whole plane's counts give."""
    rows, whole = _rows(block), counts.reshape(-1, counts.shape[-1])
    known = _unpacked(references)
    table = np.concatenate(
        [match_table(row[None], known[i % len(known)]) for i, row in enumerate(whole)]
    )
    out = np.empty(rows.shape, dtype)
    apply_lut(levels_of(rows), narrow(table, dtype), out)
    return _kept(out.reshape(block.shape), block, mask)


def match_whole(
    block: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    *,
    at: tuple[int, int],
    references: Any,
    dtype: np.dtype[Any],
    counts: None = None,
) -> NDArray[Any]:
    """Match a block of whole planes of floats."""
    known = _unpacked(references)
    rows = _rows(block).astype(np.float32 if block.dtype == np.float32 else np.float64)
    if mask is not None:
        rows = np.where(_rows(mask), rows.dtype.type(np.nan), rows)
    made = [match_floats(row, known[i % len(known)]) for i, row in enumerate(rows)]
    out = np.stack(made)
    if dtype.kind in "iu" and np.isnan(out).any():
        raise PixtallyError(f"NaN cannot be kept in a {dtype} result; leave dtype out")
    return _kept(narrow(out, dtype).reshape(block.shape), block, mask)


def _kept(made: NDArray[Any], block: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Leave masked samples as they were, or as NaN where the result is of another float dtype."""
    if mask is None:
        return made
    if made.dtype == block.dtype:
        return np.where(mask, block, made)
    if made.dtype.kind != "f":
        raise PixtallyError(
            f"masked samples have no place in a {made.dtype} result; leave dtype out"
        )
    return np.where(mask, made.dtype.type(np.nan), made)
