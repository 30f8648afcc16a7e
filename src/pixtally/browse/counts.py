"""Where counts come from: a stored histogram, one that is being written, or a Dataset in memory."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally import schema
from pixtally.axis import FLOWS, BinAxis
from pixtally.browse.cut import Region, Tiles, tiles_of
from pixtally.jobs import RECORDS, partial_path
from pixtally.plan import grid
from pixtally.sizes import MiB
from pixtally.store import open_histogram
from pixtally.zarr_io import StoredArray

TILE_BYTES = 12 * MiB
"""Counts of a tile: a few chunks, read and reduced in some ten milliseconds."""


class Reader(Protocol):
    """How the arrays of a histogram are read."""

    def read(self, name: str, index: tuple[Any, ...]) -> NDArray[Any]:
        """Return a part of ``counts``, ``underflow``, ``overflow`` or ``invalid``."""


class StoredReader:
    """Reads a Zarr group directly, chunk by chunk."""

    def __init__(self, path: Path) -> None:
        self.arrays = {name: StoredArray(path, name) for name in schema.VARIABLES}

    def read(self, name: str, index: tuple[Any, ...]) -> NDArray[Any]:
        """Return a part of an array."""
        return self.arrays[name][index]


class DatasetReader:
    """Reads a Dataset, computing what is lazy."""

    def __init__(self, hist: xr.Dataset, dims: tuple[str, ...]) -> None:
        self.hist = hist
        self.dims = dims

    def read(self, name: str, index: tuple[Any, ...]) -> NDArray[Any]:
        """Return a part of an array."""
        dims = (*self.dims, schema.BIN) if name == schema.COUNTS else self.dims
        part = self.hist[name].transpose(*dims)[index]
        return np.asarray(part.compute(scheduler="threads").values)


@dataclass
class Counts:
    """Counts of an image of pixels, plane by plane.

    Attributes
    ----------
    reader : Reader
        Of the arrays.
    axis : BinAxis
        The bins.
    n_images : int
        Counted, or to be counted.
    dims : tuple of str
        Of a pixel; the last two are rows and columns.
    lead : tuple of int
        Sizes of the dimensions before those: together they are the planes.
    shape : (int, int)
        Rows and columns.
    dtype : dtype
        Of a counter.
    chunk : (int, int)
        Rows and columns that are decoded together.
    done : ndarray of bool or None
        Which chunks are complete, shape (planes, rows, columns of chunks); None: all.
    """

    reader: Reader
    axis: BinAxis
    n_images: int
    dims: tuple[str, ...]
    lead: tuple[int, ...]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    chunk: tuple[int, int]
    labels: dict[str, NDArray[Any]]
    done: NDArray[np.bool_] | None = None

    @property
    def planes(self) -> int:
        """How many images of pixels there are: 1, or one a channel."""
        return math.prod(self.lead)

    @property
    def tiles(self) -> Tiles:
        """The grid in which counts are read."""
        return tiles_of(self.shape, self.chunk, self.axis.bins * self.dtype.itemsize, TILE_BYTES)

    @property
    def nbytes(self) -> int:
        """Of all counts, decoded."""
        pixels = self.planes * self.shape[0] * self.shape[1]
        return pixels * self.axis.bins * self.dtype.itemsize

    def plane_name(self, plane: int) -> str:
        """Return the label of a plane: ``channel R``."""
        places = np.unravel_index(plane, self.lead) if self.lead else ()
        named = [
            f"{d} {self.labels[d][k] if d in self.labels else k}"
            for d, k in zip(self.dims, places, strict=False)
        ]
        return ", ".join(named)

    def _index(self, plane: int, region: Region) -> tuple[Any, ...]:
        places = np.unravel_index(plane, self.lead) if self.lead else ()
        rows = region.slices if len(self.dims) > 1 else region.slices[1:]
        return (*(slice(int(k), int(k) + 1) for k in places), *rows)

    def read(self, plane: int, region: Region) -> NDArray[Any]:
        """Return counts, shape (rows, columns, bins)."""
        found = self.reader.read(schema.COUNTS, self._index(plane, region))
        return found.reshape(*region.shape, self.axis.bins)

    def flows(self, plane: int, region: Region) -> NDArray[Any]:
        """Return underflow, overflow and invalid, shape (3, rows, columns)."""
        index = self._index(plane, region)
        return np.stack([self.reader.read(name, index).reshape(region.shape) for name in FLOWS])

    def _done(self, plane: int, region: Region) -> NDArray[np.bool_]:
        """Return which of the chunks that a region touches are complete."""
        (cy, cx), done = self.chunk, self.done
        rows, columns = region.y0 // cy, region.x0 // cx
        ends = -(-region.y1 // cy), -(-region.x1 // cx)
        if done is None:
            return np.ones((ends[0] - rows, ends[1] - columns), bool)
        part: NDArray[np.bool_] = done[plane, rows : ends[0], columns : ends[1]]
        return part

    def complete(self, plane: int, region: Region) -> bool:
        """Tell whether all of a region is counted."""
        return self.done is None or bool(self._done(plane, region).all())

    def counted(self, plane: int, region: Region) -> NDArray[np.bool_]:
        """Return which pixels of a region are counted, shape (rows, columns)."""
        cy, cx = self.chunk
        done = self._done(plane, region)
        rows = np.arange(region.y0, region.y1) // cy - region.y0 // cy
        columns = np.arange(region.x0, region.x1) // cx - region.x0 // cx
        return done[np.ix_(rows, columns)]

    def read_counted(self, plane: int, region: Region) -> NDArray[Any]:
        """Return counts as `read` does, zeros where they are not complete: those are not read."""
        if self.complete(plane, region):
            return self.read(plane, region)
        found = np.zeros((*region.shape, self.axis.bins), self.dtype)
        (cy, cx), done = self.chunk, self._done(plane, region)
        first = region.y0 // cy, region.x0 // cx
        for row, column in np.argwhere(done):
            y, x = int(row + first[0]) * cy, int(column + first[1]) * cx
            part = Region(y, y + cy, x, x + cx).common(region)
            found[part.within(region)] = self.read(plane, part)
        return found

    @property
    def progress(self) -> float:
        """Share of the pixels that are complete."""
        return 1.0 if self.done is None else float(self.done.mean())

    def coordinate(self, axis: int, place: int) -> Any:
        """Return the images' own coordinate of a row (0) or column (1), or None."""
        dim = self.dims[axis - 2] if len(self.dims) > 1 - axis else None
        return self.labels[dim][place] if dim in self.labels else None


def counts_of(hist: xr.Dataset, path: Path | None = None) -> Counts:
    """Return the counts of a histogram, read from its store where that is known.

    Parameters
    ----------
    hist : Dataset
        A histogram.
    path : Path, optional
        The Zarr group that holds exactly this.
    """
    axis = schema.axis_of(hist)
    counts = hist[schema.COUNTS]
    dims = tuple(str(d) for d in counts.dims if d != schema.BIN)
    sizes = tuple(int(hist.sizes[d]) for d in dims)
    reader: Reader
    chunks: tuple[int, ...] = tuple(min(n, 128) for n in sizes)
    if path is not None and (path / schema.COUNTS / "zarr.json").exists():
        stored = StoredReader(path)
        chunks, reader = stored.arrays[schema.COUNTS].chunks[:-1], stored
    else:
        if counts.chunks is not None:
            chunks = tuple(max(counts.chunksizes[d]) for d in dims)
        reader = DatasetReader(hist, dims)
    ys, xs = ((1, 1), *((n, c) for n, c in zip(sizes, chunks, strict=True)))[-2:]
    return Counts(
        reader,
        axis,
        int(hist.attrs.get("n_images", 0)),
        dims,
        sizes[:-2],
        (ys[0], xs[0]),
        counts.dtype,
        (ys[1], xs[1]),
        {d: hist[d].values for d in dims if d in hist.coords and hist[d].ndim == 1},
    )


def open_counts(path: Path) -> Counts:
    """Open a stored histogram, complete or in the making (``<path>.partial``)."""
    unfinished = partial_path(path)
    if path.exists() or not unfinished.exists():
        return counts_of(open_histogram(path), path)
    found = counts_of(open_histogram(unfinished), unfinished)
    found.done = done_chunks(unfinished, found)
    return found


def done_chunks(folder: Path, counts: Counts) -> NDArray[np.bool_]:
    """Return which chunks of a histogram in the making are complete.

    Parameters
    ----------
    folder : Path
        The job's folder, with its plan and the records of its finished units.
    counts : Counts
        Of the histogram in it.
    """
    (cy, cx), (h, w) = counts.chunk, counts.shape
    done = np.zeros((counts.planes, -(-h // cy), -(-w // cx)), bool)
    plan = _read_plan(folder)
    if plan is None:
        return done
    units = {path.stem for path in (folder / RECORDS / "units").glob("[!.]*.json")}
    for region in _finished(plan, units):
        *lead, rows, columns = ((slice(0, 1),) if len(region) < 2 else ()) + region
        planes = np.arange(counts.planes).reshape(counts.lead)[tuple(lead)].ravel()
        chunk_rows = slice(rows.start // cy, -(-rows.stop // cy))
        done[planes, chunk_rows, columns.start // cx : -(-columns.stop // cx)] = True
    return done


def _read_plan(folder: Path) -> dict[str, Any] | None:
    try:
        plan: dict[str, Any] = json.loads((folder / RECORDS / "plan.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return plan


def _finished(plan: dict[str, Any], units: set[str]) -> list[tuple[slice, ...]]:
    """Return the pixels of the units that have a record."""
    found = []
    for number, tile in enumerate(grid(tuple(plan["shape"][1:]), tuple(plan["tile"]))):
        if f"tile-{number}" in units:
            found.append(tile)
            continue
        sides = tuple(s.stop - s.start for s in tile)
        for k, inside in enumerate(grid(sides, tuple(plan["shard"]))):
            if f"sum-{number}-{k}" in units:
                found.append(
                    tuple(
                        slice(t.start + i.start, t.start + i.stop)
                        for t, i in zip(tile, inside, strict=True)
                    )
                )
    return found
