"""Collections as resumable jobs: what was computed from images, written shard by shard."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from functools import partial
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from pixtally._version import __version__
from pixtally.blocks import Reader, Source, Tile
from pixtally.history import add_line
from pixtally.image_store import IMAGES
from pixtally.jobs import JobFolder, run_units, shared_values
from pixtally.layout import CHUNK_BYTES, MAX_SHARD_BYTES, Layout, choose_layout
from pixtally.operands import ArrayLike, as_images, dask_samples, image_ids
from pixtally.progress import stage
from pixtally.store import open_images
from pixtally.unit_writer import UnitWriter
from pixtally.what_is_read import what_is_read
from pixtally.zarr_io import consolidate, create_array, write_coords

FORMAT = 1

SHARD_BYTES = 64 * 2**20
"""Size aimed at where the frames themselves must be cut."""

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

    Returns
    -------
    DataArray
        The opened collection.

    Raises
    ------
    PixtallyError
        When `path` was made by other settings or is being written.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> pt.write_images(np.ones((5, 4, 3), "uint8"), "ones.zarr").shape
    (5, 4, 3)
    """
    images = as_images(images, dim)
    images = images.transpose(dim, ...)
    source = Source.of(dask_samples(images, dim), 0)
    layout = choose_layout(images.sizes[dim], images.shape[1:], images.dtype.itemsize, chunks)
    if math.prod(layout.shards) * images.dtype.itemsize > MAX_SHARD_BYTES:
        layout = cut_frames(layout, source.array.chunksize, images.dtype.itemsize, chunks)
    settings = {
        "job": "images",
        "format": FORMAT,
        "images": source.array.name,
        "shape": list(images.shape),
        "dtype": str(images.dtype),
        "chunks": list(layout.chunks),
    }
    with JobFolder(
        Path(path),
        settings,
        restart=restart,
        reads=partial(what_is_read, source),
        size=images.nbytes,
    ) as job:
        if not job.complete:
            _run(job, images, source, layout, dim, note, progress)
    return open_images(path)


def _run(
    job: JobFolder,
    images: xr.DataArray,
    source: Source,
    layout: Layout,
    dim: Hashable,
    note: str,
    progress: bool | None,
) -> None:
    if not (job.path / "zarr.json").exists() or not job.done():
        _create(job.path, images, layout, dim, note)
    done = job.done()
    units: list[Unit] = []
    needed: set[Hashable] = set()
    for number, (rows, tile) in enumerate(regions(layout)):
        if f"shard-{number}" not in done:
            reader, inputs = source.reader(tile, rows)
            units.append((f"shard-{number}", reader, rows, tile))
            needed |= inputs
    values = shared_values(source.input_graph(needed), needed)
    with stage("writing images", progress) as advance:
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


def regions(layout: Layout) -> Iterator[tuple[tuple[int, int], Tile]]:
    """Yield the images and the pixels of every shard."""
    parts = [
        [(a, min(a + step, size)) for a in range(0, size, step)]
        for size, step in zip(layout.shape, layout.shards, strict=True)
    ]
    for rows, *pixels in product(*parts):
        yield rows, tuple(slice(a, b) for a, b in pixels)


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
