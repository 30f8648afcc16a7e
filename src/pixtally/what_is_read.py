"""What a job reads from disk, as it was when the job began, and what has changed since.

The state of a file is its checksum where a finished store of ours has it on record and the file is
no newer than the record; else its size and time of last change.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from dask._task_spec import DataNode, GraphNode, Task

from pixtally.blocks import Source
from pixtally.records import GATHERED, RECORDS, files_of, read_records
from pixtally.zarr_io import StoredArray

Read: TypeAlias = dict[str, dict[str, str]]
"""State of every file by its array."""

MANY = 20_000
"""Files of an array above which only their number, bytes and latest change are kept."""

DEPTH = 12
"""How deep stored arrays are looked for in the arguments of a task."""


def what_is_read(*operands: Any) -> Read:
    """Return the state of all stored data that the samples, masks and weights of a job come from.

    Parameters
    ----------
    *operands : Source or other
        Anything but a `Source` reads nothing from disk.
    """
    found: dict[str, tuple[Path, str]] = {}
    for operand in operands:
        if isinstance(operand, Source):
            inside = operand.graph if operand.stored is None else operand.stored
            for place in _stored(inside, set(), 0):
                found[str(Path(*place))] = place
    return {name: _state(*place) for name, place in sorted(found.items())}


def _stored(value: Any, seen: set[int], depth: int) -> Iterator[tuple[Path, str]]:
    """Yield (store, array) of all that is stored in a graph or an array."""
    if id(value) in seen or depth > DEPTH:
        return
    seen.add(id(value))
    if isinstance(value, StoredArray):
        yield Path(value.path), value.name
        return
    inner: list[Any] = []
    if isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, list | tuple | set):
        inner = list(value)
    elif isinstance(value, DataNode):
        inner = [value.value]
    elif isinstance(value, Task):
        inner = [*value.args, *value.kwargs.values()]
    elif not isinstance(value, GraphNode):
        yield from _foreign(value)
        inner = [value.array] if hasattr(value, "array") else []
    for each in inner:
        yield from _stored(each, seen, depth + 1)


def _foreign(value: Any) -> Iterator[tuple[Path, str]]:
    """Yield what xarray's wrappers of a local Zarr array or of a file are on disk."""
    if not hasattr(value, "datastore"):
        return
    array = value.get_array() if hasattr(value, "get_array") else None
    root = getattr(getattr(array, "store", None), "root", None)
    name = getattr(value.datastore, "_filename", None)
    if root is not None:
        yield Path(root), str(getattr(array, "path", ""))
    elif isinstance(name, str) and os.path.exists(name):
        yield Path(name), ""


def _state(store: Path, name: str) -> dict[str, str]:
    top = store / name if name else store
    if top.is_file():
        facts = os.stat(top)
        return {top.name: _told(facts.st_size, facts.st_mtime_ns)}
    known, when = _recorded(store)
    found, total, newest = {}, 0, 0
    for path, facts in _files(top):
        total, newest = total + facts.st_size, max(newest, facts.st_mtime_ns)
        inside = os.path.relpath(path, store)
        checksum = known.get(inside) if facts.st_mtime_ns <= when else None
        if checksum is not None and checksum[0] == facts.st_size:
            found[inside] = f"{facts.st_size} bytes, checksum {checksum[1]:08x}"
        else:
            found[inside] = _told(facts.st_size, facts.st_mtime_ns)
    if len(found) > MANY:
        return {f"{len(found)} files": _told(total, newest)}
    return found


def _recorded(store: Path) -> tuple[dict[str, list[int] | None], int]:
    gathered = store / RECORDS / GATHERED
    if not gathered.exists():
        return {}, 0
    known = (files_of(record) for record in read_records(store).values())
    return {k: v for files in known for k, v in files.items()}, gathered.stat().st_mtime_ns


def _files(top: Path) -> Iterator[tuple[str, os.stat_result]]:
    folders = [str(top)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    yield entry.path, entry.stat()


def _told(size: int, changed: int) -> str:
    when = datetime.fromtimestamp(changed // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{size} bytes of {when}.{changed % 10**9:09d} UTC"


def what_changed(before: Any, now: Read) -> str:
    """Say in a few words what of the data is not as it was; "" when nothing is known to be.

    Parameters
    ----------
    before : dict or None
        From `what_is_read`, as it was stored.
    now : dict
        From `what_is_read`.
    """
    if not isinstance(before, dict) or not all(isinstance(v, dict) for v in before.values()):
        return ""
    if set(before) != set(now):
        return f"they come from {_names(now)}, not from {_names(before)}"
    lines = [
        f"{name} {file}: {before[name].get(file, 'absent')} → {now[name].get(file, 'absent')}"
        for name in now
        for file in sorted({*before[name], *now[name]})
        if before[name].get(file) != now[name].get(file)
    ]
    more = f", and {len(lines) - 1} other files" if len(lines) > 1 else ""
    return lines[0] + more if lines else ""


def _names(read: Mapping[str, Any]) -> str:
    return ", ".join(sorted(read)) or "memory"
