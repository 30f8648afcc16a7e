"""Blocks of images for one tile: read straight from the store, or computed from a Dask graph.

A task that counts a tile asks a reader for one range of images after the other. An array that is
only a window on stored data (`dask.array.from_array`, `xarray.open_zarr`) is read directly, in
whatever ranges suit the plan. Anything else is computed chunk by chunk inside the task, from the
part of its graph that leads to this tile, so that only one chunk is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

import dask
import dask.array as da
import numpy as np
from dask._task_spec import DataNode, convert_legacy_graph
from numpy.typing import NDArray

from pixtally.windows import encoded_chunks, stored_array

Tile = tuple[slice, ...]
Graph = dict[Hashable, Any]

EMBEDDED_BYTES = 2**20
"""A constant of a graph that many chunks share travels with every task only if it is smaller."""


class Reader(Protocol):
    """Reads the samples of one tile."""

    def steps(self, start: int, stop: int, batch: int) -> list[tuple[int, int]]:
        """Return the ranges of images in which ``start … stop`` are read."""

    def read(self, start: int, stop: int, inputs: Mapping[Hashable, Any]) -> NDArray[Any]:
        """Return the samples of a range of `steps`, shape (images, *tile)."""


@dataclass(frozen=True)
class StoredReader:
    """Reads a tile straight from an array-like with NumPy indexing.

    Attributes
    ----------
    array : array_like
        Stored samples; picklable.
    tile : tuple of slice
        Pixels, in the order of the dimensions without images.
    axis : int
        Dimension of the images in `array`.
    """

    array: Any
    tile: Tile
    axis: int = 0

    def steps(self, start: int, stop: int, batch: int) -> list[tuple[int, int]]:
        """Return ranges of `batch` images."""
        return [(a, min(a + batch, stop)) for a in range(start, stop, batch)]

    def read(self, start: int, stop: int, inputs: Mapping[Hashable, Any]) -> NDArray[Any]:
        """Return the samples, images first."""
        index = (*self.tile[: self.axis], slice(start, stop), *self.tile[self.axis :])
        return np.moveaxis(np.asarray(self.array[index]), self.axis, 0)


@dataclass(frozen=True)
class Still:
    """The same pixels for every image: a mask or weights without an image dimension."""

    pixels: NDArray[Any]

    def reader(self, tile: Tile, images: tuple[int, int]) -> tuple[Reader, set[Hashable]]:
        """Return the reader of a tile; it needs no inputs."""
        return FixedReader(self.pixels[tile]), set()


@dataclass(frozen=True)
class PerImage:
    """One value for all pixels of an image, shape (image, 1, ...)."""

    values: NDArray[Any]

    def reader(self, tile: Tile, images: tuple[int, int]) -> tuple[Reader, set[Hashable]]:
        """Return the reader of a tile; it needs no inputs."""
        return self, set()

    def steps(self, start: int, stop: int, batch: int) -> list[tuple[int, int]]:
        """Return ranges of `batch` images."""
        return [(a, min(a + batch, stop)) for a in range(start, stop, batch)]

    def read(self, start: int, stop: int, inputs: Mapping[Hashable, Any]) -> NDArray[Any]:
        """Return the values of some images."""
        return self.values[start:stop]


@dataclass(frozen=True)
class FixedReader:
    """Gives the same pixels for every image: a mask or weights without an image dimension."""

    pixels: NDArray[Any]

    def steps(self, start: int, stop: int, batch: int) -> list[tuple[int, int]]:
        """Return ranges of `batch` images."""
        return [(a, min(a + batch, stop)) for a in range(start, stop, batch)]

    def read(self, start: int, stop: int, inputs: Mapping[Hashable, Any]) -> NDArray[Any]:
        """Return a view, shape (images, *tile), that takes no memory of its own."""
        return np.broadcast_to(self.pixels, (stop - start, *self.pixels.shape))


@dataclass(frozen=True)
class GraphReader:
    """Computes a tile chunk by chunk from the part of a graph that leads to it.

    Attributes
    ----------
    graph : dict
        Tasks for the chunks of this tile.
    pieces : dict
        For each range of images the chunks that cover the tile: (key, part of the chunk, place
        in the tile).
    shape : tuple of int
        Of the tile.
    dtype : dtype
        Of the samples.
    kept : dict
        What the ranges before and after the last one read both need, such as the counts of these
        pixels; empty before the first range and after the last.
    """

    graph: Graph
    pieces: dict[tuple[int, int], list[tuple[Hashable, Tile, Tile]]]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    kept: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def steps(self, start: int, stop: int, batch: int) -> list[tuple[int, int]]:
        """Return the chunks' own ranges, clipped to ``start … stop``."""
        clipped = ((max(a, start), min(b, stop)) for a, b in self.pieces)
        return [(a, b) for a, b in clipped if a < b]

    def read(self, start: int, stop: int, inputs: Mapping[Hashable, Any]) -> NDArray[Any]:
        """Return the samples of images within one chunk."""
        (first, last), pieces = next(
            (span, p) for span, p in self.pieces.items() if span[0] <= start < span[1]
        )
        keys = [key for key, _, _ in pieces]
        chunks = self._computed(keys, self._keys_after(first), inputs)
        images = slice(start - first, stop - first)
        if len(pieces) == 1 and last - first == chunks[0].shape[0]:
            return np.asarray(chunks[0])[(images, *pieces[0][1])]
        block = np.empty((stop - start, *self.shape), self.dtype)
        for chunk, (_, part, place) in zip(chunks, pieces, strict=True):
            block[(slice(None), *place)] = chunk[(images, *part)]
        return block

    def _keys_after(self, first: int) -> list[Hashable]:
        """Return the chunks of the range that follows the one that begins with image `first`."""
        later = [span for span in self.pieces if span[0] > first]
        return [key for key, _, _ in self.pieces[min(later)]] if later else []

    def _computed(
        self, keys: list[Hashable], following: list[Hashable], inputs: Mapping[Hashable, Any]
    ) -> list[Any]:
        """Compute chunks, and keep what the following ones need too."""
        values = {**inputs, **self.kept}
        known = {**self.graph, **{key: DataNode(key, value) for key, value in values.items()}}
        constant = {key for key, node in known.items() if isinstance(node, DataNode)}
        common = _common_inputs(known, keys, following) - (constant - self.kept.keys())
        extra = sorted(common - self.kept.keys(), key=str)
        made = dask.get(known, [*keys, *extra])
        found = {**self.kept, **dict(zip(extra, made[len(keys) :], strict=True))}
        self.kept.clear()
        self.kept.update((key, found[key]) for key in common)
        return list(made[: len(keys)])


def _common_inputs(
    graph: Graph, keys: Iterable[Hashable], others: Iterable[Hashable]
) -> set[Hashable]:
    """Return what both some tasks and others need and only one of them needs the results of."""
    ours, theirs = _needed(graph, keys), _needed(graph, others)
    both = ours & theirs
    outer = (ours | theirs) - both
    return {key for task in outer for key in graph[task].dependencies} & both


def _needed(graph: Graph, keys: Iterable[Hashable]) -> set[Hashable]:
    found: set[Hashable] = set()
    todo = list(keys)
    while todo:
        key = todo.pop()
        if key not in found:
            found.add(key)
            todo.extend(graph[key].dependencies)
    return found


@dataclass
class Source:
    """Where the samples of a job come from; images are the first dimension of `array`.

    Attributes
    ----------
    array : dask array, shape (image, ...)
        The samples.
    stored : array_like or None
        The stored array behind it, when it is nothing more.
    axis : int
        Dimension of the images in `stored`.
    tiles : sequence of tile, optional
        Pixels that are read together, where that is known: what only such pixels of the same
        images need is computed with them, and never kept for other tasks.
    """

    array: da.Array
    stored: Any = None
    axis: int = 0
    tiles: Sequence[Tile] = ()
    _graph: Graph = field(default_factory=dict, repr=False)
    _shared: set[Hashable] = field(default_factory=set, repr=False)

    @classmethod
    def of(cls, array: da.Array, axis: int, tiles: Sequence[Tile] = ()) -> Source:
        """Return the source for a Dask array whose images lie along `axis`."""
        images_first = da.moveaxis(array, axis, 0) if axis else array
        return cls(images_first, stored_array(array), axis, tiles)

    @property
    def graph(self) -> Graph:
        """Return the optimized graph of `array`; read directly, an array needs none."""
        if not self._graph and self.stored is None:
            (flat,) = dask.optimize(self.array)
            self._graph = convert_legacy_graph(dict(flat.__dask_graph__()))
            self._shared = _shared_tasks(self._graph, self._read_together())
        return self._graph

    def _read_together(self) -> list[list[Hashable]]:
        """Return the chunks that one call of `read` computes, for every such call."""
        if not self.tiles:
            return [[key] for key in _flat_keys(self.array)]
        every = (0, self.array.shape[0])
        calls = [pieces for t in self.tiles for pieces in _pieces(self.array, t, every).values()]
        return [[key for key, _, _ in pieces] for pieces in calls]

    @property
    def chunks(self) -> tuple[int, ...]:
        """Return the largest chunk that is decoded or computed at a time, images first."""
        stored = getattr(self.stored, "chunks", None) or encoded_chunks(self.stored)
        if self.stored is not None and stored is not None:
            rest = (*stored[: self.axis], *stored[self.axis + 1 :])
            return (int(stored[self.axis]), *(int(c) for c in rest))
        return tuple(max(c, default=1) or 1 for c in self.array.chunks)

    def reader(self, tile: Tile, images: tuple[int, int]) -> tuple[Reader, set[Hashable]]:
        """Return the reader of a tile, and the keys whose values its `read` must be given."""
        if self.stored is not None:
            return StoredReader(self.stored, tile, self.axis), set()
        source_graph = self.graph
        pieces = _pieces(self.array, tile, images)
        keys = [key for parts in pieces.values() for key, _, _ in parts]
        graph, inputs = _embedded(source_graph, keys, self._shared)
        shape = tuple(s.stop - s.start for s in tile)
        return GraphReader(graph, pieces, shape, self.array.dtype), inputs

    def input_graph(self, keys: Iterable[Hashable]) -> Graph:
        """Return the tasks that make `keys` and all that they need."""
        needed: Graph = {}
        todo = list(keys)
        while todo:
            key = todo.pop()
            if key not in needed:
                needed[key] = self._graph[key]
                todo.extend(self._graph[key].dependencies)
        return needed


def _flat_keys(array: da.Array) -> list[Hashable]:
    return [(array.name, *index) for index in product(*map(range, array.numblocks))]


def _pieces(
    array: da.Array, tile: Tile, images: tuple[int, int]
) -> dict[tuple[int, int], list[tuple[Hashable, Tile, Tile]]]:
    """Find the chunks that cover a tile, by range of images."""
    overlaps = [_overlaps(c, s) for c, s in zip(array.chunks[1:], tile, strict=True)]
    pieces: dict[tuple[int, int], list[tuple[Hashable, Tile, Tile]]] = {}
    first = 0
    for block, size in enumerate(array.chunks[0]):
        span = (first, first + size)
        first += size
        if span[1] <= images[0] or span[0] >= images[1]:
            continue
        pieces[span] = [
            (
                (array.name, block, *(b for b, _, _ in cover)),
                tuple(part for _, part, _ in cover),
                tuple(place for _, _, place in cover),
            )
            for cover in product(*overlaps)
        ]
    return pieces


def _overlaps(chunks: Sequence[int], wanted: slice) -> list[tuple[int, slice, slice]]:
    """Return (chunk number, part of the chunk, place in the wanted range) along one dimension."""
    found = []
    first = 0
    for number, size in enumerate(chunks):
        low, high = max(first, wanted.start), min(first + size, wanted.stop)
        if low < high:
            part = slice(low - first, high - first)
            found.append((number, part, slice(low - wanted.start, high - wanted.start)))
        first += size
    return found


def _shared_tasks(graph: Graph, groups: list[list[Hashable]]) -> set[Hashable]:
    """Return what more than one group of chunks needs and no task should compute again.

    Reads (tasks that depend on nothing but constants) are repeated rather than kept: keeping them
    would hold the images in memory. Large constants are kept.
    """
    owner: dict[Hashable, int] = {}
    shared: set[Hashable] = set()
    for number, group in enumerate(groups):
        todo = [key for output in group for key in graph[output].dependencies]
        seen: set[Hashable] = set()
        while todo:
            key = todo.pop()
            if key in seen:
                continue
            seen.add(key)
            if owner.setdefault(key, number) != number:
                shared.add(key)
            todo.extend(graph[key].dependencies)
    return {key for key in shared if not _is_cheap(graph, key)}


def _is_cheap(graph: Graph, key: Hashable) -> bool:
    node = graph[key]
    if isinstance(node, DataNode):
        return getattr(node.value, "nbytes", 0) <= EMBEDDED_BYTES or not isinstance(
            node.value, np.ndarray
        )
    return all(isinstance(graph[k], DataNode) for k in node.dependencies)


def _embedded(
    graph: Graph, keys: Iterable[Hashable], shared: set[Hashable]
) -> tuple[Graph, set[Hashable]]:
    """Return the part of a graph that travels with a task, and the keys it takes as inputs."""
    inside: Graph = {}
    inputs: set[Hashable] = set()
    todo = list(keys)
    while todo:
        key = todo.pop()
        if key in inside or key in inputs:
            continue
        if key in shared:
            inputs.add(key)
        else:
            inside[key] = graph[key]
            todo.extend(graph[key].dependencies)
    return inside, inputs
