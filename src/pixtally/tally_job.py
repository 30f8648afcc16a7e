"""The units of a histogram job: count a tile or a segment of it, add segments, write, record."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Hashable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally import schema
from pixtally.axis import FLOWS, BinAxis
from pixtally.histogram import Tally
from pixtally.jobs import RECORDS, JobFolder, run_units, shared_values, write_json
from pixtally.plan import Plan, grid
from pixtally.progress import PREPARING, preparing, stage
from pixtally.rehearsal import rehearsed
from pixtally.run_log import RunLog
from pixtally.tiles import TileTask, count_tile, miniature
from pixtally.unit_cost import UnitCost
from pixtally.unit_writer import UnitWriter
from pixtally.zarr_io import consolidate, create_array, open_array, write_coords

PARTS = f"{RECORDS}/parts"


@dataclass(frozen=True)
class Place:
    """Where a unit of work puts its counts.

    Attributes
    ----------
    unit : str
        Name of the unit and of its record.
    writer : UnitWriter
        Of the job.
    tile : tuple of slice
        Its pixels.
    shard : tuple of int
        Pixels in a file of the store.
    base : str or None
        A histogram whose counts are added (append).
    """

    unit: str
    writer: UnitWriter
    tile: tuple[slice, ...]
    shard: tuple[int, ...]
    base: str | None = None


def run_job(
    job: JobFolder,
    tally: Tally,
    progress: bool | None = None,
    base: xr.Dataset | None = None,
    base_path: str | None = None,
) -> None:
    """Count what is missing in a job's folder, and finish it."""
    settled = job.path / RECORDS / "plan.json"
    if settled.exists():
        tally.plan = _settled_plan(settled, tally.plan)
    else:
        _create(job.path, tally, base)
        write_json(settled, tally.plan.to_dict())
    with RunLog(job.path, **_facts(job.path, tally)) as run:
        _count(job, tally, base_path, progress, run)
        if tally.plan.segments > 1:
            _sum(job, tally, base_path, progress, run)
        run.write(complete=True)
    _remove_parts(job.path / PARTS)
    consolidate(job.path)
    job.finish()


def _facts(folder: Path, tally: Tally) -> dict[str, Any]:
    """Return what the record of a run says besides times."""
    path = getattr(tally.source.stored, "path", None)
    images = os.path.relpath(path, folder.absolute().parent) if path is not None else None
    return {"images": images, "n_images": tally.plan.shape[0]}


def _settled_plan(path: Path, plan: Plan) -> Plan:
    """Return the grid of the run that began the job: its finished units are cut by it."""
    there = json.loads(path.read_text("utf-8"))
    return dataclasses.replace(
        plan,
        tile=tuple(there["tile"]),
        shard=tuple(there["shard"]),
        inner=tuple(there["inner"]),
        segment_edges=tuple(there["segment_edges"]),
    )


def _create(path: Path, tally: Tally, base: xr.Dataset | None) -> None:
    """Write the coordinates, the attributes and the empty arrays."""
    plan = tally.plan
    empty = np.zeros((), tally.dtype)
    result = tally.label(np.broadcast_to(empty, (*plan.shape[1:], tally.axis.slots)))
    if base is not None:
        ids = np.concatenate([schema.as_text(base[schema.IMAGE_ID]), tally.image_ids])
        history = f"{result.attrs['history']}\nappended to:\n{base.attrs['history']}"
        attrs = schema.result_attrs(tally.axis, len(ids), False, history)
        result = result.drop_vars(schema.IMAGE_ID).assign_attrs(attrs)
        result = result.assign_coords({schema.IMAGE_ID: ("image", ids)})
    dims = [str(d) for d in tally.pixel_dims]
    arrays = {schema.COUNTS: ((*plan.inner, tally.axis.bins), (*plan.shard, tally.axis.bins))}
    arrays |= dict.fromkeys(FLOWS, (plan.shard, plan.shard))
    for name, (chunks, shards) in arrays.items():
        create_array(
            path,
            name,
            shape=result[name].shape,
            dtype=tally.dtype,
            chunks=chunks,
            shards=shards if shards != chunks else None,
            dims=[*dims, schema.BIN][: len(chunks)],
            attrs=result[name].attrs,
        )
    write_coords(path, result.coords, result.attrs)


def _count(
    job: JobFolder, tally: Tally, base: str | None, progress: bool | None, run: RunLog
) -> None:
    """Count every tile and segment that has no record yet."""
    plan = tally.plan
    done = job.done()
    whole = plan.segments == 1
    added = set() if whole else _added_tiles(plan, done)
    units: list[tuple[TileTask, Place]] = []
    needed: set[Hashable] = set()
    for number, tile in enumerate(plan.tile_slices()):
        for segment in range(plan.segments if number not in added else 0):
            unit = f"tile-{number}" if whole else f"tile-{number}-part-{segment}"
            part = job.path / _part_file(unit)
            if unit in done and (whole or part.exists()):
                continue
            task, inputs = tally.task(tile, segment)
            units.append((task, Place(unit, job.writer, tile, plan.shard, base if whole else None)))
            needed |= inputs
    values = shared_values(tally.input_graph(needed), needed)
    if not units:
        return
    function = _write_tile if whole else _write_part
    every = plan.tiles * plan.segments
    rest = len(units) / every
    amounts = {"images": plan.shape[0] * rest, "size": plan.bytes_read * rest}
    with ExitStack() as held:
        with run.stage(PREPARING), preparing(progress) as prepared:
            prepared.compiled = held.enter_context(rehearsed(count_tile, miniature(units[0][0])))
        with (
            run.stage("counting"),
            stage("counting", progress, before=every - len(units), **amounts) as advance,
        ):
            for _, cost in run_units(function, units, advance=advance, inputs=values):
                run.add(cost)
                advance.add(cost["seconds"])


def _added_tiles(plan: Plan, done: set[str]) -> set[int]:
    """Return the tiles whose segments are all added: their parts are needed no more."""
    found = set()
    for number, tile in enumerate(plan.tile_slices()):
        shape = tuple(s.stop - s.start for s in tile)
        sums = range(sum(1 for _ in grid(shape, plan.shard)))
        if all(f"sum-{number}-{k}" in done for k in sums):
            found.add(number)
    return found


def _sum(
    job: JobFolder, tally: Tally, base: str | None, progress: bool | None, run: RunLog
) -> None:
    """Add the segments of every shard, from the parts that were written."""
    plan = tally.plan
    done = job.done()
    parts = {
        number: [f"tile-{number}-part-{s}" for s in range(plan.segments)]
        for number in range(plan.tiles)
    }
    units = []
    for number, tile in enumerate(plan.tile_slices()):
        shape = tuple(s.stop - s.start for s in tile)
        for k, inside in enumerate(grid(shape, plan.shard)):
            unit = f"sum-{number}-{k}"
            if unit not in done:
                place = Place(unit, job.writer, _within(tile, inside), plan.shard, base)
                units.append((place, inside, parts[number]))
    with run.stage("adding segments"), stage("adding segments", progress) as advance:
        for _, cost in run_units(_write_sum, units, advance=advance, axis=tally.axis):
            run.add(cost)


def _within(tile: tuple[slice, ...], inside: tuple[slice, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(t.start + i.start, t.start + i.stop) for t, i in zip(tile, inside, strict=True)
    )


def _part_file(unit: str) -> str:
    return f"{PARTS}/{unit}.npy"


def _write_tile(unit: tuple[TileTask, Place], *, inputs: Mapping[Hashable, Any]) -> dict[str, Any]:
    task, place = unit
    place.writer.check()
    cost = UnitCost(place.writer.store)
    with cost.spent("counting"):
        counts = count_tile(cost.reading(task), inputs)
    with cost.spent("writing"):
        _store(place, counts, task.axis)
    return cost.result()


def _write_part(unit: tuple[TileTask, Place], *, inputs: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Count one segment into a plain file, which the last stage adds up shard by shard."""
    task, place = unit
    place.writer.check()
    cost = UnitCost(place.writer.store)
    with cost.spent("counting"):
        counts = count_tile(cost.reading(task), inputs)
    with cost.spent("writing"):
        files = place.writer.plain(_part_file(place.unit), counts)
        place.writer.record(place.unit, {"files": files})
    return cost.result()


def _write_sum(
    unit: tuple[Place, tuple[slice, ...], list[str]], *, axis: BinAxis
) -> dict[str, Any]:
    """Add the parts of one shard, and write it."""
    cost = UnitCost(unit[0].writer.store)
    with cost.spent("adding segments"):
        _add_parts(unit, axis)
    return cost.result()


def _add_parts(unit: tuple[Place, tuple[slice, ...], list[str]], axis: BinAxis) -> None:
    place, inside, parts = unit
    store = place.writer.store
    place.writer.check()
    dtype = open_array(store, schema.COUNTS).dtype
    total: NDArray[Any] | None = None
    for part in parts:
        stored = np.load(Path(store, _part_file(part)), mmap_mode="r", allow_pickle=False)
        if total is None:
            total = stored[inside].astype(dtype)
        else:
            np.add(total, stored[inside], out=total, casting="unsafe")
    if total is not None:
        _store(place, total, axis)


def _store(place: Place, tallies: NDArray[Any], axis: BinAxis) -> None:
    """Write the counts of some pixels, shard by shard, then the record of the unit."""
    files: dict[str, list[int] | None] = {}
    shape = tuple(s.stop - s.start for s in place.tile)
    for inside in grid(shape, place.shard):
        region = _within(place.tile, inside)
        for name, values in _split(tallies[inside], axis).items():
            if place.base is not None:
                dtype = open_array(place.writer.store, name).dtype
                values = open_array(place.base, name)[region].astype(dtype) + values
            files |= place.writer.shard(name, region, values)
    place.writer.record(place.unit, {"files": files})


def _split(tallies: NDArray[Any], axis: BinAxis) -> dict[str, NDArray[Any]]:
    flows = {name: tallies[..., axis.bins + k] for k, name in enumerate(FLOWS)}
    return {schema.COUNTS: tallies[..., : axis.bins], **flows}


def _remove_parts(folder: Path) -> None:
    if folder.exists():
        for part in folder.iterdir():
            part.unlink()
        folder.rmdir()
