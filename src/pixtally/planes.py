"""Work on whole images that may lie in any number of chunks: at once, or in two passes.

A plane is one image of one channel. Where a chunk holds whole planes, one function does all.
Otherwise a first pass makes something small of every part (its span, its counts), the parts'
results are added up by a tree, and a second pass applies what the sums say to every part. Each
pass reads the images for itself, so that no more than a few chunks are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
import xarray as xr
from dask._task_spec import convert_legacy_graph
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from pixtally.errors import PixtallyError
from pixtally.operands import ArrayLike, as_images

Array: TypeAlias = Any
"""A NumPy or a Dask array."""
Part = tuple[int, int]

WHOLE_BYTES = 64 * 2**20
"""Chunks aimed at where images must be brought together."""

SPLIT_EVERY = 16
"""Partial results added by one task: 4 by 4 neighbours."""


@dataclass(frozen=True)
class Planes:
    """Images laid out for work plane by plane.

    Attributes
    ----------
    images : DataArray
        As the user gave them.
    dims : tuple
        Image, other dimensions (one at most), row, column.
    samples : array, shape (image, y, x) or (image, channel, y, x)
        On NumPy or Dask, in that order.
    mask : array of bool, or None
        True: leave the sample out. Of the samples' shape and chunks.
    """

    images: xr.DataArray
    dims: tuple[Hashable, ...]
    samples: Array
    mask: Array | None = None

    @property
    def lazy(self) -> bool:
        """Whether the samples are on Dask."""
        return isinstance(self.samples, da.Array)

    @property
    def whole(self) -> bool:
        """Whether every chunk holds whole planes."""
        return not isinstance(self.samples, da.Array) or self.samples.numblocks[-2:] == (1, 1)

    def with_samples(self, samples: Array) -> Planes:
        """Return planes of other samples of the same shape, or of fewer channels."""
        return Planes(self.images, self.dims, samples, self.mask)

    def restore(self, data: Array, name: str) -> xr.DataArray:
        """Label a result as the images were, dimensions in their order."""
        made = xr.DataArray(
            data, dims=self.dims, coords=self.images.coords, attrs=self.images.attrs, name=name
        )
        return made.transpose(*self.images.dims)


def as_planes(images: ArrayLike, mask: ArrayLike | None, dim: Hashable) -> Planes:
    """Lay images out plane by plane.

    Parameters
    ----------
    images : array-like
        Of the dimensions `dim`, ``y`` and ``x`` (or the last two), and one more at most.
    mask : array-like of bool, or None
        True: leave the sample out. Some of the images' dimensions.
    dim : hashable
        The image dimension.

    Returns
    -------
    Planes

    Raises
    ------
    PixtallyError
        When there are more dimensions, or the mask has another shape.
    """
    images = as_images(images, dim)
    others = [d for d in images.dims if d != dim]
    frame = ["y", "x"] if {"y", "x"} <= set(others) else others[-2:]
    extra = [d for d in others if d not in frame]
    if len(extra) > 1 or len(frame) < 2:
        raise PixtallyError(
            f"images has the dimensions {', '.join(map(str, images.dims))}; expected {dim}, one"
            " such as channel at most, y and x: pick or stack the others first"
        )
    dims = (dim, *extra, *frame)
    samples = images.transpose(*dims).data
    return Planes(images, dims, samples, _as_mask(mask, images, dims, samples))


def _as_mask(
    mask: ArrayLike | None, images: xr.DataArray, dims: tuple[Hashable, ...], samples: Array
) -> Array | None:
    if mask is None:
        return None
    named = _named_mask(mask, images)
    sizes = {d: n for d, n in named.sizes.items() if images.sizes.get(d) != n}
    if sizes:
        raise PixtallyError(
            f"mask has {dict(named.sizes)}, the images have {dict(images.sizes)}; give it some of"
            " the images' dimensions, in their sizes"
        )
    if named.dtype != np.bool_:
        raise PixtallyError(f"mask is {named.dtype}; it is boolean, True leaves the sample out")
    bare = images.drop_vars(list(images.coords))
    spread = named.drop_vars(list(named.coords)).broadcast_like(bare).transpose(*dims).data
    if isinstance(samples, da.Array):
        return da.asarray(spread).rechunk(samples.chunks)
    return np.asarray(spread)


def _named_mask(mask: ArrayLike, images: xr.DataArray) -> xr.DataArray:
    if isinstance(mask, xr.DataArray):
        return mask
    dims = images.dims[images.ndim - np.ndim(mask) :]
    if np.shape(mask) != tuple(images.sizes[d] for d in dims):
        raise PixtallyError(
            f"mask has shape {np.shape(mask)}, the images have {images.shape}; give it their shape"
            f" or that of one image, {images.shape[1:]}"
        )
    return xr.DataArray(mask, dims=dims)


def bring_together(planes: Planes) -> Planes:
    """Rechunk so that every chunk holds whole planes."""
    if planes.whole or not isinstance(planes.samples, da.Array):
        return planes
    samples = planes.samples
    frame = samples.shape[-1] * samples.shape[-2] * samples.dtype.itemsize
    chunks = {i: "auto" if i == 0 else -1 for i in range(samples.ndim)}
    if samples.ndim == 4:
        chunks[1] = 1
    fitting = samples.rechunk(chunks, block_size_limit=max(WHOLE_BYTES, frame))
    mask = None if planes.mask is None else planes.mask.rechunk(fitting.chunks)
    return Planes(planes.images, planes.dims, fitting, mask)


def map_whole(planes: Planes, function: Callable[..., Any], dtype: Any, *rest: Any) -> Array:
    """Apply ``function(block, mask, *rest)`` to every block of whole planes.

    Parameters
    ----------
    planes : Planes
        With whole planes in every chunk.
    function : callable
        Top-level or a partial of one; returns a block of the same shape.
    dtype : dtype
        Of the result.
    *rest
        Further arguments: the same for every block.
    """
    if not isinstance(planes.samples, da.Array):
        made: NDArray[Any] = function(planes.samples, planes.mask, *rest)
        return made
    call = partial(_call_whole, function=function)
    return _blockwise(planes, call, _axes(planes), dtype, {}, rest=rest)


def _call_whole(block: Any, start: Any, *mask: Any, function: Any, names: Any, rest: Any) -> Any:
    return function(block, mask[0] if mask else None, *rest)


def map_parts(
    planes: Planes, function: Callable[..., Any], dtype: Any, **given: Array | None
) -> Array:
    """Apply ``function(block, mask, at=(row, column), **given)`` to every part.

    Parameters
    ----------
    planes : Planes
        Chunked in any way.
    function : callable
        Returns a block of the same shape.
    dtype : dtype
        Of the result.
    **given : array, shape (image, ..., k) or (..., k), or None
        What the sums of the parts say about each plane, or about all images together.
    """
    if not isinstance(planes.samples, da.Array):
        made: NDArray[Any] = function(planes.samples, planes.mask, at=(0, 0), **given)
        return made
    call = partial(_call_part, function=function)
    return _blockwise(planes, call, _axes(planes), dtype, given)


def _call_part(
    block: Any, start: Any, *values: Any, function: Any, names: Any, small: bool = False
) -> Any:
    given = dict(zip(names, values, strict=True))
    row, column = start[0, 0].tolist()
    made = function(block, given.pop("mask", None), at=(row, column), **given)
    return made[..., None, None, :] if small else made


def _axes(planes: Planes) -> tuple[int, ...]:
    return tuple(range(planes.samples.ndim))


def _blockwise(
    planes: Planes,
    call: Callable[..., Any],
    out: tuple[int, ...],
    dtype: Any,
    given: dict[str, Array | None],
    **more: Any,
) -> da.Array:
    """Call on every chunk: its samples, where it starts, the mask, and what is given by name."""
    samples = planes.samples
    axes = _axes(planes)
    arguments: list[Any] = [samples, axes, _starts(samples), axes[-2:]]
    names = []
    if planes.mask is not None:
        names.append("mask")
        arguments += [planes.mask, axes]
    for name, value in given.items():
        if value is not None:
            names.append(name)
            lead = axes[: samples.ndim - 2][samples.ndim - 1 - value.ndim :]
            arguments += [value, (*lead, samples.ndim + 1)]
    return da.blockwise(
        call,
        out,
        *arguments,
        names=tuple(names),
        dtype=dtype,
        meta=np.empty((0,) * len(out), dtype),
        concatenate=True,
        align_arrays=False,
        **more,
    )


def _starts(samples: da.Array) -> da.Array:
    """Return the first row and column of every chunk: one entry a chunk."""
    rows, columns = (np.cumsum((0, *c[:-1])) for c in samples.chunks[-2:])
    pairs = np.empty((len(rows), len(columns)), [("y", "i8"), ("x", "i8")])
    pairs["y"], pairs["x"] = rows[:, None], columns
    return da.from_array(pairs, chunks=1)


def computed_again(array: da.Array, name: str) -> da.Array:
    """Return the same array under other keys.

    Two passes over the same keys would keep every chunk in memory from the first to the second.
    """
    graph = convert_legacy_graph(dict(array.__dask_graph__()))
    renamed = {
        key: (f"{key[0]}-{name}", *key[1:]) if isinstance(key, tuple) else f"{key}-{name}"
        for key in graph
    }
    again = {renamed[k]: node.substitute(renamed, key=renamed[k]) for k, node in graph.items()}
    own = f"{array.name}-{name}"
    layers = HighLevelGraph.from_collections(own, again, dependencies=[])
    return da.Array(layers, own, array.chunks, meta=array._meta)


def sum_parts(
    planes: Planes,
    function: Callable[..., Any],
    length: int,
    dtype: Any,
    *,
    combine: str = "sum",
    together: bool = False,
    again: str = "counts",
    **given: Array | None,
) -> Array:
    """Make something small of every part and combine the parts of each plane by a tree.

    Parameters
    ----------
    planes : Planes
        Chunked in any way.
    function : callable
        ``function(block, mask, at=..., **given)`` returns (image, ..., length), or with
        `together` (1, ..., length).
    length : int
        Of what is made of a part.
    dtype : dtype
        Of the same.
    combine : {"sum", "span"}
        Add, or take the minimum of the first and the maximum of the second of two numbers.
    together : bool
        Combine the images too.
    again : str
        Name of this pass: the images are read again for it.
    **given : array or None
        As in `map_parts`.

    Returns
    -------
    array, shape (image, ..., length), or (..., length) with `together`
    """
    if not isinstance(planes.samples, da.Array):
        made: NDArray[Any] = function(planes.samples, planes.mask, at=(0, 0), **given)
        return np.asarray(made[0]) if together else made
    mask = planes.mask
    own = Planes(
        planes.images,
        planes.dims,
        computed_again(planes.samples, again),
        computed_again(mask, again) if isinstance(mask, da.Array) else None,
    )
    ndim = planes.samples.ndim
    row, column, last = ndim - 2, ndim - 1, ndim + 2
    ones = {row: 1, column: 1, **({0: 1} if together else {})}
    parts = _blockwise(
        own,
        partial(_call_part, function=function, small=True),
        (*_axes(planes), last),
        dtype,
        given,
        new_axes={last: length},
        adjust_chunks={axis: (lambda size: 1) for axis in ones},
    )
    axes = tuple(sorted(ones))
    if combine == "sum":
        return parts.sum(axis=axes, dtype=dtype, split_every=SPLIT_EVERY)
    low = parts[..., 0].min(axis=axes, split_every=SPLIT_EVERY)
    high = parts[..., 1].max(axis=axes, split_every=SPLIT_EVERY)
    return da.stack([low, high], axis=-1).rechunk({-1: -1})
