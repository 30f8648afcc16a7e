"""Collections as resumable jobs: what was computed from images, written shard by shard."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from pixtally._version import __version__
from pixtally.available import current_resources
from pixtally.blocks import Reader, Source, Tile
from pixtally.history import add_line
from pixtally.image_plan import ImagesPlan, choose_images_layout, pixel_tiles, plan_images, regions
from pixtally.image_store import IMAGES
from pixtally.jobs import (
    RECORDS,
    JobFolder,
    run_units,
    shared_values,
    write_json,
)
from pixtally.layout import Layout
from pixtally.operands import ArrayLike, as_images, dask_samples, image_ids
from pixtally.plan import Resources
from pixtally.progress import stage
from pixtally.store import open_images
from pixtally.unit_writer import UnitWriter
from pixtally.what_is_read import what_is_read
from pixtally.zarr_io import consolidate, create_array, write_coords

FORMAT = 1

Unit: TypeAlias = tuple[str, Reader, tuple[int, int], Tile]
"""Name of a shard, its reader, its images, its pixels."""


def write_images(
    images: ArrayLike,
    path: str | PathLike[str],
    *,
    dim: Hashable = "image",
    chunks: tuple[int, ...] | None = None,
    note: str = "images",
    restart: bool = False,
    progress: bool | None = None,
    resources: Resources | None = None,
) -> xr.DataArray:
    """Compute lazy images into a sharded Zarr store, as a job that can be killed and resumed.

    Runs on the Dask client in use, else on the cores of this machine; the unit of work is one
    shard: a block of whole images, or a part of one where images are very large. Everything is
    written to ``<path>.partial`` and renamed at the end; the same call after a crash goes on with
    the shards that are missing.

    Parameters
    ----------
    images : DataArray, shape (image, ...)
        Lazy or not; names and coordinates are kept.
    path : path
        The store to make, on a file system that all workers share.
    dim : hashable
        Name of the image dimension.
    chunks : tuple of int, optional
        Stored chunks, images first; by default about 1 MiB of a spatial tile over many images.
    note : str
        What the images are, for the attributes.
    restart : bool
        Throw away what an earlier job left or made at `path`.
    progress : bool, optional
        Show a bar on stderr; by default on a terminal.
    resources : Resources, optional
        What the job may use; by default that of the Dask client in use, or this machine.

    Returns
    -------
    DataArray
        The opened collection.

    Raises
    ------
    PixtallyError
        When `path` was made by other settings or is being written, or when the job does not fit
        into the memory of a worker.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> pt.write_images(np.ones((5, 4, 3), "uint8"), "ones.zarr").shape
    (5, 4, 3)
    """
    images = as_images(images, dim).transpose(dim, ...)
    plan, source = plan_writing(images, resources or current_resources(), dim=dim, chunks=chunks)
    settings = {
        "job": "images",
        "format": FORMAT,
        "images": source.array.name,
        "shape": list(images.shape),
        "dtype": str(images.dtype),
        "chunks": list(plan.layout.chunks),
    }
    with JobFolder(
        Path(path),
        settings,
        restart=restart,
        reads=partial(what_is_read, source),
        size=images.nbytes,
    ) as job:
        if not job.complete:
            _run(job, images, source, plan, dim, note, progress)
    return open_images(path)


def plan_writing(
    images: ArrayLike,
    resources: Resources | None = None,
    *,
    dim: Hashable = "image",
    chunks: tuple[int, ...] | None = None,
) -> tuple[ImagesPlan, Source]:
    """Return what `write_images` will do and need, and where it reads from.

    Parameters
    ----------
    images, dim, chunks
        As for `write_images`.
    resources : Resources, optional
        What it may use; by default this machine.

    Raises
    ------
    PixtallyError
        When it does not fit, with both numbers and the way out.
    """
    images = as_images(images, dim).transpose(dim, ...)
    samples = dask_samples(images, dim)
    tiles = pixel_tiles(choose_images_layout(samples, chunks))
    source = Source.of(samples, 0, tiles)
    return plan_images(source, resources or Resources.local(), chunks), source


def _run(
    job: JobFolder,
    images: xr.DataArray,
    source: Source,
    plan: ImagesPlan,
    dim: Hashable,
    note: str,
    progress: bool | None,
) -> None:
    settled = job.path / RECORDS / "plan.json"
    if settled.exists():
        layout = _settled_layout(settled, plan.layout)
    else:
        layout = plan.layout
        _create(job.path, images, layout, dim, note)
        write_json(settled, plan.to_dict())
    done = job.done()
    units: list[Unit] = []
    needed: set[Hashable] = set()
    for number, (rows, tile) in enumerate(regions(layout)):
        if f"shard-{number}" not in done:
            reader, inputs = source.reader(tile, rows)
            units.append((f"shard-{number}", reader, rows, tile))
            needed |= inputs
    values = shared_values(source.input_graph(needed), needed)
    every = sum(1 for _ in regions(layout))
    rest = len(units) / every
    amounts = {"images": rest * layout.shape[0], "size": rest * images.nbytes}
    with stage("writing images", progress, before=every - len(units), **amounts) as advance:
        for _ in run_units(
            _write_shard,
            units,
            advance=advance,
            writer=job.writer,
            dtype=images.dtype,
            step=layout.chunks[0],
            inputs=values,
        ):
            pass
    consolidate(job.path)
    job.finish()


def _settled_layout(path: Path, layout: Layout) -> Layout:
    """Return the shards of the run that began the job: its finished units are cut by them."""
    return replace(layout, shards=tuple(json.loads(path.read_text("utf-8"))["shards"]))


def _create(path: Path, images: xr.DataArray, layout: Layout, dim: Hashable, note: str) -> None:
    """Write the coordinates, the attributes and the empty array."""
    ids, _ = image_ids(images, dim)
    named = images.assign_coords(image_id=(dim, ids))
    coords = {name: c for name, c in named.coords.items() if c.dims != (dim,) or name == "image_id"}
    create_array(
        path,
        IMAGES,
        shape=layout.shape,
        dtype=images.dtype,
        chunks=layout.chunks,
        shards=layout.shards,
        dims=[str(d) for d in images.dims],
        attrs={"long_name": note, "coordinates": "image_id"},
    )
    line = f"pixtally {__version__}: {note}"
    attrs = {
        "Conventions": "CF-1.11",
        "title": note,
        "history": add_line(line, images.attrs.get("history")),
        "pixtally_format": FORMAT,
    }
    write_coords(path, coords, attrs)


def _write_shard(
    unit: Unit,
    *,
    writer: UnitWriter,
    dtype: np.dtype[Any],
    step: int,
    inputs: Mapping[Hashable, Any],
) -> None:
    """Compute one shard and write it with one call, as shards are written whole."""
    name, reader, rows, tile = unit
    writer.check()
    block = np.empty((rows[1] - rows[0], *(s.stop - s.start for s in tile)), dtype)
    for start, stop in reader.steps(*rows, step):
        block[start - rows[0] : stop - rows[0]] = reader.read(start, stop, inputs)
    files = writer.shard(IMAGES, (slice(*rows), *tile), block)
    writer.record(name, {"files": files})
