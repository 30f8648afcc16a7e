"""How tests start processes, call the command line, and compare stores to the bit."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

MEMORY = "2GiB"
DASK = [sys.executable, "-m", "dask"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cluster_file(folder: Path, block: dict, **config) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump({"pixtally": {"cluster": {"timeout": 60, **block}}, **config}))
    return path


def pixtally(*arguments, code: int | None = 0, timeout: float = 300) -> subprocess.CompletedProcess:
    """Run the command line in its own process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "pixtally.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=os.environ.get("PIXTALLY_TEST_CWD"),
    )
    assert code is None or done.returncode == code, done.stderr[-3000:] + done.stdout[-1000:]
    assert "Traceback" not in done.stderr
    return done


def need(*programs: str, package: str) -> None:
    """Skip where a Debian package is absent, saying which."""
    places = [*os.environ["PATH"].split(os.pathsep), "/usr/sbin", "/sbin"]
    absent = [p for p in programs if shutil.which(p, path=os.pathsep.join(places)) is None]
    if absent:
        pytest.skip(f"no {', '.join(absent)} here: apt-get install {package}")


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may do this")


def contents(store: Path) -> dict[str, object]:
    """Return every file of a store; of its metadata all but what names the run."""
    found: dict[str, object] = {}
    for path in sorted(p for p in store.rglob("*") if p.is_file()):
        name = str(path.relative_to(store))
        if name.startswith("pixtally/") and name != "pixtally/units.json":
            continue
        found[name] = path.read_bytes()
        if path.suffix == ".json":
            content = json.loads(path.read_text())
            if isinstance(content.get("attributes"), dict):
                content["attributes"].pop("history", None)
            for node in content.get("consolidated_metadata", {}).get("metadata", {}).values():
                node["attributes"].pop("history", None)
            found[name] = content
    return found


def assert_same(store: Path, expected: Path) -> None:
    """Fail unless two stores are equal to the bit, file by file."""
    ours, theirs = contents(store), contents(expected)
    assert set(ours) == set(theirs)
    assert sum(name.startswith("counts/c") for name in ours) >= 1
    differing = [name for name in ours if ours[name] != theirs[name]]
    assert not differing


class Processes:
    """Processes with a log each, ended with the test."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.running: list[subprocess.Popen] = []

    def start(self, *command, until: str = "", timeout: float = 60, **kwargs) -> subprocess.Popen:
        """Start a process, and wait until its log has a text."""
        log = self.logs / f"{len(self.running)}-{Path(str(command[0])).name}.log"
        with open(log, "wb") as file:
            made = subprocess.Popen(
                [str(c) for c in command], stdout=file, stderr=subprocess.STDOUT, **kwargs
            )
        self.running.append(made)
        ends = time.monotonic() + timeout
        while until not in (said := log.read_text(errors="replace")):
            if time.monotonic() > ends or (made.poll() is not None and until not in said):
                pytest.fail(f"{' '.join(map(str, command))} did not say {until!r}:\n{said[-3000:]}")
            time.sleep(0.05)
        return made

    def end(self) -> None:
        for process in reversed(self.running):
            if process.stdin is not None:
                process.stdin.close()
            process.terminate()
        for process in self.running:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
