"""How far a job is, from the records alone: every state, and what to type next."""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import pixtally as pt
from pixtally import PixtallyError, journal
from pixtally.cli import main
from pixtally.jobs import JobFolder
from pixtally.journal import Journal, alive, note_stage
from pixtally.status import job_status, journal_path
from pixtally.status_text import span, status_text

SPEC = {
    "source": {"demo": {"images": 20, "shape": [16, 16]}},
    "steps": ["pixel_histogram", "median"],
    "output": {"store": "out/hist.zarr"},
}


def begun(folder, done=3, of=10):
    """A histogram job with some of its units done, its process still in it."""
    job = JobFolder(folder / "hist.zarr", {"job": "pixel_histogram", "shape": [1000, 8, 8]})
    (job.path / "pixtally/plan.json").write_text(json.dumps({"tasks": of}))
    for unit in range(done):
        job.record(f"tile-{unit}", {"files": {}})
    return job


def a_dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def owned_by(job, **owner):
    """Let another process hold the lock of a job."""
    path = job.path / "pixtally/lock.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | owner))


def test_running(tmp_path, monkeypatch):
    # This process may be younger than the run that it plays.
    monkeypatch.setattr(journal, "_process_lives", lambda pid, since: pid == os.getpid())
    job = begun(tmp_path)
    owned_by(job, since=time.time() - 6.0)
    found = job_status(tmp_path / "hist.zarr")
    assert found["state"] == "running"
    assert found["alive"] is True
    assert found["pid"] == os.getpid()
    assert (found["units_done"], found["units"]) == (3, 10)
    assert (found["images_done"], found["images"]) == (300, 1000)
    assert 0.4 < found["units_per_second"] < 0.6
    assert found["seconds_left"] == pytest.approx(7 / found["units_per_second"])
    text = status_text(found)
    assert "counting, 3 of 10 units (30%), about 300 of 1,000 images" in text
    assert "images/s" in text
    assert "alive" in text
    assert json.loads(json.dumps(found)) == found
    job.release()


def test_stopped_and_what_to_type(tmp_path):
    job = begun(tmp_path)
    owned_by(job, pid=a_dead_process())
    found = job_status(tmp_path / "hist.zarr")
    assert found["state"] == "stopped"
    assert found["resume"] == "run the same command (or Python call) again"
    job.release()
    assert job_status(tmp_path / "hist.zarr")["state"] == "stopped", "no lock: nobody works"
    result = CliRunner().invoke(main, ["status", str(tmp_path / "hist.zarr")])
    assert result.exit_code == 1
    assert "resume   run the same command" in result.stdout


def test_a_process_that_got_the_same_number_is_another(tmp_path):
    owner = {"host": socket.gethostname(), "pid": os.getpid()}
    assert alive(owner | {"since": time.time()}) is True
    assert alive(owner | {"since": 1.0}) is False, "this process began long after the run"


def test_on_another_machine_the_pulse_tells(tmp_path, monkeypatch):
    job = begun(tmp_path)
    owned_by(job, host="elsewhere", pid=7)
    assert job_status(tmp_path / "hist.zarr")["alive"] is None
    assert "another machine" in status_text(job_status(tmp_path / "hist.zarr"))
    path = journal_path(tmp_path / "hist.zarr")
    facts = {"state": "running", "host": "elsewhere", "pid": 7, "since": time.time() - 60}
    path.write_text(json.dumps(facts | {"command": "pixtally run a.yaml", "folder": "/there"}))
    assert job_status(tmp_path / "hist.zarr")["state"] == "running"
    os.utime(path, (time.time() - 100, time.time() - 100))
    found = job_status(tmp_path / "hist.zarr")
    assert found["state"] == "stopped"
    assert found["resume"] == "cd /there && pixtally run a.yaml"
    job.release()


def test_complete(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pt.Pipeline(SPEC, tmp_path).run()
    found = job_status(tmp_path / "out/hist.zarr")
    assert found["state"] == "complete"
    assert found["images"] == 20
    text = status_text(found)
    assert "20 images; nothing is left to do" in text
    assert "ended" in text
    assert job_status(tmp_path / "out/hist-images.zarr")["state"] == "complete"
    kept = json.loads((tmp_path / "out/hist-run.json").read_text())
    assert (kept["state"], kept["n_images"], kept["left_out"]) == ("complete", 20, 0)
    result = CliRunner().invoke(main, ["status", "out/hist.zarr", "--watch", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["state"] == "complete"


def test_while_a_pipeline_reads_its_images(tmp_path, monkeypatch):
    """The store that grows is another one than the store that was asked for."""
    seen = {}

    def look(*args, **kwargs):
        seen.update(job_status(tmp_path / "out/hist.zarr"))
        return original(*args, **kwargs)

    module = importlib.import_module("pixtally.ingest")
    original = module.run_units
    monkeypatch.setattr(module, "run_units", look)
    pt.Pipeline(SPEC, tmp_path).run()
    assert seen["state"] == "running"
    assert seen["stage"] == "reading images"
    assert seen["making"].endswith("hist-images.zarr")
    assert seen["units"] == 1
    assert seen["alive"] is True


def test_failed_says_why(tmp_path):
    spec = SPEC | {"source": {"images": "nothing/*.png"}}
    with pytest.raises(PixtallyError):
        pt.Pipeline(spec, tmp_path).run()
    found = job_status(tmp_path / "out/hist.zarr")
    assert found["state"] == "failed"
    assert "nothing" in found["error"]
    assert "nothing" in status_text(found)
    assert "resume" in found


def test_a_second_run_leaves_the_journal_of_the_first_alone(tmp_path):
    path = tmp_path / "hist-run.json"
    with Journal(path):
        note_stage("counting", tmp_path / "hist.zarr")
        before = path.read_text()
        with (
            pytest.raises(PixtallyError, match=f"written by process {os.getpid()} on"),
            Journal(path),
        ):
            pass
        assert path.read_text() == before
    assert json.loads(path.read_text())["state"] == "complete"
    with Journal(path, {"key": "k"}):
        assert json.loads(path.read_text())["key"] == "k"


def test_the_journal_has_a_pulse(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "BEAT", 0.05)
    path = tmp_path / "hist-run.json"
    with Journal(path):
        os.utime(path, (1, 1))
        ends = time.monotonic() + 10
        while journal.age(path) > 5:
            assert time.monotonic() < ends
            time.sleep(0.02)


def test_appending_is_seen_beside_the_old_version(tmp_path):
    images = np.zeros((4, 8, 8), "uint8")
    pt.write_histogram(images, tmp_path / "hist.zarr")
    with JobFolder(tmp_path / "hist.zarr", {"job": "pixel_histogram", "a": 1}, replace=True) as job:
        job.record("tile-0", {"files": {}})
        assert job_status(tmp_path / "hist.zarr")["state"] == "running"
    assert job_status(tmp_path / "hist.zarr")["state"] == "stopped"


def test_nothing_there_is_one_line(tmp_path):
    (tmp_path / "folder").mkdir()
    for name, words in (("nowhere.zarr", "does not exist"), ("folder", "no records of a job")):
        result = CliRunner().invoke(main, ["status", str(tmp_path / name)])
        assert result.exit_code == 1
        assert words in result.stderr
        assert result.stderr.count("\n") == 1


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["state", "tasks", "shape", "pid", "host", "since", "job", "store", "key", "error"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)


@given(anything, anything, anything, anything)
@settings(max_examples=60)
def test_any_records_give_a_status_or_one_line(tmp_path_factory, job, lock, plan, run):
    folder = tmp_path_factory.mktemp("any", numbered=True)
    records = folder / "hist.zarr.partial/pixtally"
    (records / "units").mkdir(parents=True)
    (records / "units/tile-0.json").write_text("{}")
    for name, content in {"job": job, "lock": lock, "plan": plan}.items():
        (records / f"{name}.json").write_text(json.dumps(content))
    (folder / "hist-run.json").write_text(json.dumps(run))
    try:
        found = job_status(folder / "hist.zarr")
    except PixtallyError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        status_text(found)
        json.dumps(found)


def test_spans_of_time():
    assert [span(s) for s in (0, 59, 60, 61, 3600, 90000)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 min 1 s",
        "1 h 0 min",
        "1 d 1 h",
    ]
