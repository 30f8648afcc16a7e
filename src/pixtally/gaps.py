"""Closing the gaps that left-out images leave in a store: the rows after them move up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixtally.image_store import IMAGES, create_images, shard_file
from pixtally.jobs import JobFolder, run_units
from pixtally.layout import Layout
from pixtally.records import Checksum, checksum
from pixtally.unit_writer import UnitWriter
from pixtally.zarr_io import open_array

SIDE = "moved"
RECORD = "moved"


def close_gaps(
    job: JobFolder, layout: Layout, missing: Sequence[int], dtype: str, note: str
) -> None:
    """Rewrite the images without the `missing` rows, beside the old ones, then swap.

    A run killed before the record is written starts this step again; one killed after it only
    swaps. Shards before the first gap are linked, not rewritten.
    """
    side = job.path / SIDE
    if RECORD not in job.done():
        shutil.rmtree(side, ignore_errors=True)
        kept = np.delete(np.arange(layout.shape[0]), missing)
        moved = layout.with_images(len(kept))
        create_images(side, moved, np.dtype(dtype), note)
        units = [(shard, kept[slice(*moved.rows(shard))]) for shard in range(moved.n_shards)]
        files: dict[str, Checksum | None] = {}
        for _, written in run_units(move_shard, units, writer=job.writer, layout=moved):
            files |= written
        job.record(RECORD, {"images": len(kept), "files": dict(sorted(files.items()))})
    if (side / IMAGES).exists():
        _only_moved(job)
        _swap(side / IMAGES, job.path / IMAGES, side / "before")
    shutil.rmtree(side, ignore_errors=True)


def _swap(new: Path, place: Path, aside: Path) -> None:
    """Put a folder in the place of another; killed between, the place is empty, never half."""
    if place.exists():
        os.replace(place, aside)
    os.replace(new, place)


def _only_moved(job: JobFolder) -> None:
    """Take the files of before from the records; what is there now is on record as moved."""
    for unit, record in job.records().items():
        if unit != RECORD and "files" in record:
            job.record(unit, {key: value for key, value in record.items() if key != "files"})


def move_shard(
    unit: tuple[int, NDArray[Any]], *, writer: UnitWriter, layout: Layout
) -> dict[str, Checksum | None]:
    """Write one shard of the closed-up array from the rows of the old one that it holds."""
    shard, rows = unit
    path = writer.store
    first, end = layout.rows(shard)
    full = end - first == layout.shards[0]
    if full and rows[0] == first and rows[-1] == end - 1:
        new = shard_file(Path(path, SIDE), layout, shard)
        _link(shard_file(path, layout, shard), new)
        return {os.path.relpath(new, Path(path, SIDE)): checksum(new)}
    beside = UnitWriter(str(Path(path, SIDE)), writer.private)
    region = (slice(first, end), *map(slice, layout.shape[1:]))
    return beside.shard(IMAGES, region, _gather(open_array(path, IMAGES), rows))


def _gather(array: Any, rows: NDArray[Any]) -> NDArray[Any]:
    """Rows of the old array, read run by run."""
    block = np.empty((len(rows), *array.shape[1:]), array.dtype)
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        block[start:stop] = array[rows[start] : rows[stop - 1] + 1]
    return block


def _link(old: Path, new: Path) -> None:
    if not old.exists():
        return  # all zeros
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
