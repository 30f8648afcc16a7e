"""What a job will do, by integer arithmetic alone: tiles, segments, tasks, bytes, peak memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from pixtally.errors import PixtallyError
from pixtally.sizes import MiB, shape_text, size_text
from pixtally.tile_chunks import stored_chunks

PROCESS_BYTES = 350 * MiB
"""A worker with the libraries loaded and the kernels compiled, before any image is read."""

USABLE = 0.8
"""Part of a worker's memory that a plan may fill; Dask pauses a worker above it."""

BLOCK_BYTES = 16 * MiB
"""Images of a tile that are counted together: large enough to hide every cost per block."""

WIDE_BLOCK_BYTES = 256 * MiB
"""The same where a tile is a whole image and the counters are far larger than the caches."""

LEAST_COUNTERS = 4 * MiB
"""Tiles with smaller counters are joined while there are plenty of tiles."""

SPLIT_EVERY = 4
"""Partial results added by one task: few, because all of them are in memory at once."""

LEAST_SEGMENT = 4 * MiB
"""Images of a tile are split among tasks only if each part is at least so large."""

MOST_TASKS = 20_000


@dataclass(frozen=True)
class Resources:
    """What a job may use.

    Attributes
    ----------
    workers : int
        Processes.
    threads : int
        Tasks at a time in each.
    memory : int
        Bytes of each process.
    """

    workers: int
    threads: int
    memory: int

    @classmethod
    def local(cls) -> Resources:
        """Return this process with a thread a core and the machine's memory."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(1, os.cpu_count() or 1, memory)

    @property
    def slots(self) -> int:
        """Tasks at a time in all."""
        return self.workers * self.threads


@dataclass(frozen=True)
class Work:
    """What is to be counted, in numbers.

    Attributes
    ----------
    shape : tuple of int
        Images first, then the pixel dimensions.
    chunks : tuple of int
        The chunk that is decoded at a time, in the same order.
    itemsize : int
        Bytes a sample.
    slots : int
        Bins and flow slots.
    counter : int
        Bytes of a counter that no image count overflows.
    slot_bytes, mask_bytes, weight_bytes : int
        Bytes a sample that finding slots, a mask and weights take beside the samples.
    streamed : bool
        Any range of images can be read from the store; else whole chunks are computed.
    lazy : bool
        Segments are added in memory, as in a graph; a job adds them on disk.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    itemsize: int
    slots: int
    counter: int
    slot_bytes: int = 0
    mask_bytes: int = 0
    weight_bytes: int = 0
    streamed: bool = True
    lazy: bool = False


@dataclass(frozen=True)
class Plan:
    """How a histogram is computed; every number is known before anything runs.

    Attributes
    ----------
    tile : tuple of int
        Pixels that one task counts over its images.
    shard, inner : tuple of int
        Pixels in one file and in one chunk of the stored result.
    segment_edges : tuple of int
        Bounds of the parts of the image axis that are counted apart and added.
    batch : int
        Images counted together.
    memory_terms : dict
        Bytes of each thing that a task holds at its peak, and ``process`` once a worker.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]
    shard: tuple[int, ...]
    inner: tuple[int, ...]
    segment_edges: tuple[int, ...]
    batch: int
    tasks: int
    bytes_read: int
    bytes_moved: int
    bytes_written: int
    memory_terms: dict[str, int]
    threads: int

    @property
    def segments(self) -> int:
        """Number of parts of the image axis."""
        return len(self.segment_edges) - 1

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return math.prod(_counts(self.shape[1:], self.tile))

    @property
    def peak_worker_bytes(self) -> int:
        """Most memory that one worker process needs."""
        a_task = sum(v for k, v in self.memory_terms.items() if k != "process")
        return self.memory_terms["process"] + self.threads * a_task

    def tile_slices(self) -> Iterator[tuple[slice, ...]]:
        """Yield the pixels of every tile."""
        return grid(self.shape[1:], self.tile)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-able numbers."""
        plain = asdict(self)
        plain |= {
            "tiles": self.tiles,
            "segments": self.segments,
            "peak_worker_bytes": self.peak_worker_bytes,
        }
        return plain

    def text(self, resources: Resources) -> str:
        """Return the plan as people read it."""
        images, *pixels = self.shape
        lines = {
            "images": f"{images} of {shape_text(tuple(pixels))}",
            "tiles": f"{self.tiles} of {shape_text(self.tile)} pixels",
            "segments": f"{self.segments} of the image axis",
            "tasks": f"{self.tasks} on {resources.workers} workers × {resources.threads} threads",
            "reads": size_text(self.bytes_read),
            "moves": size_text(self.bytes_moved),
            "writes": f"{size_text(self.bytes_written)} (before compression)",
            "peak memory": f"{size_text(self.peak_worker_bytes)} a worker of "
            f"{size_text(resources.memory)}",
        }
        return rows_text(lines, self.memory_terms)


def grid(shape: tuple[int, ...], tile: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield the slices of every tile of `shape`, the last dimension fastest."""
    starts = (range(0, size, step) for size, step in zip(shape, tile, strict=True))
    for corner in product(*starts):
        yield tuple(
            slice(a, min(a + step, size)) for a, step, size in zip(corner, tile, shape, strict=True)
        )


def rows_text(lines: dict[str, str], terms: dict[str, int]) -> str:
    """Return a plan's lines, and its terms of memory below them, in columns."""
    rows = [f"{name:<12} {text}" for name, text in lines.items()]
    return "\n".join(rows + [f"  {name:<20} {size_text(n)}" for name, n in terms.items() if n])


def plan_histogram(work: Work, resources: Resources) -> Plan:
    """Choose tiles, segments and batches, and add up what they cost.

    Parameters
    ----------
    work : Work
        What is to be counted.
    resources : Resources
        Where it will run.

    Returns
    -------
    Plan

    Raises
    ------
    PixtallyError
        When no tile is small enough for the memory of a worker: with both numbers and ways out.
    """
    budget = (int(resources.memory * USABLE) - PROCESS_BYTES) // resources.threads
    tile = _joined_tile(work, resources)
    while True:
        batch = _batch(work, tile, budget)
        inner, shard = stored_chunks(work.shape[1:], tile, work.slots * work.counter)
        segment_edges = _segments(work, tile, resources)
        batch = min(batch, segment_edges[1])
        terms = _memory_terms(work, tile, batch, shard, len(segment_edges) - 1)
        if sum(terms.values()) <= budget:
            break
        smaller = _halved(tile)
        if smaller == tile:
            raise PixtallyError(_refusal(work, terms, resources))
        tile = smaller
    return _add_up(work, tile, shard, inner, segment_edges, batch, terms, resources)


def _joined_tile(work: Work, resources: Resources) -> tuple[int, ...]:
    """Start from one chunk, and join neighbours while tiles are tiny and plenty."""
    pixels = work.shape[1:]
    tile = tuple(min(c, s) for c, s in zip(work.chunks[1:], pixels, strict=True))
    while True:
        tiles = math.prod(_counts(pixels, tile))
        small = math.prod(tile) * work.slots * work.counter < LEAST_COUNTERS
        plenty = tiles >= 8 * resources.slots
        if not (tiles > MOST_TASKS // 2 or (small and plenty)):
            return tile
        narrow = [d for d in range(len(tile)) if tile[d] < pixels[d]]
        if not narrow:
            return tile
        grown = min(narrow, key=lambda d: tile[d])
        tile = (*tile[:grown], min(2 * tile[grown], pixels[grown]), *tile[grown + 1 :])


def _halved(tile: tuple[int, ...]) -> tuple[int, ...]:
    """Cut a tile in two along its slowest dimension that can be cut."""
    for d, size in enumerate(tile):
        if size > 1:
            return (*tile[:d], -(-size // 2), *tile[d + 1 :])
    return tile


def _batch(work: Work, tile: tuple[int, ...], budget: int) -> int:
    """Choose how many images are counted together.

    The counters of a tile are added to once a batch, which is free where a batch has a few times
    more images than a pixel has slots.
    """
    an_image = math.prod(tile) * (work.itemsize + work.slot_bytes)
    wanted = max(BLOCK_BYTES // an_image, min(4 * work.slots, WIDE_BLOCK_BYTES // an_image))
    wanted = min(wanted, budget // 3 // an_image)
    if wanted > work.chunks[0]:
        wanted -= wanted % work.chunks[0]
    return max(1, min(wanted, work.shape[0]))


def _segments(work: Work, tile: tuple[int, ...], resources: Resources) -> tuple[int, ...]:
    """Split the image axis only where tiles do not keep the workers busy.

    A segment must read more than its counters hold, else adding them costs more than counting.
    """
    images = work.shape[0]
    tiles = math.prod(_counts(work.shape[1:], tile))
    least = max(
        work.slots * work.counter // work.itemsize,
        4 * work.slots,
        LEAST_SEGMENT // (math.prod(tile) * work.itemsize),
    )
    wanted = -(-resources.slots // tiles) if tiles else 1
    most = max(1, images // least)
    segments = _even(work, tile, min(wanted, most), most, resources.slots)
    step = -(-images // segments)
    step = min(images, -(-step // work.chunks[0]) * work.chunks[0])
    return (*range(0, images, max(step, 1)), images) if images else (0, 0)


def _even(work: Work, tile: tuple[int, ...], wanted: int, most: int, slots: int) -> int:
    """Return more segments where in the last round most workers would have nothing to do.

    144 tiles on 64 workers take three rounds, or nine of quarters. Partial counts must be written
    and added for it, so a fifth of the time must be gained.
    """
    tiles = math.prod(_counts(work.shape[1:], tile))
    counters = math.prod(tile) * work.slots * work.counter
    samples = work.shape[0] * math.prod(tile) * work.itemsize

    def cost(segments: int) -> int:
        # In samples counted: a byte of counters takes about as long as two.
        rounds = -(-tiles * segments // slots)
        if segments == 1:
            return rounds * (samples + 2 * counters)
        adding = 2 * counters * (segments + 2) * tiles // max(1, min(slots, tiles))
        return rounds * (samples // segments + 2 * counters) + adding

    best = min(range(wanted, min(most, 8 * wanted) + 1), key=cost)
    return best if 5 * cost(best) <= 4 * cost(wanted) else wanted


def _memory_terms(
    work: Work, tile: tuple[int, ...], batch: int, shard: tuple[int, ...], segments: int
) -> dict[str, int]:
    """Return what one task holds at its peak, by name."""
    pixels = math.prod(tile)
    pixel_bytes = work.slots * work.counter
    # A chunk is decoded whole before the tile's part is copied out of it. Chunks that are computed
    # come with what they were made from, and one of them may be worked on as float64.
    chunk = math.prod(work.chunks)
    computed = 0 if work.streamed else work.chunks[0] * _touched(tile, work.chunks[1:])
    joined = work.streamed or batch > work.chunks[0]
    samples = batch * pixels
    return {
        "decoded chunk": chunk * work.itemsize if work.streamed else 0,
        "chunks computed": computed * 2 * work.itemsize,
        "a chunk as float64": 0 if work.streamed else chunk * 8,
        "samples of a batch": samples * work.itemsize * (1 if joined else 0),
        "slots of a batch": samples * work.slot_bytes,
        "mask": samples * work.mask_bytes,
        "weights": samples * work.weight_bytes,
        "counters of a tile": pixels * pixel_bytes,
        "segments being added": pixels * pixel_bytes * _held(segments) if work.lazy else 0,
        "kernel caches": MiB,
        "shard being written": 2 * min(math.prod(shard), pixels) * pixel_bytes,
    }


def _touched(tile: tuple[int, ...], chunk: tuple[int, ...]) -> int:
    """Return the pixels of the whole chunks that a tile is made of."""
    return math.prod(-(-size // width) * width for size, width in zip(tile, chunk, strict=True))


def _held(segments: int) -> int:
    """Return how many partial results and their sum are in memory where segments are added."""
    return min(segments, SPLIT_EVERY) + 1 if segments > 1 else 0


def _add_up(
    work: Work,
    tile: tuple[int, ...],
    shard: tuple[int, ...],
    inner: tuple[int, ...],
    segment_edges: tuple[int, ...],
    batch: int,
    terms: dict[str, int],
    resources: Resources,
) -> Plan:
    pixels = work.shape[1:]
    tiles = math.prod(_counts(pixels, tile))
    segments = len(segment_edges) - 1
    result = math.prod(pixels) * work.slots * work.counter
    sums = math.prod(_counts(pixels, shard)) if segments > 1 else 0
    return Plan(
        shape=work.shape,
        tile=tile,
        shard=shard,
        inner=inner,
        segment_edges=segment_edges,
        batch=batch,
        tasks=tiles * segments + sums,
        bytes_read=work.shape[0] * work.itemsize * _covered(pixels, tile, work.chunks[1:]),
        bytes_moved=result * segments if segments > 1 else 0,
        bytes_written=result,
        memory_terms={"process": PROCESS_BYTES, **terms},
        threads=resources.threads,
    )


def _covered(pixels: tuple[int, ...], tile: tuple[int, ...], chunk: tuple[int, ...]) -> int:
    """Return how many pixels are decoded for one image, all tiles together."""
    total = 1
    for size, step, width in zip(pixels, tile, chunk, strict=True):
        total *= sum(
            min(-(-min(a + step, size) // width) * width, size) - a // width * width
            for a in range(0, size, step)
        )
    return total


def _counts(shape: tuple[int, ...], tile: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-size // step) for size, step in zip(shape, tile, strict=True))


def _refusal(work: Work, terms: dict[str, int], resources: Resources) -> str:
    name, largest = max(terms.items(), key=lambda term: term[1])
    need = PROCESS_BYTES + resources.threads * sum(terms.values())
    chunk = "×".join(map(str, work.chunks))
    return (
        f"the job needs {size_text(need)} a worker and has {size_text(resources.memory)} "
        f"({USABLE:.0%} usable); most goes to '{name}' ({size_text(largest)} a task, image chunks "
        f"of {chunk}); use fewer threads a worker, more memory a worker, fewer bins, or smaller "
        "chunks (pixtally ingest)"
    )
