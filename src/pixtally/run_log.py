"""The record of a run of a job: when, where, how long each stage took, whether it ended."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
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
        self.entry: dict[str, Any] = {"begin": begin, **facts, "seconds": {}, "complete": False}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            stages = self.entry["seconds"]
            stages[name] = round(stages.get(name, 0.0) + spent, 4)

    def write(self, complete: bool) -> None:
        """Write the entry below those of earlier runs."""
        self.entry["complete"] = complete
        try:
            earlier = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):
            earlier = []
        write_json(self.path, [*earlier, self.entry])

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        self.write(complete=kind is None)


class Stopwatch:
    """Seconds by what they were spent on; a unit of work carries one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of a block to `name`."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

    def rounded(self) -> dict[str, float]:
        """Return the seconds as they are recorded."""
        return {name: round(spent, 5) for name, spent in self.seconds.items()}
