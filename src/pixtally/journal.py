"""The journal of a run: who does what since when, in a file beside the result, with a pulse."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import sys
import tempfile
import threading
import time
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any

from pixtally.errors import PixtallyError
from pixtally.jobs import write_json

BEAT = 5.0
"""Seconds between two touches of the file."""

DEAD = 45.0
"""A run whose file was not touched for so many seconds is taken for dead."""

_current: ContextVar[Journal | None] = ContextVar("journal", default=None)


class Journal:
    """What a run is doing, for those who look at the files alone.

    Use it as a context: it tells how the run ended, and its file is touched every few seconds
    meanwhile, so that its age shows on any machine whether the run is alive.

    Parameters
    ----------
    path : Path
        The file.
    about : dict
        JSON-able facts, such as who submitted the run and where.
    """

    def __init__(self, path: Path, about: dict[str, Any] | None = None) -> None:
        self.path = path
        self.content: dict[str, Any] = {
            "command": typed(),
            "folder": os.getcwd(),
            **(about or {}),
            "state": "running",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": time.time(),
        }
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Journal:
        self._refuse_second()
        self._write()
        self._token = _current.set(self)
        self._pulse = threading.Thread(target=self._beat, daemon=True)
        self._pulse.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _current.reset(self._token)
        self._ended.set()
        self._pulse.join()
        if error is None:
            self.tell(state="complete", ended=time.time())
            return
        stopped = "stopped by its user" if isinstance(error, KeyboardInterrupt) else ""
        reason = stopped or " ".join(str(error).split()) or type(error).__name__
        # A full disk, say: what is raised already is what the user must see.
        with contextlib.suppress(OSError):
            self.tell(state="failed", ended=time.time(), error=reason)

    def _refuse_second(self) -> None:
        """Leave the journal of a run that is alive alone."""
        other = read_facts(self.path)
        if other is None or other.get("state") != "running":
            return
        seen = {"seen": age(self.path)}
        if alive(seen | {k: v for k, v in other.items() if k in ("host", "pid", "since")}):
            since = other.get("since")
            clock = time.localtime(since or 0)
            raise PixtallyError(
                f"{other.get('store', self.path)} is being written by process {other.get('pid')} "
                f"on {other.get('host')} since {time.strftime('%Y-%m-%d %H:%M:%S', clock)}; wait "
                "for it (pixtally status), or stop it"
            )

    def tell(self, **facts: Any) -> None:
        """Write facts into the file."""
        with self._lock:
            self.content.update(facts)
            self._write()

    def _write(self) -> None:
        write_json(self.path, self.content)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with self._lock, contextlib.suppress(OSError):
                os.utime(self.path)


def note_stage(stage: str, store: Path) -> None:
    """Say what the run does now, and which store it makes; nothing where there is no journal."""
    journal = _current.get()
    if journal is not None:
        journal.tell(stage=stage, store=str(store.absolute()))


def typed() -> str | None:
    """Return the command that was typed, or None where Python code began the run."""
    name = Path(sys.argv[0]).name
    ours = name == "pixtally" or sys.argv[0].endswith(os.path.join("pixtally", "cli.py"))
    return shlex.join(["pixtally", *sys.argv[1:]]) if ours else None


def age(path: Path) -> float:
    """Return the seconds since a file was touched, by the clock of its own file system."""
    touched = path.stat().st_mtime
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".pixtally-clock-") as file:
            now = os.fstat(file.fileno()).st_mtime
    except OSError:
        now = time.time()
    return max(now - touched, 0.0)


def read_journal(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file, or None where there is none that can be read."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


TEXTS = ("host", "command", "folder", "error", "scheduler", "key", "state", "stage", "store")
NUMBERS = {"pid": 2**31, "since": 2**36, "left_out": 2**63, "n_images": 2**63}
"""Facts of a journal or a lock; numbers with what is above all sense."""


def read_facts(path: Path) -> dict[str, Any] | None:
    """Return the facts of a journal or a lock that are what they should be."""
    found = read_journal(path)
    if found is None:
        return None
    texts = {n: found[n] for n in TEXTS if isinstance(found.get(n), str)}
    return texts | {n: found[n] for n, most in NUMBERS.items() if _is_number(found.get(n), most)}


def _is_number(value: Any, most: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < most


def alive(found: dict[str, Any]) -> bool | None:
    """Tell whether the process of a run is alive; None where it cannot be seen from here."""
    if "pid" not in found:
        return False
    if found.get("host") == socket.gethostname():
        return _process_lives(found["pid"], found.get("since"))
    if "seen" in found:
        return bool(found["seen"] < DEAD)
    return None


def _process_lives(pid: Any, since: Any) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    try:  # A number is given again: a process that began after the run is another one.
        began = Path(f"/proc/{pid}").stat().st_ctime
    except OSError:
        return True
    return not isinstance(since, float) or began <= since + 1
