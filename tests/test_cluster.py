"""Cluster files: read, refused in one line, planned, started; what workers are made to be."""

from __future__ import annotations

import importlib
import os
import stat
import sys
from pathlib import Path

import cloudpickle
import dask
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

import pixtally as pt
from pixtally import PixtallyError, node
from pixtally.cli import main
from pixtally.cluster import cluster, cluster_arguments, planned_resources, read_cluster
from pixtally.cluster_check import check_cluster
from pixtally.cluster_file import CLASSES
from pixtally.cluster_plan import promised
from pixtally.rehearsal import rehearsed
from pixtally.sizes import GiB

# Workers cannot import the tests: functions of this file travel to them as code.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "cluster").glob("*.yaml"))


def written(folder, block, name="cluster.yaml", **config):
    path = folder / name
    path.write_text(yaml.safe_dump({"pixtally": {"cluster": block}, **config}))
    return path


LOCAL = {
    "class": "distributed.LocalCluster",
    "kwargs": {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"},
}


def local(**kwargs):
    return LOCAL | {"kwargs": LOCAL["kwargs"] | kwargs}


BAD = {
    "no block": ({"distributed": {}}, "has no block"),
    "beside the block": ({"pixtally": {"cluster": {}, "clutser": 1}}, "did you mean cluster?"),
    "two ways": (
        {"class": "distributed.LocalCluster", "address": "a"},
        "exactly one .*found class and address",
    ),
    "no way": ({"timeout": 3}, "exactly one .*found none"),
    "code": ({"class": "os.system"}, "it is not of distributed.LocalCluster, "),
    "other class": ({"class": "distributed.Client"}, "class: "),
    "class": ({"class": "dask_jobqueue.SlurmCluster"}, "did you mean dask_jobqueue.SLURMCluster?"),
    "field": ({"clas": "x"}, "no field 'clas'; did you mean class?"),
    "strange field": ({"qqqq": 1}, "known here: class, kwargs"),
    "adapt field": (LOCAL | {"adapt": {"minimun": 1}}, "no field 'minimun'; did you mean minimum?"),
    "adapt": (LOCAL | {"adapt": {"minimum": 3, "maximum": 2}}, "minimum 3 is more than maximum 2"),
    "adapt and scale": (LOCAL | {"adapt": {"maximum": 2}, "scale": 1}, "one of scale"),
    "scale of others": ({"address": "tcp://a:1", "scale": 2}, "scale goes with class"),
    "fixed hosts": (
        {"class": "distributed.SSHCluster", "adapt": {"maximum": 2}},
        "fixed list of hosts; leave out adapt",
    ),
    "certificates": (
        {"address": "tls://a:1", "security": {"tls_ca_file": "ca.pem", "tls_client_cert": "c.pem"}},
        "security.tls_ca_file: there is no file .*ca.pem",
    ),
    "certificate names": (
        {"address": "tls://a:1", "security": {"tls_ca": "ca.pem"}},
        "no field 'tls_ca'; did you mean tls_ca_file?",
    ),
    "their own": (
        {
            "class": "dask_gateway.GatewayCluster",
            "security": {"tls_ca_file": "a", "tls_client_cert": "b"},
        },
        "makes its own certificates",
    ),
    "timeout": (LOCAL | {"timeout": -1}, "timeout: .*greater than 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line(tmp_path, name):
    content, words = BAD[name]
    path = tmp_path / "cluster.yaml"
    whole = {"pixtally", "distributed"} & set(content)
    path.write_text(yaml.safe_dump(content if whole else {"pixtally": {"cluster": content}}))
    with pytest.raises(PixtallyError, match=words) as caught:
        read_cluster(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("block", "config", "words"),
    [
        (local(n_worker=2), {}, "no argument 'n_worker'; did you mean n_workers?"),
        (
            LOCAL,
            {"distributed": {"worker": {"memory": {"traget": 0.7}}}},
            "no setting distributed.worker.memory.traget; did you mean distributed.worker.memory",
        ),
        (local(memory_limit="much"), {}, "kwargs of distributed.LocalCluster: .*much"),
        (
            {"class": "distributed.SSHCluster", "kwargs": {"hosts": ["only-one"]}},
            {},
            "name at least one more",
        ),
    ],
)
def test_check_names_the_nearest(tmp_path, block, config, words):
    if "SSH" in block["class"]:
        pytest.importorskip("asyncssh", reason="pixtally[ssh] is not installed")
    with pytest.raises(PixtallyError, match=words) as caught:
        check_cluster(written(tmp_path, block, **config))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_files_that_ship_are_sound(path):
    block, _ = read_cluster(path)
    if block.class_ is not None:
        pytest.importorskip(CLASSES[block.class_].package, reason=f"{path.name} needs its extra")
    result = CliRunner().invoke(main, ["cluster", "check", str(path)])
    assert result.exit_code == 0, result.stderr
    if block.class_ is not None:
        assert f"starts   {block.class_}" in result.stdout
        assert "GiB each" in result.stdout


def test_what_files_promise():
    found = {p.stem: promised(b) for p in FILES if (b := read_cluster(p)[0]).class_}
    assert {name: (r.workers, r.threads) for name, r in found.items()} == {
        "gateway": (32, 1),
        "kubernetes": (4, 1),
        "local": (2, 1),
        "slurm": (64, 1),
        "ssh": (8, 1),
    }
    assert {r.memory for name, r in found.items() if name != "local"} == {4 * GiB}


def test_memory_and_threads_as_kubernetes_writes_them(tmp_path):
    block = {
        "class": "dask_kubernetes.operator.KubeCluster",
        "kwargs": {
            "n_workers": 3,
            "resources": {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"memory": "3Gi"}},
            "worker_command": ["dask-worker", "--nthreads=4"],
        },
    }
    resources = planned_resources(written(tmp_path, block))
    assert (resources.workers, resources.threads, resources.memory) == (3, 4, 3 * GiB)


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, k in CLASSES.items() if k.extra])
def test_the_extra_is_named(tmp_path, monkeypatch, name, kind):
    real = importlib.import_module

    def without(module, *args):
        if module.split(".")[0] == kind.package:
            raise ImportError(f"No module named {module!r}")
        return real(module, *args)

    monkeypatch.setattr(importlib, "import_module", without)
    with (
        pytest.raises(PixtallyError, match=rf"pip install 'pixtally\[{kind.extra}\]'"),
        cluster(written(tmp_path, {"class": name, "kwargs": {"hosts": ["a", "b"]}})),
    ):
        pass


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"scheduler_file": "/nonexistent/scheduler.json"}, "no scheduler answers"),
        ({"address": "tcp://127.0.0.1:1", "timeout": 1}, "no scheduler answers at tcp://127.0.0.1"),
        ({"address": "nonsense://x", "timeout": 1}, "no scheduler answers at nonsense"),
        (local(worker_class="nobody.knows"), "did not start"),
    ],
)
def test_clusters_that_do_not_start(tmp_path, block, words):
    path = written(tmp_path, block)
    with pytest.raises(PixtallyError, match=words) as caught, cluster(path):
        pass
    assert "\n" not in str(caught.value)
    if "address" in block:
        with pytest.raises(PixtallyError, match=words):
            planned_resources(path)
    assert dask.config.get("scheduler", None) is None, "what is computed next would wait for it"


def test_jobs_of_a_queue_begin_with_our_environment():
    pytest.importorskip("dask_jobqueue", reason="pixtally[jobqueue] is not installed")
    block = read_cluster(ROOT / "cluster/slurm.yaml")[0]
    lines = cluster_arguments(block)["job_script_prologue"]
    assert "export OMP_NUM_THREADS=1" in lines
    from dask_jobqueue.slurm import SLURMJob

    kwargs = {k: v for k, v in block.kwargs.items() if k != "scheduler_options"}
    job = SLURMJob("tcp://127.0.0.1:1", "w", **(kwargs | {"job_script_prologue": lines}))
    assert "export OMP_NUM_THREADS=1" in job.job_script()


def _kernel_misses():
    from pixtally.kernels import counts
    from pixtally.kernels.counts import count_block  # noqa: F401

    kernels = [k for k in vars(counts).values() if hasattr(k, "stats")]
    return {
        "threads": node.look_around("/nonexistent", "")["threads"],
        "environment": os.environ["OMP_NUM_THREADS"],
        "misses": sum(sum(k.stats.cache_misses.values()) for k in kernels),
        "hits": sum(sum(k.stats.cache_hits.values()) for k in kernels),
    }


@pytest.mark.slow
def test_workers_share_one_compilation_and_use_one_thread(tmp_path, monkeypatch):
    """Two workers start together with an empty cache: each kernel is compiled by one of them."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    images = np.random.default_rng(0).integers(0, 256, (400, 64, 64)).astype("u1")
    with cluster(
        written(tmp_path, LOCAL, distributed={"worker": {"memory": {"pause": 0.93}}})
    ) as c:
        assert len(c.scheduler_info(n_workers=-1)["workers"]) == 2
        task = _small_task(images)
        from pixtally.tiles import count_tile

        with rehearsed(count_tile, task):
            first = c.run(_kernel_misses)
            c.cluster.scale(3)
            c.wait_for_workers(3, timeout=60)
            late = c.run(_kernel_misses)
            pt.write_histogram(images, tmp_path / "hist.zarr")
        after = c.run(_kernel_misses)
    assert {w["threads"] for w in after.values()} == {1}
    assert {w["environment"] for w in after.values()} == {"1"}
    compiled = sorted(w["misses"] for w in first.values())
    assert compiled[0] == 0
    assert compiled[1] > 0
    (new,) = set(late) - set(first)
    assert late[new]["hits"] > 0, "a worker that came late was prepared before any task"
    assert sum(w["misses"] for w in after.values()) == compiled[1]


def _small_task(images):
    from pixtally.histogram import prepare
    from pixtally.tiles import miniature

    tally = prepare(images, 256, (0, 256))
    return miniature(tally.task(next(tally.plan.tile_slices()), 0)[0])


@pytest.mark.slow
def test_local_and_existing_cluster(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype("u1")
    settings = {"worker": {"memory": {"pause": 0.93}}}
    with cluster(written(tmp_path, local(memory_limit="1GiB"), distributed=settings)) as client:
        assert dask.config.get("distributed.worker.memory.pause") == 0.93
        there = written(tmp_path, {"address": client.scheduler.address}, "existing.yaml")
        resources = planned_resources(there)
        assert (resources.workers, resources.threads, resources.memory) == (2, 1, GiB)
        listening = _listening(client)
        assert listening
        assert not [a for a in listening if not a.startswith(("127.", "::1"))], listening
        with cluster(there):
            hist = pt.write_histogram(images, tmp_path / "hist.zarr")
        checked = check_cluster(there, connect=True, folder=tmp_path)
    assert int(hist.counts.sum()) == images.size
    assert dask.config.get("distributed.worker.memory.pause") != 0.93
    assert not checked.problems
    assert "all workers read and write" in checked.text()
    assert not [p for p in tmp_path.iterdir() if "check" in p.name]


def _listening(client):
    """Return the addresses at which the scheduler and the workers of a local cluster listen."""
    import psutil

    me = psutil.Process()
    found = []
    for process in (me, *me.children(recursive=True)):
        found += [c.laddr.ip for c in process.net_connections("tcp") if c.status == "LISTEN"]
    return found


@pytest.mark.slow
def test_adaptive_workers_come_with_the_work(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype("u1")
    block = local(n_workers=0) | {"adapt": {"minimum": 0, "maximum": 2}}
    with cluster(written(tmp_path, block)) as client:
        assert not client.scheduler_info(n_workers=-1)["workers"]
        from pixtally.available import current_resources

        assert current_resources().workers == 2, "planned for all that may come"
        hist = pt.write_histogram(images, tmp_path / "hist.zarr")
        assert client.run(_kernel_misses)
    assert int(hist.counts.sum()) == images.size


class _Leaving:
    """A client whose registrations fail while workers leave."""

    def __init__(self, failures):
        self.failures = failures
        self.calls = 0

    def register_plugin(self, plugin):
        self.calls += 1
        if self.calls <= self.failures:
            raise OSError("Stream is closed")


def test_registration_while_workers_leave(monkeypatch):
    from pixtally import workers

    monkeypatch.setattr(workers.time, "sleep", lambda seconds: None)
    leaving = _Leaving(2)
    workers.register(leaving, workers.WorkerSetup())
    assert leaving.calls == 3
    with pytest.raises(OSError, match="closed"):
        workers.register(_Leaving(1000), workers.WorkerSetup())


def test_event_loops_log_no_tracebacks(capsys):
    import logging

    from pixtally.cli_common import Settings, one_line_logs

    one_line_logs()
    log = logging.getLogger("distributed.test")
    for debug, shown in ((False, None), (True, ValueError)):
        Settings.debug = debug
        try:
            raise ValueError("inside")
        except ValueError as error:
            trace = (type(error), error, error.__traceback__)
            record = log.makeRecord(log.name, 40, __file__, 1, "lost", (), trace)
        assert (record.exc_info and record.exc_info[0]) is shown
    Settings.debug = False


@pytest.mark.slow
def test_a_cluster_without_workers_is_said(tmp_path):
    block = local(n_workers=0) | {"timeout": 1}
    with (
        pytest.raises(PixtallyError, match="no worker came within 1 s") as caught,
        cluster(written(tmp_path, block)),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_where_compiled_kernels_lie(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(node, "is_shared", lambda path: False)
    assert node.cache_folder() is None, "numba's own choice: beside the package"
    monkeypatch.setattr(node, "is_shared", lambda path: True)
    folder = node.cache_folder()
    assert folder is not None
    assert folder.is_relative_to(tmp_path)
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/somewhere")
    assert node.cache_folder() is None, "the user's choice"


def test_a_folder_of_others_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mine = node.private_folder("numba").parent
    mine.chmod(0o777)
    assert not node.private_folder("numba").is_relative_to(mine)
    mine.chmod(0o700)
    (mine / "numba").rmdir()
    mine.rmdir()
    (tmp_path / "elsewhere").mkdir()
    mine.symlink_to(tmp_path / "elsewhere")
    assert not node.private_folder("numba").is_relative_to(mine)


def test_shared_file_systems(tmp_path, monkeypatch):
    table = "1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / /home rw - nfs4 server:/home rw\n"
    real = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda p, *a: table if "mountinfo" in str(p) else real(p, *a)
    )
    assert node.is_shared(Path("/home/me/.cache"))
    assert not node.is_shared(Path("/homely"))
