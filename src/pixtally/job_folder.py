"""The folder of a job: built beside the destination, resumed, mended, renamed when it is whole.

A job writes into ``<dest>.partial``. Each finished unit leaves a record there with the checksums of
its files. When every unit has its record the folder is renamed to ``<dest>``: a destination that
exists is complete. One that was damaged later is taken back, and only the damaged units are made
again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from pixtally.disk import DiskFullError, is_disk_full
from pixtally.errors import PixtallyError
from pixtally.lock import StoreLock
from pixtally.records import (
    DAMAGED,
    GATHERED,
    RECORDS,
    damaged,
    lasting,
    partial_path,
    problems,
    read_marks,
    read_object,
    read_records,
    write_json,
)
from pixtally.unit_writer import PRIVATE, UnitWriter
from pixtally.what_is_read import Read, what_changed

log = logging.getLogger("pixtally")

LOCK = "lock.json"
READS = "reads.json"
TAKEN_BACK = "taken-back"
"""Where a finished store that is damaged lies in the folder of the job that mends it."""


class JobFolder:
    """The place in which a job builds one destination, with its lock and its records.

    Parameters
    ----------
    dest : Path
        The store that will exist when the job is done.
    settings : dict
        JSON-able settings that decide the result: a rerun with the same settings goes on where
        the last one stopped, with others it is refused.
    restart : bool
        Throw away what an earlier run left, and a finished `dest` when the job ends.
    replace : bool
        The job makes a new version of an existing `dest` (append), which stays until the end.
    reads : callable, optional
        Returns the state of the stored data that the job reads: when it changes the job is refused.
    size : int
        Bytes of the result at most, for the message when the disk is full.

    Attributes
    ----------
    complete : bool
        `dest` is there and nothing is left to do.
    writer : UnitWriter
        What units write with.

    Raises
    ------
    PixtallyError
        When another run holds the lock, or what is there was made with other settings.
    """

    def __init__(
        self,
        dest: str | Path,
        settings: dict[str, Any],
        *,
        restart: bool = False,
        replace: bool = False,
        reads: Callable[[], Read] = dict,
        size: int = 0,
    ) -> None:
        self.dest = _checked_name(Path(dest))
        self.settings = json.loads(json.dumps(settings))
        self._look = reads
        self.reads = reads()
        self.size = size
        self.path = partial_path(self.dest)
        self.replace = replace
        self.lock = StoreLock(self.path / RECORDS / LOCK, self.dest)
        self.writer = UnitWriter(str(self.path), "")
        self._complete_swap()
        self.complete = False
        broken: set[str] = set()
        if self.dest.exists() and not (restart or replace):
            broken = self._look_over_dest()
            self.complete = not broken
        if self.complete:
            return
        with self._naming_full_disk():
            self.lock.path.parent.mkdir(parents=True, exist_ok=True)
            self.lock.take()
            try:
                self._open(restart, broken)
            except BaseException:
                self.release()
                raise

    def _look_over_dest(self) -> set[str]:
        """Return the damaged units of a finished `dest`; refuse one of another job."""
        if _read_settings(self.dest) != self.settings:
            raise PixtallyError(self._refusal(self.dest))
        self._refuse_changed(self.dest)
        records = read_records(self.dest)
        if not records:
            raise PixtallyError(
                f"{self.dest / RECORDS / GATHERED} cannot be read, so its parts are unknown; "
                "pass restart=True (--restart) to make the store again"
            )
        return damaged(self.dest, records)

    def _refusal(self, there: Path) -> str:
        found = _read_settings(there)
        if found is None:
            return (
                f"{there} exists and was not made by this job; "
                "name another destination or pass restart=True (--restart) to replace it"
            )
        self._refuse_changed(there)
        return (
            f"{there} was made with other settings ({_difference(found, self.settings)}); "
            "name another destination or pass restart=True (--restart) to replace it"
        )

    def _refuse_changed(self, there: Path) -> None:
        """Refuse to go on when what the job reads is not what it was when the job began."""
        changed = what_changed(read_object(there / RECORDS / READS), self.reads)
        if changed:
            raise PixtallyError(
                f"{there} was made from images that changed since it was begun ({changed}); "
                "name another destination or pass restart=True (--restart) to replace it"
            )

    def _open(self, restart: bool, broken: set[str]) -> None:
        if broken:
            self._take_back()
        self._unpack()
        found = _read_settings(self.path)
        if found is not None and not restart:
            if found != self.settings:
                raise PixtallyError(self._refusal(self.path))
            self._refuse_changed(self.path)
        self._stop_earlier_runs()
        if restart or found is None:
            self._begin()
        else:
            self._forget_damaged()
        private = self.path / RECORDS / f"{PRIVATE}{uuid.uuid4().hex}"
        private.mkdir()
        self.writer = UnitWriter(str(self.path.absolute()), str(private.absolute()))

    def _begin(self) -> None:
        self._clear()
        (self.path / RECORDS / "units").mkdir(parents=True, exist_ok=True)
        group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        write_json(self.path / RECORDS / "zarr.json", group)
        write_json(self.path / RECORDS / READS, self.reads)
        # Last, as it is what says that the folder belongs to this job.
        write_json(self.path / RECORDS / "job.json", self.settings)

    def _clear(self) -> None:
        lock = self.lock.path
        for entry in [*self.path.iterdir(), *lock.parent.iterdir()]:
            if entry not in (lock, lock.parent):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _stop_earlier_runs(self) -> None:
        """Take away the private folders of earlier runs: their units can write nothing now."""
        for folder in self.lock.path.parent.glob(f"{PRIVATE}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _take_back(self) -> None:
        """Make a finished store, of which units are damaged, an unfinished one."""
        if _read_settings(self.path) is not None:
            raise PixtallyError(
                f"{self.dest} is damaged, and {self.path} holds another unfinished job; finish "
                "that one, or remove its folder"
            )
        os.replace(self.dest, self.path / TAKEN_BACK)

    def _unpack(self) -> None:
        """Put the parts of a store that was taken back in their places; goes on if interrupted."""
        packed = self.path / TAKEN_BACK
        if not packed.exists():
            return
        for folder, place in ((packed / RECORDS, self.path / RECORDS), (packed, self.path)):
            for entry in sorted(folder.iterdir()) if folder.exists() else []:
                if entry not in (packed / RECORDS, packed / RECORDS / LOCK):
                    os.replace(entry, place / entry.name)
        shutil.rmtree(packed)

    def _forget_damaged(self) -> None:
        """Forget the units whose files are not as they were written; they are made again."""
        records = read_records(self.path)
        broken = problems(self.path, records)
        for lines in broken.values():
            log.warning("%s; it is made again", lines[0])
        self.forget({*broken, *read_marks(self.path)})
        (self.path / RECORDS / DAMAGED).unlink(missing_ok=True)

    def forget(self, units: set[str]) -> None:
        """Remove the records of units, so that they are made again."""
        folder = self.path / RECORDS
        gathered = read_object(folder / GATHERED)
        if gathered and units & set(gathered):
            kept = {name: record for name, record in gathered.items() if name not in units}
            write_json(folder / GATHERED, kept)
        for unit in units:
            (folder / "units" / f"{Path(unit).name}.json").unlink(missing_ok=True)
        (folder / "units").mkdir(exist_ok=True)

    def release(self) -> None:
        """Give the lock back; what is written stays for the next run."""
        self._stop_own()
        self.lock.release()

    def _stop_own(self) -> None:
        if self.writer.private:
            shutil.rmtree(self.writer.private, ignore_errors=True)

    def __enter__(self) -> JobFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        if error is not None and is_disk_full(error):
            raise self._disk_full(error) from error

    @contextlib.contextmanager
    def _naming_full_disk(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if is_disk_full(error):
                raise self._disk_full(error) from error
            raise

    def _disk_full(self, error: BaseException) -> DiskFullError:
        return DiskFullError.at(self.path, self.size, error)

    def done(self) -> set[str]:
        """Return the names of the units that have their record."""
        return set(read_records(self.path))

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the records by unit name."""
        return read_records(self.path)

    def record(self, unit: str, info: dict[str, Any]) -> None:
        """Record that `unit` is complete."""
        self.writer.record(unit, info)

    def finish(self) -> None:
        """Collect the records into one file and give the destination its name."""
        self.reads = self._look()
        self._refuse_changed(self.path)
        self._stop_own()
        folder = self.path / RECORDS
        records = sorted(read_records(self.path).items())
        write_json(folder / GATHERED, {unit: lasting(record) for unit, record in records})
        shutil.rmtree(folder / "units", ignore_errors=True)
        if self.dest.exists():
            os.replace(self.dest, self._replaced)
        # With the lock in it, so that no other run begins between the two renames.
        os.replace(self.path, self.dest)
        (self.dest / RECORDS / LOCK).unlink(missing_ok=True)
        shutil.rmtree(self._replaced, ignore_errors=True)

    @property
    def _replaced(self) -> Path:
        return self.dest.with_name(self.dest.name + ".replaced")

    def _complete_swap(self) -> None:
        """Put right a finish() that was killed between its two renames."""
        if not self._replaced.exists():
            return
        self.lock.refuse_if_held()
        if self.dest.exists():
            shutil.rmtree(self._replaced, ignore_errors=True)
        else:
            os.replace(self._replaced, self.dest)


def _checked_name(dest: Path) -> Path:
    """Refuse a name that not every library here can write."""
    text = str(dest)
    if not dest.name or "\0" in text or not text.isprintable():
        raise PixtallyError(
            f"{text!r} is no name for a store; use one of printable UTF-8 characters"
        )
    return dest


def _read_settings(store: Path) -> dict[str, Any] | None:
    return read_object(store / RECORDS / "job.json")


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Name the settings that differ, the old value first."""
    keys = [k for k in sorted({*found, *wanted}) if found.get(k) != wanted.get(k)]
    return ", ".join(f"{k}: {_short(found.get(k))} → {_short(wanted.get(k))}" for k in keys)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
