"""How far a job is, from the records in and beside its store alone: no scheduler is asked."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from pixtally.errors import PixtallyError
from pixtally.jobs import RECORDS, partial_path
from pixtally.journal import age, alive, read_facts, read_journal

WORDS = {
    "pixel_histogram": "counting",
    "images": "writing images",
    "ingest": "reading images",
}


def journal_path(store: Path) -> Path:
    """Return the journal of the pipeline whose result is `store`."""
    return store.with_name(store.stem + "-run.json")


def job_status(store: Path) -> dict[str, Any]:
    """Return how far the job is that makes a store.

    Parameters
    ----------
    store : Path
        The result, which need not exist yet.

    Returns
    -------
    dict
        JSON-able. ``state`` is "complete", "running", "waiting" (handed over, not begun),
        "stopped" (its process is gone) or "failed". Also ``stage``, ``units_done``, ``units``,
        ``images_done``, ``images``, ``units_per_second``, ``seconds_left``, ``began`` (of the
        job), ``since`` (of this run), ``host``, ``pid``, ``alive`` (None: cannot be seen from
        here), ``seen`` (seconds ago), ``error``, ``resume``; absent where not known.

    Raises
    ------
    PixtallyError
        When there is neither a store nor a job.
    """
    store = store.absolute()
    journal = read_facts(journal_path(store))
    found: dict[str, Any] = {"store": str(store)}
    making = store
    if journal is not None and journal.get("state") == "running" and "store" in journal:
        # While a pipeline reads its images, it is another store that grows.
        making = Path(str(journal["store"]))
        found |= {"making": str(making)} if making != store else {}
    if partial_path(making).exists():
        found |= _progress(partial_path(making))
    elif making.exists():
        found |= _complete(making)
    elif journal is None:
        raise PixtallyError(
            f"{store} does not exist, and no job is making it; name a store or the output of a "
            "pipeline"
        )
    if journal is not None:
        found |= _of_journal(journal, journal_path(store), found)
    return _judged(found)


def _complete(store: Path) -> dict[str, Any]:
    gathered = store / RECORDS / "units.json"
    if not gathered.exists():
        raise PixtallyError(f"{store} has no records of a job; see what it holds: pixtally info")
    units = len(read_journal(gathered) or {})
    settings = read_journal(store / RECORDS / "job.json") or {}
    images = _images(store, settings)
    ended = gathered.stat().st_mtime
    return {
        "state": "complete",
        "units_done": units,
        "units": units,
        "ended": ended,
        **({"images_done": images, "images": images} if images is not None else {}),
    }


def _progress(folder: Path) -> dict[str, Any]:
    """Return what the records of an unfinished store tell."""
    records = folder / RECORDS
    settings = read_journal(records / "job.json") or {}
    names = {p.stem: p.stat().st_mtime for p in _present((records / "units").glob("[!.]*.json"))}
    shards_only = settings.get("job") != "pixel_histogram"
    done = {n: t for n, t in names.items() if not shards_only or n.startswith("shard")}
    earlier = [n for n in read_journal(records / "units.json") or {} if n not in names]
    found: dict[str, Any] = {
        "stage": WORDS.get(str(settings.get("job")), "reading images"),
        "units_done": len(done) + len(earlier),
    }
    lock = read_facts(records / "lock.json")
    if (records / "job.json").exists():
        found["began"] = (records / "job.json").stat().st_mtime
    if lock is not None:
        found |= {name: lock[name] for name in ("host", "pid", "since") if name in lock}
    if done:
        found["last_unit"] = max(done.values())
    units = _units(folder)
    if units is not None:
        found["units"] = max(units, found["units_done"])
    since = found.get("since", found.get("began", 0.0))
    return (
        found
        | _rate(found, [t for t in done.values() if t >= since], since)
        | _part(found, folder, settings)
    )


def _present(paths: Any) -> list[Path]:
    """Leave out files that are gone meanwhile."""
    return [p for p in paths if p.exists()]


def _units(folder: Path) -> int | None:
    """Return how many units the job has: those of the plan, or the shards of the array."""
    plan = read_journal(folder / RECORDS / "plan.json")
    if plan is not None:
        tasks = plan.get("tasks")
        return int(tasks) if isinstance(tasks, int) and tasks >= 0 else None
    array = read_journal(folder / "images" / "zarr.json") or {}
    try:
        shape, shards = array["shape"], array["chunk_grid"]["configuration"]["chunk_shape"]
        return math.prod(-(-int(n) // int(step)) for n, step in zip(shape, shards, strict=True))
    except (TypeError, KeyError, ValueError, ZeroDivisionError):
        return None


def _images(folder: Path, settings: dict[str, Any]) -> int | None:
    """Return how many images the job has, from whatever names the shape."""
    plan = read_journal(folder / RECORDS / "plan.json")
    array = read_journal(folder / "images" / "zarr.json")
    for place in (settings, plan, array):
        shape = (place or {}).get("shape")
        if isinstance(shape, list) and shape and isinstance(shape[0], int) and shape[0] >= 0:
            return int(shape[0])
    return None


def _part(found: dict[str, Any], folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the images done, as the part of the units that are."""
    images, units = _images(folder, settings), found.get("units")
    if images is None or not units:
        return {}
    return {"images": images, "images_done": images * found["units_done"] // units}


def _rate(found: dict[str, Any], times: list[float], since: float) -> dict[str, Any]:
    """Return the rate of this run, from the times of its records."""
    if not times or max(times) <= since:
        return {}
    rate = len(times) / (max(times) - since)
    left = {}
    if "units" in found:
        left["seconds_left"] = (found["units"] - found["units_done"]) / rate
    return {"units_per_second": rate, **left}


def _of_journal(journal: dict[str, Any], path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Return what the journal adds: who, how it ended, what was typed."""
    names = ("command", "folder", "error", "left_out", "n_images", "scheduler", "key")
    added = {name: journal[name] for name in names if journal.get(name) is not None}
    added["seen"] = age(path)
    state = journal.get("state")
    if state == "failed" and found.get("state") != "complete":
        added["state"] = "failed"
    elif state == "waiting" and "units_done" not in found:
        added["state"] = "waiting"
        added["since"] = journal.get("since")
    elif state == "running":
        added |= {name: journal[name] for name in ("host", "pid", "since") if name in journal}
        # What it makes now may be whole already: statistics and pictures follow.
        added["state"] = None
        found.pop("ended", None)
        added["stage"] = journal.get("stage", found.get("stage", "beginning"))
    return added


def _judged(found: dict[str, Any]) -> dict[str, Any]:
    """Decide whether the run is alive, and what to type."""
    state = found.pop("state", None)
    if state not in ("complete", "failed", "waiting"):
        found["alive"] = alive(found)
        state = "stopped" if found["alive"] is False else "running"
    if state in ("stopped", "failed"):
        found.pop("seconds_left", None)
        found["resume"] = _resume(found)
    return {"store": found.pop("store"), "state": state, **found}


def _resume(found: dict[str, Any]) -> str:
    """Return what to type to go on."""
    command = found.get("command")
    if command is None:
        return "run the same command (or Python call) again"
    folder = found.get("folder")
    there = f"cd {folder} && " if folder and folder != os.getcwd() else ""
    return f"{there}{command}"
