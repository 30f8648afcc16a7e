"""Fixtures of the fault tests: what jobs read, undisturbed results, clusters inside and outside."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import disturbed
import pytest
from distributed import Client, LocalCluster


@pytest.fixture
def small(monkeypatch):
    """Units so small that a small collection has many."""
    disturbed.make_small(monkeypatch.setattr)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """What the jobs read."""
    with pytest.MonkeyPatch.context() as patch:
        disturbed.make_small(patch.setattr)
        return disturbed.prepare(tmp_path_factory.mktemp("disturbed"))


@pytest.fixture(scope="session")
def undisturbed(folder, tmp_path_factory):
    """Files of the result of every kind of job, when nothing disturbs it."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        disturbed.make_small(patch.setattr)
        for kind in disturbed.KINDS:
            dest = tmp_path_factory.mktemp("whole") / "dest.zarr"
            disturbed.run(kind, folder, dest)
            found[kind] = disturbed.result(dest)
    return found


@pytest.fixture(scope="module")
def workers():
    """A cluster of two workers that are started again when they die, and its client."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit="700MiB"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


class Outside:
    """A scheduler and two workers as processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen] = []

    def start(self) -> None:
        """Start the scheduler, then the workers."""
        self.file.unlink(missing_ok=True)
        self._start("scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard")
        for _ in range(2):
            self._start("worker", "--nthreads", "1", "--no-dashboard", "--no-nanny")

    def _start(self, what: str, *options: str) -> None:
        command = [sys.executable, "-m", "dask", what, "--scheduler-file", str(self.file)]
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = {**os.environ, "PYTHONPATH": path}
        self.processes.append(
            subprocess.Popen([*command, *options], **quiet, env=environment, cwd="/")
        )
        deadline = time.monotonic() + 30
        while not self.file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    def kill(self, *which: int) -> None:
        """Kill processes by their place: 0 is the scheduler."""
        for place in which:
            self.processes[place].kill()
            self.processes[place].wait()

    def end(self) -> None:
        """Kill what is left."""
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """Give a scheduler and workers that outlive their client."""
    made = Outside(tmp_path_factory.mktemp("outside"))
    with contextlib.ExitStack() as stack:
        stack.callback(made.end)
        made.start()
        yield made
