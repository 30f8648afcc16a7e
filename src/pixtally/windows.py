"""Dask arrays that are mere windows on stored data: recognised, and narrowed to some images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from dask._task_spec import convert_legacy_graph
from dask.base import tokenize
from numpy.typing import NDArray

from pixtally.cuts import GETTERS, StoredPart, cut_of


def stored_array(array: da.Array) -> Any | None:
    """Return what a Dask array is a mere window on, or None when anything is computed.

    Recognised are the graphs of `dask.array.from_array` with or without inlining, which is also
    what `xarray.open_zarr` builds, and slices of them.
    """
    cut = cut_of(array)
    if cut is None:
        return None
    return cut.array if cut.shape == cut.array.shape else cut


def with_chunks(array: da.Array, chunks: tuple[Any, ...]) -> da.Array:
    """Return an array in other chunks; a stored one is read in them directly."""
    stored = stored_array(array)
    if stored is None:
        return array.rechunk(chunks)
    return da.from_array(stored, chunks=chunks, inline_array=True)


@dataclass(frozen=True)
class StoredChunks:
    """What a graph reads from stored arrays.

    Attributes
    ----------
    chunk : int
        Bytes of the largest chunk of each array, added up: one of each is read for a result.
    total : int
        Bytes of everything that is read, twice where there are two passes.
    """

    chunk: int
    total: int


def stored_chunks(array: da.Array) -> StoredChunks:
    """Return how much a Dask array reads, from its graph before any optimization."""
    graph = array.__dask_graph__()
    largest = total = 0
    for name, layer in graph.layers.items():
        if not graph.dependencies[name]:
            tasks = convert_legacy_graph(dict(layer)).values()
            sizes = [size for size in map(_bytes_read, tasks) if size]
            largest += max(sizes, default=0)
            total += sum(sizes)
    return StoredChunks(largest, total)


def _bytes_read(task: Any) -> int:
    """Return the bytes that a task cuts out of a stored array; 0 for any other task."""
    if getattr(getattr(task, "func", None), "__name__", "") not in GETTERS:
        return 0
    target, index = (getattr(a, "value", a) for a in task.args[:2])
    if isinstance(target, np.ndarray) or not hasattr(target, "dtype"):
        return 0
    lengths = (len(range(*s.indices(n))) for s, n in zip(index, target.shape, strict=False))
    return int(math.prod(lengths) * np.dtype(target.dtype).itemsize)


@dataclass(frozen=True)
class Picked(StoredPart):
    """Some images of a stored array, in rising order, still read straight from the store.

    Attributes
    ----------
    array : array_like
        Stored samples.
    axis : int
        Dimension of the images.
    rows : ndarray of int
        The images.
    """

    array: Any
    axis: int
    rows: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape with the picked images only."""
        whole = self.array.shape
        return (*whole[: self.axis], len(self.rows), *whole[self.axis + 1 :])

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Chunks of the store."""
        return encoded_chunks(self.array)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        rows = self.rows[index[self.axis]]
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        before, after = index[: self.axis], index[self.axis + 1 :]
        blocks = [
            np.asarray(self.array[(*before, slice(run[0], run[-1] + 1), *after)]) for run in runs
        ]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=self.axis)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return ("pixtally.Picked", tokenize(self.array, self.axis, self.rows))


def pick(array: da.Array, axis: int, rows: NDArray[np.intp]) -> da.Array:
    """Return some images of an array; of a stored one so that it is still read directly."""
    stored = stored_array(array)
    if stored is None:
        return da.take(array, rows, axis=axis)
    picked = Picked(stored, axis, rows)
    largest = tuple(max(sizes) for sizes in array.chunks)
    return da.from_array(picked, chunks=largest, inline_array=True)


def encoded_chunks(stored: Any) -> tuple[int, ...] | None:
    """Return the chunks of a Zarr array inside xarray's lazy wrappers."""
    for _ in range(8):
        if stored is None:
            return None
        if hasattr(stored, "get_array"):
            stored = stored.get_array()
        if isinstance(getattr(stored, "chunks", None), tuple):
            return tuple(stored.chunks)
        stored = getattr(stored, "array", None)
    return None
