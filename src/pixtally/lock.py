"""The lock of a store: one run writes it at a time, and the lock says which."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from pixtally.errors import PixtallyError
from pixtally.records import read_object


class StoreLock:
    """A file that names the process that is writing a store.

    It appears whole, by a link, so that it is never seen half written. One left by a process
    that has died on this machine is taken over; of another machine nothing can be known.

    Parameters
    ----------
    path : Path
        The lock, in a folder that exists.
    dest : Path
        What is being written, for messages.
    """

    def __init__(self, path: Path, dest: Path) -> None:
        self.path = path
        self.dest = dest
        self.owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "began": _began(os.getpid()),
            "since": time.time(),
            "key": uuid.uuid4().hex,
        }

    def take(self) -> None:
        """Take the lock.

        Raises
        ------
        PixtallyError
            When another run has it, saying which.
        """
        scratch = self.path.with_name(f".{self.path.name}.{self.owner['key']}")
        try:
            scratch.write_text(json.dumps(self.owner), "utf-8")
            for _ in range(3):
                with contextlib.suppress(FileExistsError):
                    _link(scratch, self.path)
                    return
                self._take_over()
        finally:
            scratch.unlink(missing_ok=True)
        raise PixtallyError(f"{self.dest} is being started by another run; wait for it")

    def refuse_if_held(self) -> None:
        """Say who has the lock, if any process has."""
        found = read_object(self.path)
        if found is not None:
            self._refuse_if_alive(found)

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        if (read_object(self.path) or {}).get("key") == self.owner["key"]:
            self.path.unlink(missing_ok=True)

    def _take_over(self) -> None:
        """Remove the lock of a process that is gone, or say who holds it."""
        found = read_object(self.path)
        if found is None and not self.path.exists():
            return
        self._refuse_if_alive(found or {})
        # Taken aside before it is removed: another run may have put its own there meanwhile.
        aside = self.path.with_name(f".{self.path.name}.{self.owner['key']}.old")
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.path, aside)
            other = read_object(aside)
            if other != found:
                with contextlib.suppress(FileExistsError):
                    _link(aside, self.path)
            aside.unlink()

    def _refuse_if_alive(self, owner: dict[str, Any]) -> None:
        here = owner.get("host") in (None, socket.gethostname())
        if here and not _is_alive(owner.get("pid"), owner.get("began")):
            return
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner.get("since", 0)))
        raise PixtallyError(
            f"{self.dest} is being written by process {owner.get('pid')} on "
            f"{owner.get('host')} since {since}; wait for it, or if it is gone delete {self.path}"
        )


def _link(file: Path, name: Path) -> None:
    """Give a file a second name, unless the name is taken."""
    try:
        os.link(file, name)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links: the lock is seen empty for a moment.
        handle = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        with os.fdopen(handle, "w", encoding="utf-8") as lock:
            lock.write(file.read_text("utf-8"))


def _is_alive(pid: Any, began: Any) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OverflowError:
        return False
    # A number is given again, in containers at once: the same number is not the same process.
    return began is None or _began(pid) in (None, began)


def _began(pid: int) -> str | None:
    """Return when a process began, as this system tells it; None where it does not."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError, UnicodeDecodeError):
        return None
    return f"{boot}:{ticks}"
