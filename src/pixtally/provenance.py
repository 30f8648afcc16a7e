"""How a store was made, as far as it is recorded: plan, runs, memory, pipeline, left-out images."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixtally.jobs import RECORDS, read_records, write_json
from pixtally.run_log import RUNS

PIPELINE = "pipeline.json"


@dataclass
class Provenance:
    """What is recorded; None and empty where nothing is (stores of earlier versions, of `to_zarr`).

    Attributes
    ----------
    plan : dict or None
        `Plan.to_dict` of the job.
    runs : list of dict
        One entry for each time that the job was started and could end orderly; see `RunLog`.
    unit_seconds : dict
        Seconds that all units together spent on decoding, counting and writing.
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
    pipeline = _read(store, PIPELINE) or {}
    runs = _read(store, RUNS) or []
    spent: Counter[str] = Counter()
    for run in runs:
        spent.update(run.get("unit_seconds", {}))
    known = [int(run["peak_worker_bytes"]) for run in runs if run.get("peak_worker_bytes")]
    return Provenance(
        plan=_read(store, "plan.json"),
        runs=runs,
        unit_seconds=dict(spent),
        units=len(read_records(store)),
        peak_worker_bytes=max(known, default=None),
        pipeline=pipeline,
        source=_source(store, pipeline, runs),
    )


def write_pipeline(store: Path, *, keep_times: bool, **content: Any) -> None:
    """Record which pipeline made a store.

    Parameters
    ----------
    store : Path
        A histogram.
    keep_times : bool
        The store was there already: what was done then took no time now, so that the times of
        the earlier run hold, but for the statistics.
    **content
        ``spec``, ``seconds``, ``images`` and ``left_out``; see `Provenance`.
    """
    if keep_times:
        earlier = (_read(store, PIPELINE) or {}).get("seconds", {})
        kept = {name: spent for name, spent in earlier.items() if name != "statistics"}
        content["seconds"] = content["seconds"] | kept
    write_json(store / RECORDS / PIPELINE, content)


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
