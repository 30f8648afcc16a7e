"""What writing a collection will do and need, before it begins: shards, bytes, peak memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from pixtally.blocks import Source, Tile
from pixtally.errors import PixtallyError
from pixtally.layout import CHUNK_BYTES, MAX_SHARD_BYTES, Layout, choose_layout
from pixtally.plan import PROCESS_BYTES, USABLE, Resources, rows_text
from pixtally.sizes import MiB, shape_text, size_text
from pixtally.windows import stored_chunks

SHARD_BYTES = 64 * 2**20
"""Size aimed at where the frames themselves must be cut."""


IMAGES_PROCESS_BYTES = PROCESS_BYTES + 64 * MiB
"""A worker as for counting, with the further libraries and kernels that images are made with."""


@dataclass(frozen=True)
class ImagesPlan:
    """How a collection is computed and written; every number is known before anything runs.

    Attributes
    ----------
    layout : Layout
        Shape, stored chunks and shards; one task writes one shard.
    dtype : str
        Of the stored samples.
    bytes_read, bytes_written : int
        Before compression; what needs two passes is read twice.
    memory_terms : dict
        Bytes of each thing that a task holds at its peak, and ``process`` once a worker.
    threads : int
        Tasks at a time in a worker.
    """

    layout: Layout
    dtype: str
    bytes_read: int
    bytes_written: int
    memory_terms: dict[str, int]
    threads: int

    @property
    def tasks(self) -> int:
        """Number of shards."""
        return math.prod(_counts(self.layout.shape, self.layout.shards))

    @property
    def peak_worker_bytes(self) -> int:
        """Most memory that one worker process needs."""
        a_task = sum(v for k, v in self.memory_terms.items() if k != "process")
        return self.memory_terms["process"] + self.threads * a_task

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-able numbers."""
        plain = asdict(self)
        plain |= plain.pop("layout")
        return {**plain, "tasks": self.tasks, "peak_worker_bytes": self.peak_worker_bytes}

    def text(self, resources: Resources) -> str:
        """Return the plan as people read it."""
        images, *pixels = self.layout.shape
        lines = {
            "images": f"{images} of {shape_text(tuple(pixels))}, {self.dtype}",
            "tasks": f"{self.tasks} shards of {shape_text(self.layout.shards)} on "
            f"{resources.workers} workers × {resources.threads} threads",
            "reads": size_text(self.bytes_read),
            "writes": f"{size_text(self.bytes_written)} (before compression)",
            "peak memory": f"{size_text(self.peak_worker_bytes)} a worker of "
            f"{size_text(resources.memory)}",
        }
        return rows_text(lines, self.memory_terms)


def plan_images(
    source: Source, resources: Resources, chunks: tuple[int, ...] | None = None
) -> ImagesPlan:
    """Choose the shards of a collection and add up what writing them costs.

    Parameters
    ----------
    source : Source
        The images, the first dimension first.
    resources : Resources
        Where it will run.
    chunks : tuple of int, optional
        Stored chunks that the user named.

    Returns
    -------
    ImagesPlan

    Raises
    ------
    PixtallyError
        When no shard is small enough for the memory of a worker: with both numbers and ways out.
    """
    array = source.array
    itemsize = array.dtype.itemsize
    layout = choose_images_layout(array, chunks)
    reads = stored_chunks(array)
    budget = (int(resources.memory * USABLE) - IMAGES_PROCESS_BYTES) // resources.threads
    while True:
        terms = _memory_terms(source, layout, reads.chunk)
        smaller = _smaller_shards(layout)
        if sum(terms.values()) <= budget or smaller == layout:
            break
        layout = smaller
    if sum(terms.values()) > budget:
        raise PixtallyError(_refusal(terms, resources))
    return ImagesPlan(
        layout=layout,
        dtype=str(array.dtype),
        bytes_read=reads.total,
        bytes_written=math.prod(layout.shape) * itemsize,
        memory_terms={"process": IMAGES_PROCESS_BYTES, **terms},
        threads=resources.threads,
    )


def choose_images_layout(array: Any, chunks: tuple[int, ...] | None = None) -> Layout:
    """Cut a Dask array into stored chunks and shards, and frames where one alone is too large."""
    itemsize = array.dtype.itemsize
    layout = choose_layout(array.shape[0], array.shape[1:], itemsize, chunks)
    if _in_long_tiles(layout, array.chunksize):
        return _long_tiles(layout, array.chunksize, itemsize)
    if math.prod(layout.shards) * itemsize > MAX_SHARD_BYTES:
        return cut_frames(layout, array.chunksize, itemsize, chunks)
    return layout


def _in_long_tiles(layout: Layout, chunksize: tuple[int, ...]) -> bool:
    """Whether images are computed in parts of frames, over more of them than a shard holds."""
    images, *pixels = chunksize
    fitting = all(size % chunk == 0 for size, chunk in zip(chunksize, layout.chunks, strict=True))
    return (
        fitting and images >= layout.shards[0] and math.prod(pixels) < math.prod(layout.shape[1:])
    )


def _long_tiles(layout: Layout, chunksize: tuple[int, ...], itemsize: int) -> Layout:
    """Cut shards along such parts: what a part of all images shares is read once a shard."""
    images, *pixels = chunksize
    fitting = max(1, SHARD_BYTES // (math.prod(chunksize) * itemsize))
    images = min(fitting * images, -(-layout.shape[0] // layout.chunks[0]) * layout.chunks[0])
    return replace(layout, shards=(images, *pixels))


def _memory_terms(source: Source, layout: Layout, read: int) -> dict[str, int]:
    """Return what the task of one shard holds at its peak, by name.

    Chunks that are computed may hold their samples once more as float64, the widest type that any
    kernel works in: a rule for all of them, so that any lazy array can be planned.
    """
    array = source.array
    itemsize = array.dtype.itemsize
    shard = math.prod(min(a, b) for a, b in zip(layout.shards, layout.shape, strict=True))
    terms = {
        "shard": shard * itemsize,
        "encoded shard": shard * itemsize,
    }
    if source.stored is not None:
        batch = layout.chunks[0] * shard // min(layout.shards[0], layout.shape[0])
        return {
            "decoded chunk": math.prod(source.chunks) * itemsize,
            "images of a step": batch * itemsize,
            **terms,
        }
    step, chunk = _read_together(array.chunks, layout)
    return {
        "chunks read": read * (1 + step // chunk),
        "chunks computed": step * itemsize,
        "a chunk as float64": chunk * 8,
        **terms,
    }


def _read_together(chunks: tuple[tuple[int, ...], ...], layout: Layout) -> tuple[int, int]:
    """Return the samples of all chunks that a step of a shard touches, and of one of them."""
    step = chunk = max(chunks[0], default=1) or 1
    for sizes, shard in zip(chunks[1:], layout.shards[1:], strict=True):
        size = max(sizes, default=1) or 1
        chunk *= size
        aligned = shard % size == 0 or len(sizes) == 1
        touched = -(-shard // size) + (0 if aligned else 1)
        step *= min(touched * size, sum(sizes))
    return step, chunk


def _smaller_shards(layout: Layout) -> Layout:
    """Halve the shards, of images first, in whole chunks; the same layout where none is left."""
    for axis, (shard, chunk) in enumerate(zip(layout.shards, layout.chunks, strict=True)):
        parts = -(-min(shard, layout.shape[axis]) // chunk)
        if parts > 1:
            halved = -(-parts // 2) * chunk
            return replace(
                layout, shards=(*layout.shards[:axis], halved, *layout.shards[axis + 1 :])
            )
    return layout


def _refusal(terms: dict[str, int], resources: Resources) -> str:
    name, largest = max(terms.items(), key=lambda term: term[1])
    need = IMAGES_PROCESS_BYTES + resources.threads * sum(terms.values())
    return (
        f"writing the images needs {size_text(need)} a worker and has "
        f"{size_text(resources.memory)} ({USABLE:.0%} usable); most goes to '{name}' "
        f"({size_text(largest)} a task); use fewer threads a worker, more memory a worker, or "
        "images in smaller chunks: open_images(path, chunks=...)"
    )


def regions(layout: Layout) -> Iterator[tuple[tuple[int, int], Tile]]:
    """Yield the images and the pixels of every shard."""
    for rows, *pixels in product(*_parts(layout)):
        yield rows, tuple(slice(a, b) for a, b in pixels)


def pixel_tiles(layout: Layout) -> list[Tile]:
    """Return the pixels of the shards of some images."""
    return [tuple(slice(a, b) for a, b in pixels) for pixels in product(*_parts(layout)[1:])]


def _parts(layout: Layout) -> list[list[tuple[int, int]]]:
    return [
        [(a, min(a + step, size)) for a in range(0, size, step)]
        for size, step in zip(layout.shape, layout.shards, strict=True)
    ]


def _counts(shape: tuple[int, ...], step: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-size // part) for size, part in zip(shape, step, strict=True))


def cut_frames(
    layout: Layout, wanted: tuple[int, ...], itemsize: int, chunks: tuple[int, ...] | None
) -> Layout:
    """Cut frames too large for one shard, along the chunks in which they are computed.

    Parameters
    ----------
    layout : Layout
        Of whole frames.
    wanted : tuple of int
        Chunks of the images that are computed.
    itemsize : int
        Bytes of a sample.
    chunks : tuple of int or None
        Stored chunks that the user named.

    Returns
    -------
    Layout

    Examples
    --------
    >>> layout = choose_layout(1, (30_000, 30_000), 1)
    >>> cut_frames(layout, (1, 1024, 1024), 1, None).shards
    (1, 8192, 8192)
    """
    images = layout.chunks[0]
    inner = layout.chunks
    if chunks is None and images * math.prod(inner[1:]) * itemsize < CHUNK_BYTES // 4:
        # Few images: a chunk of many pixels takes the place of one over many images.
        side = 1 << ((CHUNK_BYTES // (images * itemsize)).bit_length() - 1) // 2
        inner = (*inner[:-2], *(min(side, size) for size in layout.shape[-2:]))
    shards = [images, *inner[1:]]
    for axis, size in enumerate(layout.shape):
        if axis and wanted[axis] % inner[axis] == 0:
            shards[axis] = wanted[axis]
        elif axis and wanted[axis] >= size:
            shards[axis] = -(-size // inner[axis]) * inner[axis]
    grown = True
    while grown:
        grown = False
        for axis in (-1, -2):
            doubled = 2 * shards[axis]
            if (
                shards[axis] < layout.shape[axis]
                and 2 * math.prod(shards) * itemsize <= SHARD_BYTES
            ):
                shards[axis], grown = doubled, True
    return Layout(layout.shape, inner, tuple(shards))
