"""Slices of stored arrays (``images[100:200]``), recognised in Dask's graph and read directly."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from dask._task_spec import Alias, DataNode, Task, TaskRef, convert_legacy_graph
from dask.base import tokenize
from numpy.typing import NDArray

GETTERS = ("getter", "getter_nofancy", "getter_inline")
"""Names of Dask's functions that cut a chunk out of a stored array."""

Bounds = tuple[tuple[int, int], ...]
"""First and past-the-last index along each dimension of the stored array."""


class StoredPart:
    """A part of a stored array, with the attributes that arrays have."""

    array: Any
    """The stored array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the part."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the samples."""
        found: np.dtype[Any] = np.dtype(self.array.dtype)
        return found

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)


@dataclass(frozen=True)
class Cut(StoredPart):
    """A box of a stored array, read straight from the store.

    Attributes
    ----------
    array : array_like
        Stored samples.
    bounds : tuple of (int, int)
        First and past-the-last index along each dimension.
    """

    array: Any
    bounds: Bounds

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the box."""
        return tuple(stop - start for start, stop in self.bounds)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        inner = (s.indices(n) for s, n in zip(index, self.shape, strict=True))
        moved = tuple(
            slice(a + start, max(a, b) + start, step)
            for (a, b, step), (start, _) in zip(inner, self.bounds, strict=True)
        )
        return np.asarray(self.array[moved])

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return ("pixtally.Cut", tokenize(self.array, self.bounds))


def cut_of(array: da.Array) -> Cut | None:
    """Return the box of a stored array that a Dask array is, or None when it is anything else.

    Recognised are `dask.array.from_array` and `xarray.open_zarr` after any number of slices with
    a step of one that keep all dimensions.
    """
    graph = array.__dask_graph__()
    tasks: dict[Hashable, Any] = {}
    names = [array.name]
    while names:
        layer = convert_legacy_graph(dict(graph.layers[names[0]]))
        if not all(map(_only_cuts, layer.values())):
            return None
        tasks |= layer
        names = [*names[1:], *graph.dependencies[names[0]]]
        if len(names) > 1:
            return None
    return _box(array, tasks)


def _only_cuts(task: Any) -> bool:
    function = getattr(getattr(task, "func", None), "__name__", "")
    return isinstance(task, Alias | DataNode) or function in (*GETTERS, "getitem")


def _box(array: da.Array, tasks: dict[Hashable, Any]) -> Cut | None:
    """Return the box that the chunks fill, if they lie in it side by side in their order."""
    first = _region((array.name, *(0,) * array.ndim), tasks)
    if first is None or isinstance(first[0], np.ndarray):
        return None
    stored, corner = first
    ends = []
    for axis, sizes in enumerate(array.chunks):
        at = corner[axis][0]
        for block, size in enumerate(sizes):
            place = tuple(block if a == axis else 0 for a in range(array.ndim))
            found = _region((array.name, *place), tasks)
            wanted = (*corner[:axis], (at, at + size), *corner[axis + 1 :])
            if found is None or found[0] is not stored or found[1] != wanted:
                return None
            at += size
        ends.append(at)
    bounds = tuple((start, end) for (start, _), end in zip(corner, ends, strict=True))
    return Cut(stored, bounds) if getattr(stored, "dtype", None) == array.dtype else None


def _region(key: Hashable, tasks: dict[Hashable, Any]) -> tuple[Any, Bounds] | None:
    """Return the stored array and the part of it that one chunk is."""
    task = tasks.get(key)
    if isinstance(task, Alias):
        return _region(task.target, tasks)
    if not isinstance(task, Task):
        return None
    target, index = task.args[0], _value(task.args[1])
    if not isinstance(index, tuple) or not all(isinstance(s, slice) for s in index):
        return None
    if task.func.__name__ in GETTERS:
        stored = _value(tasks.get(target.key) if isinstance(target, TaskRef) else target)
        shape = getattr(stored, "shape", ())
        return _inside(stored, tuple((0, n) for n in shape), index)
    outer = _region(target.key, tasks) if isinstance(target, TaskRef) else None
    return None if outer is None else _inside(*outer, index)


def _inside(stored: Any, bounds: Bounds, index: tuple[slice, ...]) -> tuple[Any, Bounds] | None:
    """Return a slice of a region, if it has a step of one."""
    if len(index) != len(bounds):
        return None
    found = []
    for (start, stop), part in zip(bounds, index, strict=True):
        a, b, step = part.indices(stop - start)
        if step != 1:
            return None
        found.append((start + a, start + max(a, b)))
    return stored, tuple(found)


def _value(node: Any) -> Any:
    return node.value if isinstance(node, DataNode) else node
