"""SLURMCluster on a real SLURM: munge, slurmctld and two slurmd nodes on one machine."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time

import pytest
from machines import MEMORY, assert_same, cluster_file, free_port, need, need_root, pixtally

import pixtally as pt
from pixtally.cluster import cluster

pytestmark = pytest.mark.clusters

NODES = ("n1", "n2")
SIZE = "CPUs=1 RealMemory=4096"


def configuration(place, host, ports):
    """Return slurm.conf: no cgroups, no accounting, two nodes of one processor each."""
    settings = {
        "ClusterName": "pixtally",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": ports["ctld"],
        "SlurmUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={place}/munge/socket",
        "CredType": "cred/munge",
        "StateSaveLocation": place / "state",
        "SlurmdSpoolDir": place / "%n",
        "SlurmctldPidFile": place / "slurmctld.pid",
        "SlurmdPidFile": place / "%n.pid",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "SwitchType": "switch/none",
        "MpiDefault": "none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU",
        "SchedulerType": "sched/builtin",
        "ReturnToService": 2,
    }
    lines = [f"{name}={value}" for name, value in settings.items()]
    lines += [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[node]} {SIZE}"
        for node in NODES
    ]
    return "\n".join([*lines, "PartitionName=all Nodes=n1,n2 Default=YES State=UP", ""])


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Start SLURM; its commands find it by SLURM_CONF."""
    from machines import Processes

    pytest.importorskip("dask_jobqueue", reason="pip install 'pixtally[jobqueue]'")
    need("munged", "slurmctld", "slurmd", "sbatch", package="munge slurmctld slurmd slurm-client")
    need_root()
    place = tmp_path_factory.mktemp("slurm")
    for name in ("munge", "state", *NODES):
        (place / name).mkdir(mode=0o755)
    (place / "munge/key").write_bytes(secrets.token_bytes(1024))
    (place / "munge/key").chmod(0o400)
    (place / "munge").chmod(0o711)
    host = socket.gethostname().split(".")[0]
    ports = {name: free_port() for name in ("ctld", *NODES)}
    (place / "slurm.conf").write_text(configuration(place, host, ports))
    started = Processes(place)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(place / "slurm.conf")
    try:
        own = [
            f"--{name}-file={place}/munge/{name.split('-')[0]}" for name in ("pid", "log", "seed")
        ]
        started.start(
            *("munged", "--foreground", "--force", f"--key-file={place}/munge/key"),
            *(f"--socket={place}/munge/socket", *own),
        )
        _wait_for(lambda: (place / "munge/socket").exists(), "munged")
        started.start("slurmctld", "-D", until="Running as primary controller")
        for node in NODES:
            started.start("slurmd", "-D", "-N", node, until="slurmd started")
        _wait_for(lambda: _sinfo().split() == ["n1", "idle", "n2", "idle"], "nodes")
        yield place
    finally:
        subprocess.run(["scancel", "--user", "root"], check=False, timeout=30)
        _wait_for(lambda: not _squeue(), "jobs to end")
        started.end()
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


def _sinfo():
    command = ["sinfo", "-h", "-N", "-o", "%N %T"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


def _squeue():
    command = ["squeue", "-h", "-o", "%i %T %N"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


def _wait_for(true, what, seconds=30):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, f"no {what}: {_sinfo()} {_squeue()}"
        time.sleep(0.1)


def block_of(place, **more):
    return {
        "class": "dask_jobqueue.SLURMCluster",
        "kwargs": {
            "cores": 1,
            "processes": 1,
            "memory": MEMORY,
            "walltime": "00:10:00",
            "queue": "all",
            "log_directory": str(place / "logs"),
            "local_directory": str(place),
            "scheduler_options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
        },
        **more,
    }


def test_pipeline_on_two_nodes(slurm, folder, expected):
    file = cluster_file(folder, block_of(folder, scale=2))
    with cluster(file) as client:
        client.wait_for_workers(2, timeout=60)
        nodes = client.run(os.getenv, "SLURMD_NODENAME")
        assert sorted(nodes.values()) == list(NODES)
        single = client.run(os.getenv, "OMP_NUM_THREADS")
        assert set(single.values()) == {"1"}, "dask-jobqueue does not ship configuration"
        assert _squeue().count("RUNNING") == 2
        pt.Pipeline.from_yaml(folder / "spec.yaml").run(progress=False)
    assert_same(folder / "out/hist.zarr", expected)
    _wait_for(lambda: not _squeue(), "end of the jobs")


def test_jobs_come_and_go_with_the_work(slurm, folder, expected):
    """Adaptive, by the command line; planned for all workers that may come."""
    file = cluster_file(folder, block_of(folder, adapt={"minimum": 0, "maximum": 2}))
    said = pixtally("cluster", "check", file, "--connect", "--folder", folder).stdout
    assert "0 to 2, as the work asks" in said
    assert "versions    the same on all workers" in said
    pixtally("run", folder / "spec.yaml", "--cluster", file)
    assert_same(folder / "out/hist.zarr", expected)
    _wait_for(lambda: not _squeue(), "end of the jobs")


def test_a_job_that_never_starts_is_said(slurm, folder):
    block = block_of(folder, scale=1, timeout=3)
    block["kwargs"]["job_extra_directives"] = ["--begin=now+1hour"]
    done = pixtally("run", folder / "spec.yaml", "--cluster", cluster_file(folder, block), code=1)
    assert "no worker came within 3 s" in done.stderr
    assert "squeue" in done.stderr


def test_what_sbatch_says_is_said(slurm, folder):
    block = block_of(folder, scale=1, timeout=600)
    block["kwargs"]["queue"] = "nowhere"
    done = pixtally("run", folder / "spec.yaml", "--cluster", cluster_file(folder, block), code=1)
    assert "invalid partition" in done.stderr
    assert done.stderr.count("\n") == 1
