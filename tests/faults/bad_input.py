"""What the tests of bad input share: a command that must end in one line, and its memory."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from pixtally.cli import main

ALLOWED = 400 * 2**20
"""Bytes that a command may take on top of what the process holds, whatever its input claims."""


def peak(reset: bool = False) -> int:
    """Return the largest resident size since the last reset, in bytes; 0 where it is not told."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


class Outcome:
    """What a command did."""

    def __init__(self, result) -> None:
        self.code, self.out, self.line = result.exit_code, result.stdout, result.stderr.strip()


def call(*arguments) -> Outcome:
    """Run a command, and check what holds for every input: one line, no traceback, no surprise."""
    before = peak(reset=True)
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    found = Outcome(result)
    assert found.code in (0, 1, 2, 3), found.line
    assert "Traceback" not in result.output
    assert peak() - before < ALLOWED, "memory is bounded"
    if found.code == 1:
        assert found.out == ""
        assert found.line.startswith("pixtally: "), found.line
        # Only verify has a line for each thing that is damaged.
        assert arguments[0] == "verify" or len(result.stderr.splitlines()) == 1, found.line
        assert all(line.startswith("pixtally: ") for line in result.stderr.splitlines())
        assert "--debug shows where" not in found.line, f"unforeseen: {found.line}"
    return found


def frames(folder: Path, count: int = 3) -> Path:
    """Write a few good images."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        noise = np.random.default_rng(k).integers(0, 256, (16, 20), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{k}.png")
    return folder


def nothing_looks_whole(dest: Path) -> None:
    """Check that a failed command left no store, and clear what it left of its work."""
    assert not dest.exists()
    shutil.rmtree(f"{dest}.partial", ignore_errors=True)
