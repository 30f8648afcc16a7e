"""Records in a store: which units of work are done, which files they wrote, with checksums."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

RECORDS = "pixtally"
"""Name of the (otherwise empty) Zarr group that keeps a store's records."""

GATHERED = "units.json"
DAMAGED = "damaged.json"
BLOCK = 2**20

Record = dict[str, Any]
Checksum = list[int]
"""Size and CRC-32 of a file."""


def partial_path(dest: Path) -> Path:
    """Return the folder in which a job builds `dest`."""
    return dest.with_name(dest.name + ".partial")


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that `path` is either absent, as it was, or whole."""
    write_json_by(
        path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}"), path, content
    )


def write_json_by(scratch: Path, path: Path, content: Any) -> None:
    """Write JSON to `scratch`, then give it its name."""
    try:
        with open(scratch, "w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any | None:
    """Return the content of a JSON file; None where it is absent or no JSON."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file that holds an object, else None."""
    found = read_json(path)
    return found if isinstance(found, dict) else None


def read_records(store: Path) -> dict[str, Record]:
    """Return the records of the finished units of a store, complete or in the making.

    What is no record (a file that was damaged) is left out: its unit counts as not done.
    """
    folder = store / RECORDS
    found = dict(read_object(folder / GATHERED) or {})
    for path in (folder / "units").glob("[!.]*.json"):
        found[path.stem] = read_json(path)
    return {name: record for name, record in found.items() if _is_record(record)}


def _is_record(record: Any) -> bool:
    """Tell whether what was read is a record, and its files are inside the store."""
    files = record.get("files", {}) if isinstance(record, dict) else None
    return isinstance(files, dict) and all(map(_is_entry, files.items()))


def _is_entry(entry: tuple[str, Any]) -> bool:
    name, found = entry
    inside = not name.startswith("/") and ".." not in name.split("/") and "\0" not in name
    pair = isinstance(found, list) and len(found) == 2 and all(isinstance(n, int) for n in found)
    return inside and (found is None or pair)


def files_of(record: Record) -> dict[str, Checksum | None]:
    """Return the files that a unit wrote; None stands for one that is absent, all fill value."""
    files: dict[str, Checksum | None] = record.get("files", {})
    return files


def lasting(record: Record) -> Record:
    """Leave out the files that only the job needed: those among the records."""
    if "files" not in record:
        return record
    files = {k: v for k, v in files_of(record).items() if not k.startswith(f"{RECORDS}/")}
    return {**record, "files": files} if files else {}


def checksum(path: Path) -> Checksum | None:
    """Return [size, CRC-32] of a file; None where it is absent, which means all zeros."""
    size = crc = 0
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                size, crc = size + len(block), zlib.crc32(block, crc)
    except FileNotFoundError:
        return None
    return [size, crc]


def problems(store: Path, records: Mapping[str, Record]) -> dict[str, list[str]]:
    """Read every file that units wrote, and say by unit what is not as it was written."""
    entries = list(_entries(records))

    def look(entry: tuple[str, str, Checksum | None]) -> str | None:
        _, name, expected = entry
        return problem(store / name, checksum(store / name), expected)

    with ThreadPoolExecutor(max_workers=min(8, len(entries)) or 1) as pool:
        found: dict[str, list[str]] = {}
        for (unit, _, _), line in zip(entries, pool.map(look, entries), strict=True):
            if line is not None:
                found.setdefault(unit, []).append(line)
    return found


def _entries(records: Mapping[str, Record]) -> Iterator[tuple[str, str, Checksum | None]]:
    for unit, record in records.items():
        for name, expected in files_of(record).items():
            yield unit, name, expected


def problem(path: Path, found: Checksum | None, expected: Checksum | None) -> str | None:
    """Say in one line how a file differs from its record; None when it does not."""
    if found == expected:
        return None
    if found is None:
        return f"{path} is missing; it had {expected and expected[0]} bytes"
    if expected is None:
        return f"{path} was not there when its part was written"
    if found[0] != expected[0]:
        return f"{path} has {found[0]} bytes, was written with {expected[0]}"
    return f"{path} was changed since it was written (checksum differs)"


def suspects(store: Path, records: Mapping[str, Record]) -> set[str]:
    """Return the units of a finished store that may be damaged, looking at no file's content.

    These are the units that `verify` marked, and those with a file that is missing, has another
    size, or was changed after the store was finished.
    """
    gathered = store / RECORDS / GATHERED
    finished = gathered.stat().st_mtime_ns if gathered.exists() else 0
    found = read_marks(store) & set(records)
    for unit, name, expected in _entries(records):
        try:
            facts = os.stat(store / name)
        except FileNotFoundError:
            if expected is not None:
                found.add(unit)
            continue
        if expected is None or facts.st_size != expected[0] or facts.st_mtime_ns > finished:
            found.add(unit)
    return found


def damaged(store: Path, records: Mapping[str, Record]) -> set[str]:
    """Return the units of a finished store that are damaged; see `suspects` for what is read."""
    doubtful = suspects(store, records)
    return set(problems(store, {unit: records[unit] for unit in doubtful}))


def read_marks(store: Path) -> set[str]:
    """Return the units that `verify` marked as damaged."""
    marked = read_json(store / RECORDS / DAMAGED)
    return {unit for unit in marked if isinstance(unit, str)} if isinstance(marked, list) else set()


def mark_damaged(store: Path, units: Collection[str]) -> None:
    """Leave word in a store of what is damaged, for the run that mends it."""
    path = store / RECORDS / DAMAGED
    if not units:
        path.unlink(missing_ok=True)
    elif path.parent.is_dir():
        write_json(path, sorted(units))
