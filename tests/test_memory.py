"""The memory rule: what a process really needs is never more than its plan said."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from pixtally.zarr_io import create_array, open_array

MEASURE = r"""
import json, re, sys
import pixtally as pt
from pixtally.histogram import prepare
path, dest, computed, arguments = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
images = pt.open_images(path)
if computed == "computed":
    images = images + images.dtype.type(1)
if arguments.pop("masked", False):
    arguments["mask"] = images > images.dtype.type(100)
plan = prepare(images, **arguments).plan
pt.write_histogram(images, dest, **arguments)
# ru_maxrss would be inherited from the process that started this one.
peak = int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) * 1024
print(json.dumps({"planned": plan.peak_worker_bytes, "measured": peak, "tasks": plan.tasks}))
"""

CASES = {
    # name: dtype, shape, chunks, how, arguments
    "u1 tiles": ("u1", (2000, 384, 384), (64, 128, 128), "stored", {}),
    "u1 whole images": ("u1", (1500, 384, 384), (1, 384, 384), "stored", {}),
    "u2 many bins": (
        "u2", (600, 256, 256), (64, 128, 128), "stored", {"bins": 2048, "range": [0, 65536]}
    ),
    "f4": ("f4", (600, 256, 256), (32, 128, 128), "stored", {"bins": 100, "range": [0, 256]}),
    "f8 masked": (
        "f8", (300, 256, 256), (16, 128, 128), "stored",
        {"bins": 100, "range": [0, 256], "masked": True},
    ),
    "u1 computed": ("u1", (1000, 256, 256), (64, 128, 128), "computed", {}),
    "i8": ("i8", (200, 256, 256), (32, 128, 128), "stored", {"bins": 64, "range": [0, 256]}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_measured_is_not_above_planned(tmp_path, name):
    dtype, shape, chunks, how, arguments = CASES[name]
    whole = (chunks[0], *(-(-n // c) * c for n, c in zip(shape[1:], chunks[1:], strict=True)))
    create_array(
        tmp_path / "images.zarr",
        "images",
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=whole,
        dims=("image", "y", "x"),
    )
    array = open_array(tmp_path / "images.zarr", "images", "r+")
    rng = np.random.default_rng(0)
    for first in range(0, shape[0], 100):
        block = rng.integers(0, 256, (min(100, shape[0] - first), *shape[1:]))
        array[first : first + 100] = block.astype(dtype)
    paths = (tmp_path / "images.zarr", tmp_path / "hist.zarr")
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *paths, how, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(run.stdout)
    assert found["measured"] <= found["planned"], found
    assert found["measured"] > found["planned"] / 6, "a plan that is far too high refuses jobs"
