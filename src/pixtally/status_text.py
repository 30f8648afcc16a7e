"""How far a job is, as people read it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def status_text(found: dict[str, Any]) -> str:
    """Return the lines of `job_status` as people read them."""
    rows = {found["state"]: _what(found)}
    if found["state"] == "running" and found.get("units_per_second"):
        images = found.get("images", 0) / found["units"] if found.get("units") else 0
        rate = found["units_per_second"]
        rows["rate"] = f"{rate:.3g} units/s" + (
            f", {rate * images:,.0f} images/s" if images else ""
        )
    if found.get("seconds_left") is not None:
        rows["left"] = f"about {span(found['seconds_left'])}"
    if found.get("since"):
        rows["since"] = f"{_clock(found['since'])} ({span(time.time() - found['since'])} ago)"
    if found.get("began") and found["began"] < found.get("since", 0) - 60:
        rows["begun"] = f"{_clock(found['began'])}, resumed since"
    if found.get("ended"):
        rows["ended"] = _clock(found["ended"])
    if "pid" in found:
        rows["by"] = f"process {found['pid']} on {found.get('host')}, {_life(found)}"
    if "scheduler" in found:
        rows["on"] = f"the scheduler at {found['scheduler']}"
    if found.get("left_out"):
        rows["left out"] = f"{found['left_out']} images, listed in the store"
    if found.get("error") and found["state"] == "failed":
        rows["error"] = found["error"]
    if "resume" in found:
        rows["resume"] = found["resume"]
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items())


def _what(found: dict[str, Any]) -> str:
    made = found.get("making", found["store"])
    name = os.path.relpath(made) if Path(made).is_relative_to(Path.cwd()) else made
    if found["state"] == "complete":
        images = f", {found['images']:,} images" if found.get("images") is not None else ""
        return f"{name}: all {found.get('units', '?')} units{images}; nothing is left to do"
    if found["state"] == "waiting":
        return f"{name}: handed over, not begun"
    done, units = found.get("units_done", 0), found.get("units")
    part = f" ({done / units:.0%})" if units else ""
    images = (
        f", about {found['images_done']:,} of {found['images']:,} images"
        if found.get("images_done") is not None
        else ""
    )
    return f"{name}: {found.get('stage', '')}, {done} of {units or '?'} units{part}{images}"


def _life(found: dict[str, Any]) -> str:
    if found["state"] in ("complete", "failed"):
        return "ended"
    seen = f" (seen {span(found['seen'])} ago)" if "seen" in found else ""
    if found.get("alive") is None:
        last = found.get("last_unit")
        when = f"; its last unit ended {span(time.time() - last)} ago" if last else ""
        return f"another machine: look there whether it is alive{when}"
    return f"{'alive' if found['alive'] else 'gone'}{seen}"


def span(seconds: float) -> str:
    """Return a span of time in its two largest units.

    Examples
    --------
    >>> span(3725.4), span(59.6), span(0.2)
    ('1 h 2 min', '1 min', '0 s')
    """
    seconds = max(round(seconds), 0)
    for unit, size, name, smaller in ((86400, 3600, "d", "h"), (3600, 60, "h", "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name} {seconds % unit // size} {smaller}"
    if seconds >= 60:
        rest = f" {seconds % 60} s" if seconds % 60 else ""
        return f"{seconds // 60} min{rest}"
    return f"{seconds} s"


def _clock(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
