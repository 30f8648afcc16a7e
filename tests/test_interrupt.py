"""Ctrl-C, as a terminal sends it: to every process of the job at once."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

import pixtally as pt
from pixtally.progress import Stage
from pixtally.zarr_io import create_array, open_array

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")

SLOW = """
import importlib.machinery, sys

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name != "pixtally.tally_job":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            import time
            from pixtally import plan
            plan.LEAST_COUNTERS = 1
            real = module.count_tile
            def slow(task, inputs=None):
                time.sleep(0.3)
                return real(task, inputs)
            module.count_tile = slow
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Slow())
"""
"""Makes a unit take a third of a second, in workers too."""


def start(arguments: list[str], folder: Path, slow: bool) -> subprocess.Popen[str]:
    paths = [str(folder / "slow")] if slow else []
    paths += [str(Path(pt.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    program = Path(sys.executable).with_name("pixtally")
    return subprocess.Popen(
        [str(program), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


@pytest.mark.slow
def test_ctrl_c_says_what_is_kept_and_how_to_go_on(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 64, 48)).astype("u1")
    create_array(
        tmp_path / "images.zarr", "images", shape=images.shape, dtype="u1",
        chunks=(20, 16, 16), shards=(40, 64, 48), dims=("image", "y", "x"),
    )  # fmt: skip
    open_array(tmp_path / "images.zarr", "images", "r+")[:] = images
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/sitecustomize.py").write_text(SLOW)
    spec = {
        "source": {"zarr": "images.zarr"},
        "steps": ["pixel_histogram", "median"],
        "output": {"store": "hist.zarr"},
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    job = start(["run", "spec.yaml", "--restart"], tmp_path, slow=True)
    units = tmp_path / "hist.zarr.partial/pixtally/units"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and len(list(units.glob("[!.]*.json"))) < 4:
        assert job.poll() is None, job.communicate()
        time.sleep(0.02)
    os.killpg(job.pid, signal.SIGINT)
    out, err = job.communicate(timeout=30)
    assert job.returncode == 130, (out, err)
    assert out == ""
    told = [line for line in err.strip().split("\n") if not line.startswith("dashboard")]
    assert len(told) == 1, err
    words, command = told[0].split("; go on with: ")
    done = len(list(units.glob("[!.]*.json")))
    assert words.startswith("pixtally: stopped while counting, ")
    assert words.endswith(" of 12 units are complete and kept")
    assert 1 <= int(words.split()[4]) <= done
    assert command == "pixtally run spec.yaml"
    again = start(shlex.split(command)[1:], tmp_path, slow=False)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    counts = pt.open_histogram(tmp_path / "hist.zarr").counts.values
    assert (counts.argmax(-1) < 256).all()
    assert counts.sum() == images.size
    np.testing.assert_array_equal(counts[5, 7], np.bincount(images[:, 5, 7], minlength=256))


def test_how_far_in_words():
    stage = Stage("counting")
    assert stage.how_far() == "counting, what was complete before is kept"
    stage.before = 4
    stage(3, 8)
    assert stage.how_far() == "counting, 7 of 12 units are complete and kept"


def test_rates_of_a_stage(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    stage = Stage("counting", images=1000, size=8 * 2**20, begin=100.0)
    assert stage.rate_text() == ""
    now[0] = 102.0
    stage(1, 4)
    stage.add({"decoding": 1.5, "counting": 0.5})
    assert stage.rate_text() == "125 images/s · 1.0 MiB/s · mostly decoding (75 %)"


@pytest.mark.parametrize(
    ("spent", "words"), [(3.14, "compiled kernels, once: 3.1 s"), (0.0, ""), (None, "")]
)
def test_compiling_is_said_once_it_was_done(capsys, spent, words):
    from pixtally.progress import preparing

    with preparing(True) as prepared:
        prepared.compiled = spent
    assert words in capsys.readouterr().err
    with preparing(False) as prepared:
        prepared.compiled = spent
    assert capsys.readouterr().err == ""


def test_only_real_compiling_is_timed():
    from numba import njit

    from pixtally.node import rehearse, take_compile_seconds

    @njit
    def twice(x):
        return 2 * x

    take_compile_seconds()
    rehearse(twice, 3)
    assert take_compile_seconds() > 0
    rehearse(twice, 4)
    assert take_compile_seconds() == 0
