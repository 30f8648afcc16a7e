"""Scheduler and workers as processes of their own: run, submit and leave, TLS."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from machines import assert_same, cluster_file, pixtally

import pixtally as pt
from pixtally.cluster import cluster, planned_resources
from pixtally.sizes import GiB


@pytest.mark.clusters
def test_run_gives_the_same_store(scheduler, folder, expected):
    file = cluster_file(folder, {"address": scheduler()})
    resources = planned_resources(file)
    assert (resources.workers, resources.threads, resources.memory) == (2, 1, 2 * GiB)
    said = pixtally("cluster", "check", file, "--connect", "--folder", folder).stdout
    assert "versions    the same on all workers" in said
    assert "below Dask  1 thread" in said
    pixtally("run", folder / "spec.yaml", "--cluster", file)
    assert_same(folder / "out/hist.zarr", expected)
    assert "complete" in pixtally("status", folder / "out/hist.zarr").stdout


@pytest.mark.slow
def test_submit_and_leave(scheduler, folder, expected):
    """The command ends before the job does; the store is the one that run makes."""
    file = cluster_file(folder, {"address": scheduler()})
    store = folder / "out/hist.zarr"
    said = pixtally("submit", folder / "spec.yaml", "--cluster", file).stdout
    assert "is handed to tcp://" in said
    states = [json.loads(pixtally("status", store, "--json").stdout)["state"]]
    refused = pixtally("submit", folder / "spec.yaml", "--cluster", file, code=None)
    if refused.returncode:
        assert "is being made already" in refused.stderr
    watched = pixtally("status", store, "--watch", "--every", "0.3").stdout
    assert "nothing is left to do" in watched
    states.append(json.loads(pixtally("status", store, "--json").stdout)["state"])
    assert states[0] in ("waiting", "running")
    assert states[1] == "complete"
    assert_same(store, expected)


@pytest.mark.clusters
def test_the_driver_goes_on_elsewhere_when_its_worker_dies(scheduler, folder, expected):
    file = cluster_file(folder, {"address": scheduler()})
    store = folder / "out/hist.zarr"
    pixtally("submit", folder / "spec.yaml", "--cluster", file)
    ends = time.monotonic() + 60
    while "pid" not in (found := json.loads(pixtally("status", store, "--json").stdout)):
        assert time.monotonic() < ends
    if found["state"] == "running":
        os.kill(found["pid"], signal.SIGKILL)
    assert "nothing is left to do" in _watched(store)
    again = json.loads(pixtally("status", store, "--json").stdout)
    assert again["state"] == "complete"
    assert_same(store, expected)


def _watched(store):
    """Watch until the job is complete; between two drivers it is seen stopped for a moment."""
    ends = time.monotonic() + 120
    while True:
        done = pixtally("status", store, "--watch", "--every", "0.3", code=None)
        if done.returncode == 0:
            return done.stdout
        assert "resume" in done.stdout
        assert time.monotonic() < ends, done.stdout
        time.sleep(0.5)


@pytest.mark.clusters
def test_a_job_that_fails_there_says_why(scheduler, folder):
    file = cluster_file(folder, {"address": scheduler()})
    (folder / "frames").unlink()
    (folder / "frames").mkdir()
    (folder / "frames/a.png").write_bytes(b"no picture")
    pixtally("submit", folder / "spec.yaml", "--cluster", file)
    store = folder / "out/hist.zarr"
    done = pixtally("status", store, "--watch", "--every", "0.3", code=1)
    assert "a.png" in done.stdout
    assert "resume" in done.stdout
    assert "pixtally submit" in done.stdout


def test_clusters_that_end_with_the_command_take_no_jobs(folder):
    file = cluster_file(folder, {"class": "distributed.LocalCluster"})
    done = pixtally("submit", folder / "spec.yaml", "--cluster", file, code=1)
    assert "would end with this command" in done.stderr


def _options(files):
    return (
        *("--tls-ca-file", files["tls_ca_file"]),
        *("--tls-cert", files["tls_client_cert"], "--tls-key", files["tls_client_key"]),
    )


@pytest.mark.clusters
def test_tls_of_a_scheduler_that_runs(scheduler, folder, expected, certificates):
    address = scheduler(*_options(certificates["ours"]), protocol="tls")
    file = cluster_file(folder, {"address": address, "security": certificates["ours"]})
    assert "TLS, signed by" in pixtally("cluster", "check", file, "--connect").stdout
    pixtally("submit", folder / "spec.yaml", "--cluster", file)
    _watched(folder / "out/hist.zarr")
    assert_same(folder / "out/hist.zarr", expected)
    block = {"address": address, "timeout": 5}
    for stranger in ({"security": certificates["stranger"]}, {}):
        with (
            pytest.raises(pt.PixtallyError, match="no scheduler answers"),
            cluster(cluster_file(folder, block | stranger)),
        ):
            pass


@pytest.mark.clusters
def test_tls_of_a_local_cluster(folder, expected, certificates):
    kwargs = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "2GiB"}
    block = {"class": "distributed.LocalCluster", "kwargs": kwargs}
    file = cluster_file(folder, block | {"security": certificates["ours"]})
    with cluster(file) as client:
        assert client.scheduler.address.startswith("tls://")
        workers = client.scheduler_info(n_workers=-1)["workers"]
        assert len(workers) == 2
        assert all(address.startswith("tls://") for address in workers)
        pt.Pipeline.from_yaml(folder / "spec.yaml").run(progress=False)
    assert_same(folder / "out/hist.zarr", expected)
