"""Two network namespaces joined by a cable: the scheduler in one, the workers in the other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from machines import DASK, MEMORY, assert_same, cluster_file, need, need_root

pytestmark = pytest.mark.clusters


def ip(*words):
    subprocess.run(["ip", *words], check=True, timeout=20, capture_output=True)


@pytest.fixture
def namespaces():
    """Make two hosts that share nothing but a cable (and the disk)."""
    need("ip", package="iproute2")
    need_root()
    a, b = (f"pixtally-{os.getpid()}-{side}" for side in "ab")
    try:
        ip("netns", "add", a)
    except (subprocess.CalledProcessError, OSError) as error:
        pytest.skip(f"this machine lets nobody make network namespaces: {error}")
    try:
        ip("netns", "add", b)
        ip("-n", a, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", b)
        for name, address in ((a, "10.77.0.1/24"), (b, "10.77.0.2/24")):
            ip("-n", name, "address", "add", address, "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield a, b
    finally:
        for name in (a, b):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def test_pipeline_across_a_network(namespaces, processes, folder, expected):
    """The client runs beside the scheduler; workers are reached by their address only."""
    a, b = namespaces
    inside = {name: ["ip", "netns", "exec", name] for name in (a, b)}
    processes.start(
        *(*inside[a], *DASK, "scheduler", "--host", "10.77.0.1", "--port", "8786"),
        *("--dashboard-address", "127.0.0.1:0"),
        until="Scheduler at",
    )
    for _ in range(2):
        processes.start(
            *(*inside[b], *DASK, "worker", "tcp://10.77.0.1:8786", "--nthreads", "1"),
            *("--memory-limit", MEMORY, "--host", "10.77.0.2", "--no-dashboard"),
            until="Starting established connection",
        )
    file = cluster_file(folder, {"address": "tcp://10.77.0.1:8786"})
    command = [sys.executable, "-W", "ignore", "-m", "pixtally.cli"]

    def pixtally(*arguments):
        return subprocess.run(
            [*inside[a], *command, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=200,
        )

    checked = pixtally("cluster", "check", file, "--connect", "--folder", folder)
    assert checked.returncode == 0, checked.stderr
    assert "came        2 of" in checked.stdout
    done = pixtally("submit", folder / "spec.yaml", "--cluster", file)
    assert done.returncode == 0, done.stderr
    # The records are on the disk: nobody needs the network to see how far it is.
    watched = subprocess.run(
        [*command, "status", folder / "out/hist.zarr", "--watch", "--every", "0.3"],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert "nothing is left to do" in watched.stdout
    assert_same(folder / "out/hist.zarr", expected)


def test_a_scheduler_on_loopback_is_reached_by_nobody(namespaces, processes):
    """Servers bind to loopback unless told otherwise: the other namespace finds no open port."""
    a, b = namespaces
    code = (
        "from pixtally.cluster import cluster\n"
        "with cluster() as c:\n"
        "    print('PORT', c.scheduler.address.rpartition(':')[2], flush=True)\n"
        "    input()\n"
    )
    log = processes.logs / "0-ip.log"
    processes.start(
        *("ip", "netns", "exec", a, sys.executable, "-c", code),
        until="PORT",
        stdin=subprocess.PIPE,
    )
    port = log.read_text().split("PORT")[1].split()[0]
    probe = f"import socket; socket.create_connection(('10.77.0.1', {port}), 2)"
    done = subprocess.run(
        ["ip", "netns", "exec", b, sys.executable, "-c", probe],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "refused" in done.stderr
