"""Ingest: image files of any kind become one chunked, sharded Zarr store."""

from __future__ import annotations

import math
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pixtally._version import __version__
from pixtally.collection import FORMAT, Collection, look_over
from pixtally.errors import PixtallyError
from pixtally.gaps import RECORD as MOVED
from pixtally.gaps import close_gaps
from pixtally.image_store import create_images, describe, stored_shape
from pixtally.jobs import RECORDS, JobFolder, read_records, run_units
from pixtally.layout import Layout
from pixtally.progress import Advance, stage
from pixtally.shards import PARTS, Job, Part, fill, plan_parts, share_path
from pixtally.sources import LeftOut, SourceNames, printable

__all__ = ["Ingested", "ingest", "ingest_images", "survey"]

SMALL_IMAGE = 2**16
"""Bytes below which two threads decode files more slowly than one (measured: 64×64 PNG, half)."""
COLOUR = "images, every channel kept"
GRAY = "images; colour became gray as ITU-R BT.601 luma, (299 R + 587 G + 114 B + 500) // 1000"


@dataclass(frozen=True)
class Ingested:
    """What an ingest made.

    Attributes
    ----------
    dest : Path
        The store.
    n_images : int
        Images in it.
    shape : tuple of int
        ``(image, y, x)`` or ``(image, channel, y, x)``.
    dtype : str
        Data type of the samples.
    left_out : tuple of LeftOut
        Images that are not in it, and why.
    already_done : bool
        The store was there and complete.
    """

    dest: Path
    n_images: int
    shape: tuple[int, ...]
    dtype: str
    left_out: tuple[LeftOut, ...] = ()
    already_done: bool = False


def ingest(
    sources: SourceNames,
    dest: str | PathLike[str],
    *,
    gray: bool = False,
    on_error: str = "stop",
    restart: bool = False,
    chunks: tuple[int, ...] | None = None,
    order: str = "natural",
    progress: bool | None = None,
) -> xr.Dataset:
    """Turn image files into one chunked, sharded Zarr store, and open it.

    Runs on the Dask client in use, else on the cores of this machine. It can be killed at any
    time: the same call goes on where it was, and returns at once when all is done. The store
    gets its name when it is complete.

    Parameters
    ----------
    sources : str, path, or iterable of these
        Image files, globs, folders, videos, ``.npy``, ``file.npz::name``, ``file.h5::dataset``,
        ``file.fits::hdu``, ``store.zarr::variable``; see `pixtally.sources.list_sources`.
    dest : str or path
        The store to make.
    gray : bool
        Colour becomes gray by ITU-R BT.601: ``(299 R + 587 G + 114 B + 500) // 1000`` on
        integers, ``0.299 R + 0.587 G + 0.114 B`` on floats; alpha is left out. Video frames are
        decoded to RGB first and go through the same formula. Otherwise channels are kept.
    on_error : {"stop", "skip"}
        Stop at the first image that cannot be read or has another shape or dtype than the first
        one, or leave such images out and list them in the attribute ``left_out``.
    restart : bool
        Begin again, and replace a finished `dest`.
    chunks : tuple of int, optional
        Inner chunk to use in place of the chosen one, e.g. ``(64, 128, 128)``.
    order : {"natural", "given"}
        All files in natural order (2 before 10), or lists in the order given.
    progress : bool, optional
        Draw a bar on stderr; by default only on a terminal.

    Returns
    -------
    xr.Dataset
        ``images (image, y, x)`` or ``(image, channel, y, x)`` on dask, with the coordinate
        ``image_id (image)``.

    Raises
    ------
    PixtallyError
        In one line: what is wrong with which image, and what to do.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> np.save(f"{folder}/stack.npy", np.zeros((5, 4, 3), np.uint8))
    >>> dict(ingest(f"{folder}/stack.npy", f"{folder}/images.zarr").sizes)
    {'image': 5, 'y': 4, 'x': 3}
    """
    made = ingest_images(
        sources,
        dest,
        gray=gray,
        on_error=on_error,
        restart=restart,
        chunks=chunks,
        order=order,
        progress=progress,
    )
    images: xr.Dataset = xr.open_zarr(made.dest)
    return images


def ingest_images(
    sources: SourceNames,
    dest: str | PathLike[str],
    *,
    gray: bool = False,
    on_error: str = "stop",
    restart: bool = False,
    chunks: tuple[int, ...] | None = None,
    order: str = "natural",
    progress: bool | None = None,
) -> Ingested:
    """Do what `ingest` does, and return what was made and what was left out.

    Parameters
    ----------
    sources, dest, gray, on_error, restart, chunks, order, progress
        As in `ingest`.

    Returns
    -------
    Ingested

    Raises
    ------
    PixtallyError
        As in `ingest`.
    """
    dest = Path(dest).expanduser()
    names = [sources] if isinstance(sources, str | PathLike) else list(sources)
    collection = look_over(
        names, gray=gray, on_error=on_error, chunks=chunks, order=order, without=dest
    )
    folder = JobFolder(dest, collection.settings(), restart=restart, size=collection.nbytes)
    work = _Work(folder, collection)
    if folder.complete:
        return work.finished()
    with folder:
        return work.run(names, progress)


def survey(
    sources: SourceNames, *, gray: bool = False, on_error: str = "stop", order: str = "natural"
) -> tuple[Layout, str]:
    """Return how a collection would be stored and its dtype, reading only its first image.

    Parameters
    ----------
    sources, gray, on_error, order
        As in `ingest`.

    Raises
    ------
    PixtallyError
        As in `ingest`, as far as listing the sources shows it.
    """
    collection = look_over(sources, gray=gray, on_error=on_error, order=order)
    return collection.layout, collection.frame.dtype


class _Work:
    """One ingest: its folder, what it reads, and what is left to do."""

    def __init__(self, folder: JobFolder, collection: Collection) -> None:
        self.folder = folder
        self.layout = collection.layout
        self.frame = collection.frame
        self.sources = collection.sources
        self.unusable = collection.unusable
        self.skip = collection.skip
        self.streams, self.shards = plan_parts(self.sources, self.layout)
        self.note = GRAY if self.frame.gray else COLOUR

    def finished(self) -> Ingested:
        """Report on the store that is there, unless its sources have changed since."""
        records = read_records(self.folder.dest)
        parts = [*self.shards, *(part for stream in self.streams for part in stream)]
        for part in parts:
            if part.name in records and records[part.name].get("state") != part.state:
                raise PixtallyError(
                    f"{self.folder.dest} is complete, but {_span(part)} changed since; "
                    "pass restart=True (--restart) to read all again, or name another destination"
                )
        return self._report(records, already_done=True)

    def run(self, names: Sequence[Any], progress: bool | None) -> Ingested:
        """Do what is left, describe the store, give it its name."""
        path = self.folder.path
        if MOVED not in self.folder.done():
            if stored_shape(path) != self.layout.shape:
                # New, or closed up by an earlier run and damaged since: all rows are read again.
                self.folder.forget(self.folder.done())
                create_images(path, self.layout, np.dtype(self.frame.dtype), self.note)
            self._fill(progress)
        records = self.folder.records()
        missing = [row for row, _, _ in _left_out(records)]
        if len(missing) == self.layout.shape[0]:
            raise PixtallyError(f"none of the {len(missing)} images can be read")
        if missing:
            close_gaps(self.folder, self.layout, missing, self.frame.dtype, self.note)
        made = self._report(records)
        channels = self.frame.shape[0] if len(self.frame.shape) == 3 else None
        describe(path, self._ids(set(missing)), channels, self._attributes(made, names))
        shutil.rmtree(path / PARTS, ignore_errors=True)
        self.folder.finish()
        return made

    def _fill(self, progress: bool | None) -> None:
        job = Job(self.folder.writer, self.layout, self.frame, self.skip)
        total = len(self.shards) + sum(len(stream) for stream in self.streams)
        before = min(self._count_records(), total)
        rest = 1 - before / total if total else 0.0
        amounts = {"images": rest * self.layout.shape[0], "size": rest * self._bytes()}
        with (
            stage("reading images", progress, before=before, **amounts) as advance,
            self._watched(advance, before, total),
        ):
            shards = self._shards_to_fill()
            for _ in run_units(fill, self._streams_to_fill({p.shard for p in shards}), job=job):
                pass
            threads = 1 if self._is_small() else None
            for _ in run_units(fill, [[part] for part in shards], threads=threads, job=job):
                pass

    def _bytes(self) -> int:
        return math.prod(self.layout.shape) * np.dtype(self.frame.dtype).itemsize

    def _is_small(self) -> bool:
        """Tell whether files are so small that threads would only wait for each other's Python."""
        image = math.prod(self.frame.shape) * np.dtype(self.frame.dtype).itemsize
        return image < SMALL_IMAGE and len(self.sources) == self.layout.shape[0]

    def _shards_to_fill(self) -> list[Part]:
        records = self.folder.records()
        return [part for part in self.shards if not self._is_done(records, part)]

    def _streams_to_fill(self, open_shards: set[int]) -> list[list[Part]]:
        """Leave out what streams have done; each goes on from its first missing part to its end."""
        records = self.folder.records()
        rest = []
        for stream in self.streams:
            missing = (
                at
                for at, part in enumerate(stream)
                if not self._is_done(records, part)
                # A share is used up when its shard is written: needed again, decode it again.
                or (part.shard in open_shards and not share_path(self.folder.path, part).exists())
            )
            rest.append(stream[next(missing, len(stream)) :])
        return [parts for parts in rest if parts]

    def _is_done(self, records: dict[str, Any], part: Part) -> bool:
        """Tell whether a part has its record, of the files as they are now."""
        record = records.get(part.name)
        if record is None or record.get("state") != part.state:
            return False
        return self.skip or not record.get("left_out")

    @contextmanager
    def _watched(self, advance: Advance, before: int, total: int) -> Iterator[None]:
        """Show progress by the records, which streams write long before they end."""
        ended = threading.Event()

        def tell() -> None:
            advance(max(self._count_records() - before, 0), total - before)

        def watch() -> None:
            while not ended.wait(0.25):
                tell()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            tell()

    def _count_records(self) -> int:
        return sum(1 for _ in os.scandir(self.folder.path / RECORDS / "units"))

    def _report(self, records: dict[str, Any], already_done: bool = False) -> Ingested:
        left_out = [LeftOut(image, reason) for _, image, reason in _left_out(records)]
        n_images = self.layout.shape[0] - len(left_out)
        return Ingested(
            self.folder.dest,
            n_images,
            (n_images, *self.frame.shape),
            self.frame.dtype,
            (*self.unusable, *left_out),
            already_done,
        )

    def _ids(self, missing: set[int]) -> list[str]:
        ids = (source.image_id(k) for source in self.sources for k in range(source.images))
        return [each for row, each in enumerate(ids) if row not in missing]

    def _attributes(self, made: Ingested, names: Sequence[Any]) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        named = ", ".join(printable(fspath(n)) for n in names[:3]) + (", ..." if names[3:] else "")
        files = len(self.sources)
        return {
            "Conventions": "CF-1.11",
            "title": f"{made.n_images} images of {named}",
            "history": f"{now} pixtally {__version__}: ingest {named} gray={self.frame.gray}",
            "source": f"{files} files, {self.sources[0].name} to {self.sources[-1].name}"
            if files > 1
            else self.sources[0].name,
            "pixtally_format": FORMAT,
            "left_out": [{"image": bad.image, "reason": bad.reason} for bad in made.left_out],
        }


def _left_out(records: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Rows, ids and reasons of the images left out, in order."""
    entries = (entry for record in records.values() for entry in record.get("left_out", ()))
    return sorted((int(row), str(image), str(why)) for row, image, why in entries)


def _span(part: Part) -> str:
    first, last = part.pieces[0][0].name, part.pieces[-1][0].name
    return first if first == last else f"a file from {first} to {last}"
