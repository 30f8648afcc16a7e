"""The last section of a report: time, memory, what was left out, the resolved specification."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from pixtally import charts, schema
from pixtally.charts import number
from pixtally.provenance import Provenance
from pixtally.report import parts
from pixtally.report.gather import Gathered
from pixtally.sizes import duration_text, size_text

NOT = '<span class="muted">not recorded</span>'
SHOWN_LEFT_OUT = 50

UNIT_STAGES = {"decoding": "reading images", "writing": "compressing and writing"}


def section(found: Gathered) -> str:
    """Return the section."""
    made = found.made
    return (
        '<section id="making" aria-labelledby="h-making"><h2 id="h-making">How it was made</h2>'
        f'<div class="two"><div>{_times(found)}</div><div>{_plan(found)}</div></div>'
        f"{_terms(made)}{_left_out(found)}"
        f"{_spec(found)}{parts.pre('History', str(found.hist.attrs.get('history', '')))}"
        "</section>"
    )


def disk_bytes(path: Path) -> int:
    """Return the bytes of all files of a store."""
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def _times(found: Gathered) -> str:
    """Return the stages with their seconds, and what the workers spent theirs on."""
    made = found.made
    stages: dict[str, float] = dict(made.pipeline.get("seconds", {}))
    inside: dict[str, float] = {}
    for run in made.runs:
        for name, spent in run.get("seconds", {}).items():
            inside[name] = inside.get(name, 0.0) + spent
    if not stages:
        stages, inside = inside, {}
    if not stages:
        return f"<h3>Time</h3><p>{NOT}</p>"
    total = sum(stages.values())
    rows = [
        (escape(name), duration_text(spent), parts.bar(spent / (total or 1)))
        for name, spent in stages.items()
    ]
    rows.append(("<b>all</b>", f"<b>{duration_text(total)}</b>", ""))
    words = _rate(found, stages | inside)
    return parts.table("Time of each stage", ["stage", "time", "share"], rows, "num") + (
        f"<p>{words}</p>" + _unit_times(made) if words or made.unit_seconds else ""
    )


def _rate(found: Gathered, stages: dict[str, float]) -> str:
    spent = stages.get("counting", 0.0) + stages.get("adding segments", 0.0)
    images = int(found.hist.attrs["n_images"])
    runs = len(found.made.runs)
    words = f"Counted {number(images / spent)} images a second" if spent > 0 else ""
    # After an interruption or an append the seconds are those of all runs together.
    if words and runs > 1:
        words += f" over {runs} runs"
    return words + "." if words else ""


def _unit_times(made: Provenance) -> str:
    spent = made.unit_seconds
    total = sum(spent.values())
    if not total:
        return ""
    rows = [
        (UNIT_STAGES.get(name, escape(name)), duration_text(s), parts.bar(s / total))
        for name, s in sorted(spent.items(), key=lambda pair: -pair[1])
    ]
    done = charts.many(made.units, "unit")
    caption = f"What {done} of work spent time on, all workers together"
    return parts.table(caption, ["work", "time", "share"], rows, "num")


def _plan(found: Gathered) -> str:
    """Return what was planned beside what was measured."""
    made = found.made
    if made.plan is None:
        return f"<h3>Plan</h3><p>{NOT}</p>"
    plan = made.plan
    peak, measured = plan["peak_worker_bytes"], made.peak_worker_bytes
    share = f" ({100 * measured / peak:.0f} %)" if measured else ""
    if measured and measured > peak:
        share += ' <strong class="over">more than planned</strong>'
    stored = sum(disk_bytes(found.path / name) for name in schema.VARIABLES)
    rows = [
        ("memory of a worker", size_text(peak), size_text(measured) + share if measured else NOT),
        ("units of work", number(plan["tasks"]), number(made.units) if made.units else NOT),
        ("bytes read", size_text(plan["bytes_read"]), _source_bytes(made)),
        ("bytes written", size_text(plan["bytes_written"]), f"{size_text(stored)} compressed"),
    ]
    tile = " × ".join(map(str, plan["tile"]))
    parts_of = plan["segments"]
    words = f"Tiles of {tile} pixels; the image axis in {charts.many(parts_of, 'part')}."
    caption = "Planned before the job began, and measured"
    return parts.table(caption, ["what", "planned", "measured"], rows, "num") + f"<p>{words}</p>"


def _source_bytes(made: Provenance) -> str:
    if made.source is None:
        return NOT
    return f"{size_text(disk_bytes(made.source))} compressed"


def _terms(made: Provenance) -> str:
    if made.plan is None:
        return ""
    terms: dict[str, Any] = made.plan.get("memory_terms", {})
    largest = max(terms.values(), default=1) or 1
    rows = [
        (escape(name), size_text(size), parts.bar(size / largest))
        for name, size in terms.items()
        if size
    ]
    threads = made.plan.get("threads", 1)
    caption = "Planned memory by what it holds"
    each = f"; all but “process” once for each of {threads} threads" if threads > 1 else ""
    return (
        "<details><summary>Memory terms of the plan</summary>"
        f"{parts.table(caption + each, ['term', 'size', 'share'], rows, 'num')}</details>"
    )


def _left_out(found: Gathered) -> str:
    bad = found.left_out
    if not bad:
        return "<h3>Left out</h3><p>No image was left out.</p>"
    rows = [(escape(b["image"]), escape(b["reason"])) for b in bad[:SHOWN_LEFT_OUT]]
    more = len(bad) - SHOWN_LEFT_OUT
    rest = f"<p>… and {number(more)} more, listed in the store.</p>" if more > 0 else ""
    caption = f"{number(len(bad))} images could not be read and are not counted"
    return f"<h3>Left out</h3>{parts.table(caption, ['image', 'reason'], rows)}{rest}"


def _spec(found: Gathered) -> str:
    if found.spec is None:
        return "<h3>Specification</h3><p>Not recorded: the store was not made by a pipeline.</p>"
    return parts.pre("Resolved specification", found.spec)
