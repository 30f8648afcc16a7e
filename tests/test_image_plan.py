"""Jobs that write images: planned before they start, refused when too large, never above plan."""

from __future__ import annotations

import json
import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import pixtally as pt
from pixtally.cli import main
from pixtally.errors import PixtallyError
from pixtally.image_plan import plan_images, regions
from pixtally.pipeline import Pipeline
from pixtally.plan import USABLE, Resources
from pixtally.sizes import GiB, MiB
from pixtally.write_images import plan_writing
from pixtally.zarr_io import create_array, open_array

ONE = Resources(workers=1, threads=1, memory=8 * GiB)


class Rows:
    """A stored array that no one reads."""

    def __init__(self, shape, dtype):
        self.shape, self.dtype, self.ndim = shape, np.dtype(dtype), len(shape)

    def __getitem__(self, index):
        raise AssertionError("planning reads nothing")


def lazy_images(shape, dtype="u1", chunks=(64, 512, 512)):
    data = da.from_array(Rows(shape, dtype), chunks=chunks, inline_array=True, meta=np.empty(0))
    return xr.DataArray(data.astype(dtype), dims=("image", "y", "x"))


def stored_images(path, dtype, shape, chunks):
    create_array(
        path, "images", shape=shape, dtype=dtype, chunks=chunks, dims=("image", "y", "x"),
    )  # fmt: skip
    array = open_array(path, "images", "r+")
    rng = np.random.default_rng(0)
    for first in range(0, shape[0], chunks[0]):
        block = rng.integers(0, 256, (min(chunks[0], shape[0] - first), *shape[1:]))
        array[first : first + chunks[0]] = block.astype(dtype)
    return path


MEASURE = r"""
import json, os, re, sys
import pixtally as pt
from pixtally.write_images import plan_writing
path, dest, work, threads, chunks = sys.argv[1:]
os.cpu_count = lambda: int(threads)
images = pt.open_images(path, chunks=json.loads(chunks))
WORK = {
    "copy": lambda i: i,
    "interp": lambda i: pt.equalize(i),
    "opencv": lambda i: pt.equalize(i, "opencv"),
    "collection": lambda i: pt.equalize(i, "cdf", scope="collection"),
    "masked": lambda i: pt.equalize(i, "cdf", mask=i > 100, dtype="float32"),
    "rank": lambda i: pt.equalize(i, "rank"),
    "clahe": lambda i: pt.clahe(i),
    "fill": lambda i: pt.fill(i, where=i < 5, method="nearest"),
    "translate": lambda i: pt.translate(i, (0.5, 0.25)),
    "colours": lambda i: pt.apply_colormap(i, "jet", vmin=0, vmax=255),
}
changed = WORK[work](images)
plan, _ = plan_writing(changed)
pt.write_images(changed, dest)
# ru_maxrss would be inherited from the process that started this one.
peak = int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) * 1024
print(json.dumps({"planned": plan.peak_worker_bytes, "measured": peak, **plan.memory_terms}))
"""

CASES = {
    # name: dtype, work, threads, Dask chunks
    "copied": ("u1", "copy", 2, None),
    "interp of bytes to float64": ("u1", "interp", 1, None),
    "opencv on parts of frames": ("u1", "opencv", 2, (64, 200, 300)),
    "one distribution for all": ("u1", "collection", 1, (16, 512, 512)),
    "masked": ("f4", "masked", 1, None),
    "rank of whole frames from parts": ("f4", "rank", 1, (16, 200, 512)),
    "clahe": ("u1", "clahe", 2, None),
    "fill": ("u1", "fill", 1, None),
    "translate": ("f4", "translate", 1, None),
    "colours": ("u1", "colours", 1, None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_measured_is_not_above_planned(tmp_path, name):
    dtype, work, threads, chunks = CASES[name]
    path = stored_images(tmp_path / "images.zarr", dtype, (200, 512, 512), (16, 128, 128))
    arguments = [path, tmp_path / "made.zarr", work, str(threads), json.dumps(chunks)]
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["measured"] <= found["planned"], found
    assert found["measured"] > found["planned"] / 6, "a plan that is far too high refuses jobs"


def test_pipeline_of_images_is_planned(tmp_path):
    stored_images(tmp_path / "images.zarr", "u1", (40, 64, 64), (16, 64, 64))
    spec = {
        "source": {"zarr": "images.zarr"},
        "steps": [{"equalize": {"method": "opencv"}}],
        "output": {"store": "even.zarr"},
    }
    plan = Pipeline(spec, tmp_path).plan(ONE)
    # Counting and mapping happen together where chunks hold whole frames: one pass.
    assert (plan.bytes_read, plan.bytes_written) == (40 * 64 * 64, 40 * 64 * 64)
    assert plan.tasks == 1
    assert "peak memory" in plan.text(ONE)
    assert json.loads(json.dumps(plan.to_dict()))["peak_worker_bytes"] == plan.peak_worker_bytes


def test_commands_say_their_plan(tmp_path):
    stored_images(tmp_path / "images.zarr", "u1", (40, 64, 64), (16, 64, 64))
    arguments = ["equalize", str(tmp_path / "images.zarr"), str(tmp_path / "a.zarr"), "--dry-run"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "1 shards of" in result.output
    assert "peak memory" in result.output
    assert not (tmp_path / "a.zarr").exists()


def test_two_passes_read_twice():
    images = pt.equalize(lazy_images((100, 1024, 1024)), "opencv")
    plan, _ = plan_writing(images, ONE)
    assert plan.bytes_read == 2 * 100 * 1024**2


def test_what_does_not_fit_is_refused_before_anything_is_read(tmp_path):
    images = pt.equalize(lazy_images((100, 2000, 2000), "f4", (100, 2000, 2000)))
    small = Resources(1, 2, 2 * GiB)
    with pytest.raises(PixtallyError, match=r"needs .* a worker and has 2.* GiB.*chunks=") as found:
        pt.write_images(images, tmp_path / "made.zarr", resources=small)
    assert "\n" not in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_shards_shrink_to_fit():
    images = lazy_images((4000, 512, 512), "f4", (16, 512, 512)) + np.float32(1)
    wide, _ = plan_writing(images, ONE)
    narrow, _ = plan_writing(images, Resources(1, 1, GiB))
    assert narrow.layout.shards[0] < wide.layout.shards[0]
    assert narrow.layout.shards[0] % narrow.layout.chunks[0] == 0
    assert narrow.peak_worker_bytes <= USABLE * GiB


def test_a_job_goes_on_with_the_shards_it_began_with(tmp_path, monkeypatch):
    images = pt.open_images(
        stored_images(tmp_path / "images.zarr", "u1", (200, 512, 512), (4, 512, 512)),
        chunks=(4, 512, 512),
    )
    changed = pt.equalize(images, "opencv")
    module = sys.modules["pixtally.write_images"]
    write, calls = module._write_shard, []

    def fails_at_third(unit, **common):
        calls.append(unit[0])
        if len(calls) == 3:
            raise OSError("stopped")
        write(unit, **common)

    monkeypatch.setattr(module, "_write_shard", fails_at_third)
    little = Resources(1, 1, 600 * MiB)
    with pytest.raises(OSError, match="stopped"):
        pt.write_images(changed, tmp_path / "made.zarr", resources=little, chunks=(4, 128, 128))
    monkeypatch.setattr(module, "_write_shard", write)
    made = pt.write_images(changed, tmp_path / "made.zarr", chunks=(4, 128, 128))
    np.testing.assert_array_equal(made, changed.compute())


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 3000),
    side=st.integers(1, 3000),
    itemsize=st.sampled_from(["u1", "u2", "f4", "f8"]),
    parts=st.tuples(st.integers(1, 20), st.integers(1, 5)),
    memory=st.integers(400 * MiB, 16 * GiB),
    threads=st.integers(1, 8),
)
def test_a_plan_fits_or_is_refused(images, side, itemsize, parts, memory, threads):
    chunk = (-(-images // parts[0]), -(-side // parts[1]), -(-side // parts[1]))
    lazy = lazy_images((images, side, side), itemsize, chunk)
    resources = Resources(2, threads, memory)
    try:
        plan, source = plan_writing(lazy + lazy.dtype.type(1), resources)
    except PixtallyError:
        return
    assert plan.peak_worker_bytes <= memory * USABLE
    covered = sum(
        (rows[1] - rows[0]) * int(np.prod([s.stop - s.start for s in tile]))
        for rows, tile in regions(plan.layout)
    )
    assert covered == images * side * side
    assert plan_images(source, resources).layout == plan.layout
