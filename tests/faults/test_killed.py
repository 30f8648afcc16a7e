"""Workers, clients and schedulers that are killed: the result is that of an undisturbed run.

A few runs each in the suite; the full counts with ``pytest -m nightly tests/faults``.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import disturbed
import pytest
from distributed import Client, LocalCluster
from distributed.comm import CommClosedError
from disturbed import KINDS, Slow, recorded, result, run

from pixtally.errors import PixtallyError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small")]

IN_FLIGHT = 2
"""Units that two workers of one thread have begun at any moment."""


def mostly_histograms(runs):
    """Return so many runs of the histogram job, and a third as many of each of the others."""
    return [(kind, n) for kind in KINDS for n in range(runs if kind == KINDS[0] else runs // 3)]


def pids(client):
    """Return the process ids of the workers that are alive."""
    return list(client.run(os.getpid).values())


def starts(log):
    """Return how many units have started."""
    return log.stat().st_size if log.exists() else 0


def _unregister(workers):
    """Take the plugin away: from the scheduler, then from the workers, of which one may leave."""
    try:
        workers.unregister_worker_plugin("slow")
    except CommClosedError:
        workers.restart(timeout=60)


@pytest.fixture
def slow(workers, tmp_path):
    """Slow the workers down; return the cluster's client and the log of started units."""

    def begin(die=""):
        try:
            workers.wait_for_workers(2, timeout=15)
        except TimeoutError:  # a nanny gave its worker up, which can happen when it dies young
            workers.restart(timeout=60)
        workers.register_plugin(Slow(str(tmp_path / "log"), die))
        return tmp_path / "log"

    with workers.as_current():
        yield begin
        _unregister(workers)


def kill_during(job, victims, delay, log):
    """Kill processes some time after the first unit started, while a job runs."""

    def killer():
        deadline = time.monotonic() + 60
        while starts(log) == 0 and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(delay)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=killer)
    thread.start()
    job()
    thread.join()


def check_worker_killed(kind, number, slow, workers, folder, undisturbed, tmp_path):
    log = slow()
    chance = random.Random(number)
    victim = chance.choice(pids(workers))
    dest = tmp_path / "dest.zarr"
    kill_during(lambda: run(kind, folder, dest), [victim], chance.uniform(0, 0.35), log)
    assert result(dest) == undisturbed[kind]
    # What the dead worker ran is run again, and what lay in its queue may have been begun.
    assert starts(log) <= disturbed.UNITS[kind] + IN_FLIGHT


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_killed(kind, slow, workers, folder, undisturbed, tmp_path):
    check_worker_killed(kind, 0, slow, workers, folder, undisturbed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "number"), mostly_histograms(30))
def test_a_worker_killed_30_times(kind, number, slow, workers, folder, undisturbed, tmp_path):
    check_worker_killed(kind, number, slow, workers, folder, undisturbed, tmp_path)


def check_all_killed(kind, number, slow, workers, folder, undisturbed, tmp_path):
    log = slow()
    dest = tmp_path / "dest.zarr"
    delay = random.Random(number).uniform(0, 0.3)
    kill_during(lambda: run(kind, folder, dest), pids(workers), delay, log)
    assert result(dest) == undisturbed[kind]
    assert starts(log) <= disturbed.UNITS[kind] + IN_FLIGHT


def test_all_workers_killed_and_replaced(slow, workers, folder, undisturbed, tmp_path):
    check_all_killed("histogram", 0, slow, workers, folder, undisturbed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "number"), list(itertools.product(KINDS, range(5))))
def test_all_workers_killed_5_times(kind, number, slow, workers, folder, undisturbed, tmp_path):
    check_all_killed(kind, number, slow, workers, folder, undisturbed, tmp_path)


def check_dies_at(kind, moment, slow, folder, undisturbed, tmp_path):
    log = slow(moment)
    dest = tmp_path / "dest.zarr"
    run(kind, folder, dest)
    assert Path(f"{log}.turn").stat().st_size >= 4, "a worker did die there"
    assert starts(log) > disturbed.UNITS[kind], "a unit was begun again"
    assert result(dest) == undisturbed[kind]


@pytest.mark.parametrize(("kind", "moment"), [("append", "record"), ("append", "recorded")])
def test_a_unit_done_twice_is_counted_once(kind, moment, slow, folder, undisturbed, tmp_path):
    check_dies_at(kind, moment, slow, folder, undisturbed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("moment", ["shard", "record", "recorded"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_unit_done_twice_is_counted_once(kind, moment, slow, folder, undisturbed, tmp_path):
    check_dies_at(kind, moment, slow, folder, undisturbed, tmp_path)


def test_a_worker_over_its_memory(slow, folder, undisturbed, tmp_path):
    check_dies_at("histogram", "memory", slow, folder, undisturbed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_over_its_memory_in_every_job(kind, slow, folder, undisturbed, tmp_path):
    check_dies_at(kind, "memory", slow, folder, undisturbed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["histogram", "equalize"])
def test_workers_that_always_run_out_of_memory(kind, folder, undisturbed, tmp_path):
    import dask

    dest = tmp_path / "dest.zarr"
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        cluster = LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit="600MiB"
        )
        with cluster, Client(cluster) as client:
            client.register_plugin(Slow(str(tmp_path / "log"), "always"))
            with pytest.raises(PixtallyError, match=r"workers in turn died.*memory") as caught:
                run(kind, folder, dest)
            assert "\n" not in str(caught.value)
            assert not dest.exists() or kind == "append"
    run(kind, folder, dest)
    assert result(dest) == undisturbed[kind]


# ---------------------------------------------------------------- the client, the scheduler


def client_process(kind, folder, dest, outside):
    """Start a job in a process of its own, as far as its first unit."""
    program = [sys.executable, disturbed.__file__, kind, str(folder), str(dest), str(outside.file)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.002)


def check_client_killed(kind, number, outside, folder, undisturbed, tmp_path):
    log, dest = tmp_path / "log", tmp_path / "dest.zarr"
    with Client(scheduler_file=str(outside.file)) as client:
        client.wait_for_workers(2, timeout=30)
        client.register_plugin(Slow(str(log), seconds=0.02))
        process = client_process(kind, folder, dest, outside)
        wait_for(lambda: starts(log) > 0 or process.poll() is not None)
        time.sleep(random.Random(number).uniform(0, 0.5))
        process.kill()
        process.communicate()
        done = recorded(dest)
        run(kind, folder, dest)
        # Nothing on record is done again; what is repeated was in flight.
        repeated = starts(log) - disturbed.UNITS[kind]
        assert repeated <= IN_FLIGHT, f"{repeated} units repeated, {len(done)} were on record"
        client.unregister_worker_plugin("slow")
    assert result(dest) == undisturbed[kind]


@pytest.mark.parametrize("kind", ["histogram", "ingest"])
def test_the_client_killed_and_the_job_resumed(kind, outside, folder, undisturbed, tmp_path):
    check_client_killed(kind, 1, outside, folder, undisturbed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "number"), mostly_histograms(20))
def test_the_client_killed_20_times(kind, number, outside, folder, undisturbed, tmp_path):
    check_client_killed(kind, number, outside, folder, undisturbed, tmp_path)


def check_second_run(kind, outside, folder, undisturbed, tmp_path):
    log, dest = tmp_path / "log", tmp_path / "dest.zarr"
    with Client(scheduler_file=str(outside.file)) as client:
        client.wait_for_workers(2, timeout=30)
        client.register_plugin(Slow(str(log), seconds=0.05))
        process = client_process(kind, folder, dest, outside)
        wait_for(lambda: starts(log) > 0)
        with pytest.raises(PixtallyError, match=f"is being written by process {process.pid} on"):
            run(kind, folder, dest)
        errors = process.communicate()[1]
        assert process.returncode == 0, errors
        client.unregister_worker_plugin("slow")
    assert result(dest) == undisturbed[kind]
    assert starts(log) == disturbed.UNITS[kind]


def test_two_runs_on_one_store(outside, folder, undisturbed, tmp_path):
    check_second_run("histogram", outside, folder, undisturbed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_two_runs_of_every_job(kind, outside, folder, undisturbed, tmp_path):
    check_second_run(kind, outside, folder, undisturbed, tmp_path)


def check_scheduler_killed(kind, number, outside, folder, undisturbed, tmp_path):
    log, dest = tmp_path / "log", tmp_path / "dest.zarr"
    with Client(scheduler_file=str(outside.file)) as client:
        client.wait_for_workers(2, timeout=30)
        client.register_plugin(Slow(str(log), seconds=0.05))
        process = client_process(kind, folder, dest, outside)
        wait_for(lambda: starts(log) > 0)
        time.sleep(random.Random(number).uniform(0, 0.5))
        outside.kill(0)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "the scheduler at tcp://" in errors.strip().split("\n")[-1], errors
    outside.end()
    outside.start()
    with Client(scheduler_file=str(outside.file)) as client:
        client.wait_for_workers(2, timeout=30)
        client.register_plugin(Slow(str(log)))
        run(kind, folder, dest)
        client.unregister_worker_plugin("slow")
    assert starts(log) <= disturbed.UNITS[kind] + IN_FLIGHT
    assert result(dest) == undisturbed[kind]


def test_the_scheduler_killed_and_the_job_resumed(outside, folder, undisturbed, tmp_path):
    check_scheduler_killed("histogram", 0, outside, folder, undisturbed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "number"), list(itertools.product(KINDS, range(3))))
def test_the_scheduler_killed_3_times(kind, number, outside, folder, undisturbed, tmp_path):
    check_scheduler_killed(kind, number, outside, folder, undisturbed, tmp_path)
