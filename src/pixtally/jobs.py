"""Units of work, run on the Dask client in use or on local threads, and yielded as they end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import dask

from pixtally.errors import PixtallyError
from pixtally.job_folder import JobFolder
from pixtally.progress import Advance
from pixtally.records import RECORDS, partial_path, read_records, write_json

__all__ = [
    "RECORDS",
    "JobFolder",
    "fingerprint",
    "partial_path",
    "read_records",
    "run_units",
    "write_json",
]

Unit = TypeVar("Unit")
Result = TypeVar("Result")


def fingerprint(settings: dict[str, Any]) -> str:
    """Return a hash of JSON settings that does not depend on the order of their keys."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def current_client() -> Any | None:
    """Return the Dask client in use, or None; never starts one, never imports distributed."""
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


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
    from distributed import KilledWorker, as_completed

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
    except KilledWorker as error:
        raise PixtallyError(_killed(error)) from None
    except _lost_scheduler() as error:
        raise PixtallyError(
            f"the scheduler at {client.scheduler.address} is gone ({type(error).__name__}); start "
            "one and run the same command again: finished units are kept"
        ) from None
    finally:
        with contextlib.suppress(*_lost_scheduler()):
            client.cancel(futures)


def _lost_scheduler() -> tuple[type[BaseException], ...]:
    """Return what Dask raises when the scheduler no longer answers."""
    from asyncio import CancelledError
    from concurrent.futures import CancelledError as FutureCancelledError

    from distributed.comm import CommClosedError

    return CancelledError, FutureCancelledError, CommClosedError


def _killed(error: Any) -> str:
    """Say what it means that workers die over one task, and what to do."""
    return (
        f"{error.allowed_failures + 1} workers in turn died while they ran one unit of work (the "
        f"last {error.last_worker.address}): most often memory ran out; give workers more memory "
        "(memory_limit) or fewer threads, see their logs, and run the same command again: "
        "finished units are kept"
    )
