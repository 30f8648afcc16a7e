"""Equalization beside OpenCV, NumPy and scikit-image: one core, one run, the same images."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import zarr
from skimage import exposure

import pixtally as pt

SMALL, LARGE = (1000, 96, 96), (1, 1500, 1500)
SHAPES = pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["1000 x 96x96", "1500x1500"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(autouse=True)
def _one_core():
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(before)})
    cv2.setNumThreads(1)
    yield
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, before)


def images_of(shape, dtype):
    made = np.random.default_rng(0).gamma(4, 20, shape)
    return made.astype(dtype) if dtype[0] == "f" else made.clip(0, 255).astype(dtype)


def in_turn(ours: Callable[[], object], peer: Callable[[], object], rounds: int = 5):
    """Return the shortest time of each, measured in turn so that a busy moment hits both."""
    times = ([], [])
    for _ in range(rounds):
        for run, found in zip((ours, peer), times, strict=True):
            begin = time.perf_counter()
            run()
            found.append(time.perf_counter() - begin)
    return min(times[0]), min(times[1])


def report(what, ours, peer, samples):
    print(
        f"\n{what:48} ours {ours / samples * 1e9:7.2f} ns/sample  peer {peer / samples * 1e9:7.2f}"
        f"  peer/ours {peer / ours:5.2f}"
    )
    return peer / ours


def looped(function, images, dtype):
    """Do as people do: one image after the other into one array."""

    def run():
        out = np.empty(images.shape, dtype)
        for i, image in enumerate(images):
            out[i] = function(image)
        return out

    return run


def recipe(image, bins=256):
    density, edges = np.histogram(image.ravel(), bins, density=True)
    cdf = density.cumsum()
    cdf = (bins - 1) * cdf / cdf[-1]
    return np.interp(image.ravel(), edges[:-1], cdf).reshape(image.shape)


@SHAPES
def test_opencv(shape):
    images = images_of(shape, "uint8")
    peer = looped(cv2.equalizeHist, images, np.uint8)
    times = in_turn(lambda: pt.equalize(images, "opencv"), peer, 15)
    assert report(f"opencv uint8 {shape}", *times, images.size) >= 1 / 1.2


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_clahe(dtype):
    images = images_of(LARGE, dtype) * (1 if dtype == "uint8" else 200)
    peer = cv2.createCLAHE(2.0, (8, 8))
    times = in_turn(lambda: pt.clahe(images), lambda: peer.apply(images[0]), 9)
    assert report(f"clahe {dtype} 1500x1500", *times, images.size) >= 1 / 1.2


@SHAPES
@DTYPES
def test_interp(shape, dtype):
    images = images_of(shape, dtype)
    times = in_turn(lambda: pt.equalize(images), looped(recipe, images, np.float64))
    assert report(f"interp {dtype} {shape}", *times, images.size) >= 20


@SHAPES
@DTYPES
def test_cdf(shape, dtype):
    images = images_of(shape, dtype)
    peer = looped(exposure.equalize_hist, images, dtype)
    times = in_turn(lambda: pt.equalize(images, "cdf"), peer)
    assert report(f"cdf {dtype} {shape}", *times, images.size) >= 20


@SHAPES
@DTYPES
def test_rank(shape, dtype):
    images = images_of(shape, dtype)
    peer = looped(lambda i: np.sort(i.ravel()).searchsorted(i), images, np.int64)
    times = in_turn(lambda: pt.equalize(images, "rank"), peer, 2)
    assert report(f"rank {dtype} {shape}", *times, images.size) >= 3


def test_store_to_store(tmp_path):
    """2000 x 512x512 uint8, Zarr to equalized Zarr beside copying with the same codecs."""
    random = np.random.default_rng(0)
    light = 80 + 60 * np.sin(np.arange(512) / 90) * np.cos(np.arange(512)[:, None] / 70)
    noise = random.normal(0, 6, (64, 512, 512))
    images = np.empty((2000, 512, 512), np.uint8)
    for i in range(2000):
        images[i] = (light + np.roll(noise[i % 64], i, axis=1)).clip(0, 255)
    pt.write_images(images, tmp_path / "source.zarr")
    source = pt.open_images(tmp_path / "source.zarr")

    def written(made):
        shutil.rmtree(tmp_path / "made.zarr", ignore_errors=True)
        pt.write_images(made, tmp_path / "made.zarr")

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    for method in ("opencv", "lut"):
        times = in_turn(
            lambda method=method: written(pt.equalize(source, method)), lambda: written(source), 3
        )
        assert report(f"store to store, {method}", *times, images.size) >= 1 / 1.5


MEMORY = r"""
import re, sys
import pixtally as pt
from pixtally.write_images import plan_writing
source, dest, method = sys.argv[1:]
changed = pt.equalize(pt.open_images(source), method)
plan, _ = plan_writing(changed)
pt.write_images(changed, dest)
print(int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) * 1024)
print(plan.peak_worker_bytes)
"""


@pytest.mark.parametrize("method", ["opencv", "interp"])
def test_store_to_store_memory(tmp_path, method):
    """What a process of its own needs, beside its plan: 2000 x 512x512 uint8, two threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    images = np.random.default_rng(0).integers(0, 256, (2000, 512, 512), np.uint8)
    pt.write_images(images, tmp_path / "source.zarr")
    arguments = [tmp_path / "source.zarr", tmp_path / "made.zarr", method]
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, *arguments], capture_output=True, text=True, check=True
    )
    measured, planned = map(int, run.stdout.split())
    print(f"\n{method}: measured {measured / 2**20:.0f} MiB, planned {planned / 2**20:.0f} MiB")
    assert measured <= planned


def test_mosaic(tmp_path):
    """One 30,000 x 30,000 uint8 image in chunks of 1024 x 1024, in under 2 GiB a worker."""
    psutil = pytest.importorskip("psutil")
    from distributed import Client, LocalCluster

    side = 30_000
    group = zarr.open_group(tmp_path / "mosaic.zarr", mode="w", zarr_format=3)
    array = group.create_array(
        "images", shape=(1, side, side), chunks=(1, 1024, 1024), dtype="u1",
        dimension_names=("image", "y", "x"),
    )  # fmt: skip
    random = np.random.default_rng(0)
    for y in range(0, side, 1024):
        rows = min(1024, side - y)
        array[0, y : y + rows] = random.integers(y // 500, 150, (rows, side), np.uint8)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    images = pt.open_images(tmp_path / "mosaic.zarr", chunks=(1, 1024, 1024))
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit="2GiB", dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        peak, done = [0], threading.Event()

        def watch():
            while not done.wait(0.05):
                peak.append(max(worker.memory_info().rss for worker in workers))

        watcher = threading.Thread(target=watch)
        watcher.start()
        begin = time.perf_counter()
        made = pt.write_images(pt.equalize(images, "opencv"), tmp_path / "made.zarr")
        seconds = time.perf_counter() - begin
        done.set()
        watcher.join()
    print(f"\nmosaic of {side}²: {seconds:.1f} s, at most {max(peak) / 2**20:.0f} MiB a worker")
    assert max(peak) < 2**31
    whole = array[0]
    np.testing.assert_array_equal(made.values[0], cv2.equalizeHist(whole))
