"""SSHCluster over a real sshd that the test starts: own port, own host key, own user key."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys

import pytest
from machines import MEMORY, assert_same, cluster_file, free_port, need, pixtally

from pixtally.cluster import cluster, planned_resources

pytestmark = pytest.mark.clusters


@pytest.fixture
def sshd(processes, tmp_path_factory):
    """Start sshd; returns what asyncssh needs to connect to it."""
    pytest.importorskip("asyncssh", reason="pip install 'pixtally[ssh]'")
    need("sshd", package="openssh-server")
    place = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True
        )
    (place / "authorized").write_bytes((place / "user.pub").read_bytes())
    (place / "authorized").chmod(0o600)
    port = free_port()
    # What the remote side must find as well: it starts with an empty environment.
    carried = {k: v for k in ("PYTHONPATH", "NUMBA_CACHE_DIR") if (v := os.environ.get(k))}
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": place / "host",
        "AuthorizedKeysFile": place / "authorized",
        "PidFile": place / "pid",
        "UsePAM": "no",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "SetEnv": " ".join(f"{k}={v}" for k, v in carried.items()) or "A=b",
    }
    (place / "config").write_text("".join(f"{k} {v}\n" for k, v in settings.items()))
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # where sshd separates its privileges
    processes.start(
        *("/usr/sbin/sshd", "-D", "-e", "-f", place / "config"), until="Server listening"
    )
    key = (place / "host.pub").read_text().split()[:2]
    (place / "known").write_text(f"[127.0.0.1]:{port} {' '.join(key)}\n")
    return {
        "port": port,
        "username": getpass.getuser(),
        "client_keys": [str(place / "user")],
        "known_hosts": str(place / "known"),
    }


def block_of(sshd, **more):
    return {
        "class": "distributed.SSHCluster",
        "kwargs": {
            "hosts": ["127.0.0.1"] * 3,
            "connect_options": sshd,
            "worker_options": {"nthreads": 1, "memory_limit": MEMORY},
            "scheduler_options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
            "remote_python": sys.executable,
        },
        **more,
    }


def test_pipeline_over_ssh(sshd, folder, expected):
    file = cluster_file(folder, block_of(sshd))
    said = pixtally("cluster", "check", file, "--connect", "--folder", folder).stdout
    assert "came        2 of 2 workers" in said
    assert planned_resources(file).workers == 2
    pixtally("run", folder / "spec.yaml", "--cluster", file)
    assert_same(folder / "out/hist.zarr", expected)


def test_tls_over_ssh(sshd, folder, expected, certificates):
    """The certificates reach the other side as Dask's configuration."""
    import pixtally as pt

    with cluster(cluster_file(folder, block_of(sshd, security=certificates["ours"]))) as client:
        assert client.scheduler.address.startswith("tls://")
        pt.Pipeline.from_yaml(folder / "spec.yaml").run(progress=False)
    assert_same(folder / "out/hist.zarr", expected)


def test_a_host_that_is_not_known_is_refused(sshd, folder):
    (folder / "empty").touch()
    stranger = sshd | {"known_hosts": str(folder / "empty")}
    done = pixtally(
        "run", folder / "spec.yaml", "--cluster", cluster_file(folder, block_of(stranger)), code=1
    )
    assert "did not start" in done.stderr
    assert not (folder / "out/hist.zarr").exists()
