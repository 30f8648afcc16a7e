"""Resumable jobs: independent units of work, built beside the destination, renamed when whole.

A job writes into ``<dest>.partial``. Each finished unit leaves a record there, written to a
temporary name and renamed, so that a record that exists is whole. When every unit has its record
the folder is renamed to ``<dest>``: a destination that exists is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import sys
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

import dask

from pixtally.errors import PixtallyError
from pixtally.plan import Resources
from pixtally.progress import Advance

__all__ = ["JobFolder", "fingerprint", "partial_path", "read_records", "run_units"]

RECORDS = "pixtally"
"""Name of the (otherwise empty) Zarr group that keeps a store's records."""

Unit = TypeVar("Unit")
Result = TypeVar("Result")


def fingerprint(settings: dict[str, Any]) -> str:
    """Return a hash of JSON settings that does not depend on the order of their keys."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def partial_path(dest: Path) -> Path:
    """Return the folder in which a job builds `dest`."""
    return dest.with_name(dest.name + ".partial")


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that `path` is either absent, as it was, or whole."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    with open(scratch, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)


def read_records(store: Path) -> dict[str, dict[str, Any]]:
    """Return the records of the finished units of a store, complete or in the making."""
    folder = store / RECORDS
    records: dict[str, dict[str, Any]] = {}
    if (folder / "units.json").exists():
        records.update(json.loads((folder / "units.json").read_text("utf-8")))
    for path in (folder / "units").glob("[!.]*.json"):
        records[path.stem] = json.loads(path.read_text("utf-8"))
    return records


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
    ) -> None:
        self.dest = Path(dest)
        self.settings = json.loads(json.dumps(settings))
        self.path = partial_path(self.dest)
        self.replace = replace
        self._complete_swap()
        self.complete = self._dest_is_this_job() and not restart and not replace
        if self.complete:
            return
        if self.dest.exists() and not (restart or replace):
            raise PixtallyError(self._refusal(self.dest))
        self._take_lock()
        try:
            self._open(restart)
        except BaseException:
            self.release()
            raise

    def _dest_is_this_job(self) -> bool:
        found = _read_settings(self.dest)
        return found is not None and found == self.settings

    def _refusal(self, there: Path) -> str:
        found = _read_settings(there)
        if found is None:
            return (
                f"{there} exists and was not made by this job; "
                "name another destination or pass restart=True (--restart) to replace it"
            )
        return (
            f"{there} was made with other settings ({_difference(found, self.settings)}); "
            "name another destination or pass restart=True (--restart) to replace it"
        )

    def _open(self, restart: bool) -> None:
        found = _read_settings(self.path)
        if found is not None and found != self.settings and not restart:
            raise PixtallyError(self._refusal(self.path))
        if restart or found is None:
            self._clear()
            (self.path / RECORDS / "units").mkdir(parents=True, exist_ok=True)
            group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
            write_json(self.path / RECORDS / "zarr.json", group)
            write_json(self.path / RECORDS / "job.json", self.settings)

    def _clear(self) -> None:
        lock = self._lock_path
        for entry in [*self.path.iterdir(), *lock.parent.iterdir()]:
            if entry not in (lock, lock.parent):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    @property
    def _lock_path(self) -> Path:
        return self.path / RECORDS / "lock.json"

    def _take_lock(self) -> None:
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
        for _ in range(2):
            try:
                handle = os.open(self._lock_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                self._break_stale_lock()
                continue
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(owner, file)
            return
        raise PixtallyError(f"{self.dest} is being started by another run; wait for it")

    def _break_stale_lock(self) -> None:
        try:
            owner = json.loads(self._lock_path.read_text("utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            owner = {}
        here = owner.get("host") in (None, socket.gethostname())
        if not here or _is_alive(owner.get("pid")):
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner.get("since", 0)))
            raise PixtallyError(
                f"{self.dest} is being written by process {owner.get('pid')} on "
                f"{owner.get('host')} since {since}; wait for it, or if it is gone delete "
                f"{self._lock_path}"
            )
        self._lock_path.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the lock back; what is written stays for the next run."""
        self._lock_path.unlink(missing_ok=True)

    def __enter__(self) -> JobFolder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def done(self) -> set[str]:
        """Return the names of the units that have their record."""
        return set(read_records(self.path))

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the records by unit name."""
        return read_records(self.path)

    def record(self, unit: str, info: dict[str, Any]) -> None:
        """Record that `unit` is complete; may be called on any worker that sees the folder."""
        write_record(self.path, unit, info)

    def finish(self) -> None:
        """Collect the records into one file and give the destination its name."""
        folder = self.path / RECORDS
        write_json(folder / "units.json", read_records(self.path))
        shutil.rmtree(folder / "units", ignore_errors=True)
        self.release()
        if self.dest.exists():
            os.replace(self.dest, self._replaced)
        os.replace(self.path, self.dest)
        shutil.rmtree(self._replaced, ignore_errors=True)

    @property
    def _replaced(self) -> Path:
        return self.dest.with_name(self.dest.name + ".replaced")

    def _complete_swap(self) -> None:
        """Put right a finish() that was killed between its two renames."""
        if not self._replaced.exists():
            return
        if self.dest.exists():
            shutil.rmtree(self._replaced)
        else:
            os.replace(self._replaced, self.dest)


def write_record(path: Path, unit: str, info: dict[str, Any]) -> None:
    """Record in the job folder `path` that `unit` is complete."""
    folder = path / RECORDS / "units"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{unit}.json", info)


def _read_settings(store: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((store / RECORDS / "job.json").read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Name the settings that differ, the old value first."""
    keys = [k for k in sorted({*found, *wanted}) if found.get(k) != wanted.get(k)]
    return ", ".join(f"{k}: {_short(found.get(k))} → {_short(wanted.get(k))}" for k in keys)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_alive(pid: Any) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def current_client() -> Any | None:
    """Return the Dask client in use, or None; never starts one, never imports distributed."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


def current_resources() -> Resources | None:
    """Return what the Dask client in use has, or None without one."""
    client = current_client()
    if client is None:
        return None
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not workers:
        return None
    return Resources(
        workers=len(workers),
        threads=max(w["nthreads"] for w in workers),
        memory=min(w["memory_limit"] or Resources.local().memory for w in workers),
    )


def shared_values(graph: dict[Hashable, Any], keys: set[Hashable]) -> dict[Hashable, Any]:
    """Compute what many units share, once, on the Dask client in use or on local threads."""
    if not keys:
        return {}
    client = current_client()
    get = client.get if client is not None else dask.threaded.get
    names = list(keys)
    return dict(zip(names, get(graph, names), strict=True))


def run_units(
    function: Callable[..., Result],
    units: Sequence[Unit],
    *,
    advance: Advance | None = None,
    threads: int | None = None,
    **common: Any,
) -> Iterator[tuple[Unit, Result]]:
    """Run ``function(unit, **common)`` for every unit, and yield (unit, result) as they end.

    Runs on the Dask client in use, else on a pool of local threads. The first failure is raised
    after the units that were running have ended; what they recorded stays.

    Parameters
    ----------
    function : callable
        Top-level (picklable), safe to run twice with the same unit.
    units : sequence
        Small picklable descriptions of the work.
    advance : callable, optional
        Called with (done, total) after each unit.
    threads : int, optional
        Size of the local pool (default: the cores of this machine).
    **common
        The same arguments for every unit.
    """
    tell = advance or (lambda done, total: None)
    tell(0, len(units))
    client = current_client()
    if client is None:
        results = _run_on_threads(function, units, threads, common)
    else:
        results = _run_on_client(client, function, units, common)
    with contextlib.closing(results):  # type: ignore[type-var]
        for done, pair in enumerate(results, start=1):
            tell(done, len(units))
            yield pair


def _run_on_threads(
    function: Callable[..., Result],
    units: Sequence[Unit],
    threads: int | None,
    common: dict[str, Any],
) -> Iterator[tuple[Unit, Result]]:
    with ThreadPoolExecutor(max_workers=threads or os.cpu_count() or 1) as pool:
        pending = {pool.submit(function, unit, **common): unit for unit in units}
        try:
            while pending:
                finished, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield pending.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _same(value: Any) -> Any:
    return value


def _call(unit: Unit, *, function: Callable[..., Result], shared: dict[str, Any]) -> Result:
    return function(unit, **shared)


def _run_on_client(
    client: Any, function: Callable[..., Result], units: Sequence[Unit], common: dict[str, Any]
) -> Iterator[tuple[Unit, Result]]:
    from distributed import as_completed

    # A task rather than arguments of map, which gives large ones a key by their mere name; and
    # rather than scattered data, which is lost with the worker that holds it.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph")
        shared = client.submit(_same, common, pure=False)
    futures = client.map(_call, list(units), function=function, shared=shared, pure=False)
    unit_of = {future.key: unit for future, unit in zip(futures, units, strict=True)}
    try:
        for future in as_completed(futures):
            yield unit_of[future.key], future.result()
            future.release()
    finally:
        client.cancel(futures)
