"""How a store was made, as far as it is recorded: plan, runs, memory, pipeline, left-out images."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixtally.jobs import RECORDS, read_records

PIPELINE = "pipeline.json"
RUNS = "runs.json"


@dataclass
class Provenance:
    """What is recorded; None and empty where nothing is (stores of earlier versions, of `to_zarr`).

    Attributes
    ----------
    plan : dict or None
        `Plan.to_dict` of the job.
    runs : list of dict
        ``begin``, ``seconds`` by stage, ``workers``, ``threads``, ``memory``, ``complete``; one
        entry for each time that the job was started.
    unit_seconds : dict
        Seconds that all units together spent on reading, counting and writing.
    units : int
        Units of work done.
    peak_worker_bytes : int or None
        Largest memory of a worker while it worked on a unit.
    pipeline : dict
        ``spec`` (the resolved one), ``seconds`` by stage, ``images`` (path), ``left_out``.
    source : Path or None
        The collection that was counted.
    """

    plan: dict[str, Any] | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)
    unit_seconds: dict[str, float] = field(default_factory=dict)
    units: int = 0
    peak_worker_bytes: int | None = None
    pipeline: dict[str, Any] = field(default_factory=dict)
    source: Path | None = None

    @property
    def left_out(self) -> list[dict[str, str]]:
        """Images that could not be read, by ``image`` and ``reason``."""
        return list(self.pipeline.get("left_out", ()))


def read_provenance(store: Path) -> Provenance:
    """Return what is recorded in and beside a store.

    Parameters
    ----------
    store : Path
        A histogram.
    """
    records = read_records(store)
    spent: Counter[str] = Counter()
    peaks = []
    for record in records.values():
        spent.update(record.get("seconds", {}))
        peaks.append(record.get("peak_bytes"))
    known = [int(p) for p in peaks if p]
    pipeline = _read(store, PIPELINE) or {}
    runs = _read(store, RUNS) or []
    return Provenance(
        plan=_read(store, "plan.json"),
        runs=runs,
        unit_seconds=dict(spent),
        units=len(records),
        peak_worker_bytes=max(known, default=None),
        pipeline=pipeline,
        source=_source(store, pipeline, runs),
    )


def _read(store: Path, name: str) -> Any:
    try:
        return json.loads((store / RECORDS / name).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _source(store: Path, pipeline: dict[str, Any], runs: list[dict[str, Any]]) -> Path | None:
    """Return the collection, by the path that is recorded or by the usual name beside the store."""
    named = [pipeline.get("images"), *(run.get("images") for run in reversed(runs))]
    places = [store.absolute().parent / name for name in named if name]
    places.append(store.with_name(f"{store.stem}-images.zarr"))
    return next((p for p in places if (p / "zarr.json").exists()), None)
