"""The record of a run of a job: when, where, how long each stage took, whether it ended."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pixtally.jobs import RECORDS, write_json

RUNS = "runs.json"


class RunLog:
    """Writes one entry for a run into the records of a job, also when the run fails.

    Parameters
    ----------
    store : Path
        The folder of the job.
    **facts
        JSON-able: workers, threads, memory, what is counted.
    """

    def __init__(self, store: Path, **facts: Any) -> None:
        self.path = store / RECORDS / RUNS
        begin = datetime.now(UTC).isoformat(timespec="seconds")
        self.entry: dict[str, Any] = {
            "begin": begin,
            **facts,
            "seconds": {},
            "unit_seconds": {},
            "units": 0,
            "peak_worker_bytes": None,
            "complete": False,
        }

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            _add(self.entry["seconds"], {name: time.perf_counter() - begin})

    def add(self, cost: Mapping[str, Any] | None) -> None:
        """Add what a unit cost; see `UnitCost.result`."""
        if cost is None:
            return
        self.entry["units"] += 1
        _add(self.entry["unit_seconds"], cost["seconds"])
        if cost["peak_bytes"]:
            before = self.entry["peak_worker_bytes"] or 0
            self.entry["peak_worker_bytes"] = max(before, cost["peak_bytes"])

    def write(self, complete: bool) -> None:
        """Write the entry below those of earlier runs."""
        self.entry["complete"] = complete
        try:
            earlier = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):
            earlier = []
        # A full disk, say: what is raised already is what the user must see.
        with contextlib.suppress(OSError):
            write_json(self.path, [*earlier, self.entry])

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        if kind is not None:
            self.write(complete=False)


def _add(total: dict[str, float], more: Mapping[str, float]) -> None:
    for name, seconds in more.items():
        total[name] = round(total.get(name, 0.0) + seconds, 4)
