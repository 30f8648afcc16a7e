"""What a unit of work cost: seconds by what they were spent on, and the peak of memory."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from pixtally import worker_memory
from pixtally.blocks import Reader
from pixtally.tiles import TileTask


class UnitCost:
    """Measures one unit; its `result` goes back to the process that runs the job.

    Parameters
    ----------
    job : str
        The job, within which the memory of this process is not forgotten.
    """

    def __init__(self, job: str) -> None:
        worker_memory.begin(job)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def spent(self, name: str) -> Iterator[None]:
        """Add the time of a block to `name`, without what is timed inside it."""
        inside = sum(self.seconds.values())
        begin = time.perf_counter()
        try:
            yield
        finally:
            inside = sum(self.seconds.values()) - inside
            whole = time.perf_counter() - begin
            self.seconds[name] = self.seconds.get(name, 0.0) + whole - inside

    def reading(self, task: TileTask) -> TileTask:
        """Return the task with its reading timed as ``decoding``."""
        return replace(task, samples=TimedReader(task.samples, self))

    def result(self) -> dict[str, Any]:
        """Return ``seconds`` and ``peak_bytes``."""
        return {"seconds": self.seconds, "peak_bytes": worker_memory.peak()}


@dataclass(frozen=True)
class TimedReader:
    """A reader whose reading is added to the cost of a unit."""

    reader: Reader
    cost: UnitCost

    def steps(self, start: int, stop: int, batch: int) -> list[tuple[int, int]]:
        """Return the ranges of the reader."""
        return self.reader.steps(start, stop, batch)

    def read(self, start: int, stop: int, inputs: Mapping[Hashable, Any]) -> NDArray[Any]:
        """Return the samples of the reader."""
        with self.cost.spent("decoding"):
            return self.reader.read(start, stop, inputs)
