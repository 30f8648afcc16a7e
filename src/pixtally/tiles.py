"""The task of one tile: its images are streamed, block by block, through one set of counters."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixtally.axis import BinAxis, SlotRule
from pixtally.blocks import FixedReader, Reader, StoredReader
from pixtally.kernels.counts import WIDEST_TABLE, count_block, weigh_block
from pixtally.kernels.slots import as_unsigned, find_slots


@dataclass(frozen=True)
class TileTask:
    """All that a worker needs to count one tile over one segment of the images."""

    samples: Reader
    mask: Reader | None
    weights: Reader | None
    images: tuple[int, int]
    shape: tuple[int, ...]
    axis: BinAxis
    sample_dtype: np.dtype[Any]
    dtype: np.dtype[Any]
    batch: int


@lru_cache(maxsize=8)
def _rule(axis: BinAxis, dtype: np.dtype[Any]) -> SlotRule:
    """Return the rule of an axis, made once a worker rather than sent with every task."""
    return axis.rule(dtype)


def count_tile(task: TileTask, inputs: Mapping[Hashable, Any] | None = None) -> NDArray[Any]:
    """Stream the images of one tile through one set of counters.

    Parameters
    ----------
    task : TileTask
        From `Tally.task`.
    inputs : mapping, optional
        Values of the shared keys.

    Returns
    -------
    ndarray, shape (*tile, slots)
        A new array: running a task again never counts an image twice.
    """
    pixels = math.prod(task.shape)
    counts = np.zeros((pixels, task.axis.slots), task.dtype)
    given = inputs or {}
    waiting: list[tuple[NDArray[Any], ...]] = []
    images = 0
    for start, stop in task.samples.steps(*task.images, task.batch):
        waiting.append(
            tuple(
                reader.read(start, stop, given).reshape(stop - start, -1)
                for reader in (task.samples, task.mask, task.weights)
                if reader is not None
            )
        )
        images += stop - start
        if images >= task.batch:
            _count_batch(task, waiting, counts)
            waiting, images = [], 0
    if waiting:
        _count_batch(task, waiting, counts)
    return counts.reshape(*task.shape, task.axis.slots)


def miniature(task: TileTask) -> TileTask:
    """Return a task on a few zeros that uses the same kernels.

    Run once before a job begins, it compiles them, so that workers find them in numba's cache
    rather than compile them all at the same time.
    """
    images = 8 + min(task.axis.slots, WIDEST_TABLE) // 8
    zeros = np.zeros((images, 8), task.sample_dtype)
    pixels = (slice(0, 8),)
    mask = FixedReader(np.zeros(8, np.bool_)) if task.mask is not None else None
    weights = FixedReader(np.zeros(8)) if task.weights is not None else None
    return TileTask(
        samples=StoredReader(zeros, pixels),
        mask=mask,
        weights=weights,
        images=(0, images),
        shape=(8,),
        axis=task.axis,
        sample_dtype=task.sample_dtype,
        dtype=task.dtype,
        batch=images,
    )


def _count_batch(
    task: TileTask, waiting: list[tuple[NDArray[Any], ...]], counts: NDArray[Any]
) -> None:
    """Count the blocks that were read since the last batch."""
    parts = [np.concatenate(p) if len(p) > 1 else p[0] for p in zip(*waiting, strict=True)]
    samples = np.ascontiguousarray(parts.pop(0))
    mask = parts.pop(0) if task.mask is not None else None
    weights = parts.pop(0) if task.weights is not None else None
    rule = _rule(task.axis, samples.dtype)
    if rule.table is not None and mask is None and weights is None:
        table = None if rule.direct else rule.table
        count_block(as_unsigned(samples), table, counts)
        return
    slots = find_slots(samples, rule.table, rule.edges, rule.scale, rule.right, mask)
    if weights is None:
        count_block(slots, None, counts)
    else:
        weigh_block(slots, np.ascontiguousarray(weights, np.float64), counts)
