"""The largest memory of this process while it worked on a job, where the system tells."""

from __future__ import annotations

import contextlib
from pathlib import Path

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")

_begun: set[str] = set()


def begin(job: str) -> None:
    """Forget the peak of earlier work, the first time that this process works on `job`.

    Later units of the job, and units that run at the same time, leave the peak as it is.
    """
    if job in _begun:
        return
    _begun.add(job)
    # 5 sets the "high water mark" of the resident memory back to what is resident now.
    with contextlib.suppress(OSError):
        RESET.write_text("5")


def peak() -> int | None:
    """Return the largest resident memory since `begin` in bytes; None where it is not told."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith("VmHWM:")), None)
    return int(found.split()[1]) * 1024 if found else None
