"""The command line: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

import pixtally as pt
from pixtally.cli import main
from pixtally.demo import write_demo


@pytest.fixture
def call(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    # A cluster takes seconds to start; what runs on one is tested in test_pipeline.
    monkeypatch.setattr("pixtally.cli._cluster", lambda path, default: _NoCluster())

    def run(*arguments, code=0):
        result = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="pixtally")
        assert result.exit_code == code, (result.output, result.stderr, result.exception)
        assert "Traceback" not in result.output
        return result

    return run


class _NoCluster:
    dashboard_link = "none"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None


@pytest.fixture
def frames(tmp_path):
    return write_demo(tmp_path / "frames", 12, (16, 20))


@pytest.fixture
def spec(tmp_path, frames):
    content = {
        "source": {"images": "frames/*.png"},
        "steps": ["pixel_histogram", "median"],
        "output": {"store": "out/hist.zarr"},
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(content))
    return "spec.yaml"


def test_whole_road(call, spec):
    assert "2 steps" in call("check", spec).stdout
    plan = json.loads(call("plan", spec, "--json").stdout)
    assert plan["shape"] == [12, 16, 20]
    assert "peak memory" in call("plan", spec).stdout
    result = call("run", spec)
    assert "12 images counted" in result.stdout
    assert "pixtally info out/hist.zarr" in result.stdout
    assert "dashboard" in result.stderr
    info = json.loads(call("info", "out/hist.zarr", "--json").stdout)
    assert info["kind"] == "histogram"
    assert info["n_images"] == 12
    assert info["pixels"] == {"y": 16, "x": 20}
    assert "256 integer bins" in call("info", "out/hist.zarr").stdout
    assert "chunks" in call("info", "out/hist-images.zarr").stdout
    assert "all as they should be" in call("verify", "out/hist.zarr").stdout
    assert "all as they should be" in call("verify", "out/hist-images.zarr").stdout


def test_ingest_and_append(call, tmp_path, frames):
    assert "12 images" in call("ingest", "frames", "frames.zarr").stdout
    assert "was complete already" in call("ingest", "frames", "frames.zarr").stdout
    pt.write_histogram(pt.open_images("frames.zarr"), "hist.zarr")
    assert "0 images added, 12 in all" in call("append", "hist.zarr", "frames.zarr").stdout
    write_demo(tmp_path / "more/frames", 3, (16, 20), seed=5)
    for number, path in enumerate(sorted((tmp_path / "more/frames").glob("*.png"))):
        path.rename(path.with_name(f"new-{number}.png"))
    assert "3 images added, 15 in all" in call("append", "hist.zarr", "more/frames").stdout
    assert "0 images added, 15 in all" in call("append", "hist.zarr", "more/frames").stdout
    assert not list(tmp_path.glob("*appending*"))


def test_bad_images_stop_or_are_left_out(call, frames):
    (frames / "frame-5.png").write_bytes(b"not a picture")
    result = call("ingest", "frames", "a.zarr", code=1)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "frame-5.png" in result.stderr
    result = call("ingest", "frames", "a.zarr", "--on-error", "skip", code=3)
    assert "11 images" in result.stdout
    assert "left out 1 images" in result.stderr
    assert "frame-5.png" in call("info", "a.zarr").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nothing.zarr"], "nothing.zarr does not exist"),
        (["verify", "nothing.zarr"], "nothing.zarr does not exist"),
        (["check", "nothing.yaml"], "cannot be read"),
        (["append", "nothing.zarr", "a.png"], "does not exist"),
        (["run", "spec.yaml", "--set", "bins"], "write name=value"),
        (["run", "spec.yaml", "--set", "steps.pixel_histogram.bins=-3"], "whole number ≥ 1"),
        (["run", "spec.yaml", "--set", "source.images=nowhere/*.png"], "nowhere"),
        (["ingest", "spec.yaml", "a.zarr"], "spec.yaml"),
    ],
)
@pytest.mark.usefixtures("spec")
def test_errors_are_one_line(call, arguments, words):
    result = call(*arguments, code=1)
    assert words in result.stderr
    assert result.stderr.strip().split("\n")[-1].startswith("pixtally: ")
    assert result.stdout == ""


def test_wrong_usage_is_2(call):
    call("ingest", "only-one", code=2)
    call("no-such-command", code=2)


def test_damage_is_named(call, spec, tmp_path):
    call("run", spec)
    shard = next(p for p in (tmp_path / "out/hist.zarr/counts/c").rglob("*") if p.is_file())
    shard.write_bytes(shard.read_bytes()[:-3])
    assert "counts/c" in call("verify", "out/hist.zarr", code=1).stderr


def test_help_version_schema(call):
    assert pt.__version__ in call("--version").stdout
    text = call("--help").stdout
    for command in ("ingest", "plan", "run", "info", "Completion"):
        assert command in text
    assert "pixtally ingest camera.mp4" in call("ingest", "--help").stdout
    assert "pixel_histogram" in call("schema").stdout


def test_unfinished_store_says_how_far(call, tmp_path):
    from pixtally.jobs import JobFolder

    with JobFolder(tmp_path / "hist.zarr", {"job": "pixel_histogram", "shape": [3, 2, 2]}) as job:
        job.record("tile-0", {})
    assert "1 of ? units done" in call("info", "hist.zarr").stdout


def test_a_plan_that_does_not_fit_is_refused(call, tmp_path):
    np.save(tmp_path / "big.npy", np.zeros((2, 400, 300)))
    content = {
        "source": {"images": "big.npy"},
        "steps": [{"pixel_histogram": {"bins": 4_000_000, "range": [0, 1]}}],
        "output": {"store": "hist.zarr"},
    }
    (tmp_path / "big.yaml").write_text(yaml.safe_dump(content))
    small = {
        "pixtally": {
            "cluster": {
                "class": "distributed.LocalCluster",
                "kwargs": {"n_workers": 1, "threads_per_worker": 4, "memory_limit": "500MiB"},
            }
        }
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small))
    result = call("plan", "big.yaml", "--cluster", "small.yaml", code=1)
    assert "needs" in result.stderr
    assert "500.0 MiB" in result.stderr


def python(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_help_imports_nothing_heavy():
    code = "import sys, pixtally.cli; print([m for m in sys.modules if '.' not in m])"
    loaded = python(code)
    for heavy in ("numpy", "xarray", "dask", "numba", "zarr", "matplotlib", "distributed"):
        assert f"'{heavy}'" not in loaded


@pytest.mark.parametrize(
    "code",
    [
        "import pixtally, xarray as xr; print(hasattr(xr.Dataset, 'tally'))",
        "import xarray as xr, pixtally; print(hasattr(xr.Dataset, 'tally'))",
        "import pixtally as pt, pixtally.pipeline; print(callable(pt.ingest))",
        "import pixtally as pt; print(all(getattr(pt, n) is not None for n in pt.__all__))",
        "import pixtally as pt; print(not hasattr(pt, 'nonsense') and 'ingest' in dir(pt))",
    ],
)
def test_names_are_there_when_they_are_used(code):
    assert python(code) == "True"


@pytest.mark.parametrize(
    "module", ["schema", "describe", "spec", "histogram", "accessor", "cluster"]
)
def test_any_module_may_be_imported_first(module):
    assert python(f"import pixtally.{module}; print(1)") == "1"


def test_commands_in_their_own_process(tmp_path, frames):
    """As users call them: nothing is imported before."""
    command = [sys.executable, "-W", "error", "-m", "pixtally.cli"]
    for arguments in (["ingest", frames, tmp_path / "a.zarr"], ["info", tmp_path / "a.zarr"]):
        subprocess.run([*command, *arguments], check=True, capture_output=True)


def names_of(group, before=""):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from names_of(command, f"{before}{name} ")
        else:
            yield before + name


@pytest.mark.parametrize("name", sorted(names_of(main)))
def test_examples_in_help_stand_on_their_own_lines(call, name):
    lines = call(*name.split(), "--help").stdout.splitlines()
    assert not any("\\b" in line for line in lines)
    if name != "schema":
        assert any(line.startswith(f"    pixtally {name} ") for line in lines)
