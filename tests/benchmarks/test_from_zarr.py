"""From Zarr on two worker processes: against decoding alone, and against xhistogram on Dask."""

from __future__ import annotations

import threading
import time

import dask.array as da
import numpy as np
import psutil
import pytest
import xarray as xr
from timing import best, show

import pixtally as pt
from pixtally.available import current_resources
from pixtally.cluster import cluster
from pixtally.demo import demo_image
from pixtally.histogram import prepare
from pixtally.sizes import size_text
from pixtally.zarr_io import StoredArray, create_array, open_array

SHAPE = (4096, 512, 512)
LAYOUTS = {
    "tiles": ((64, 128, 128), (256, 512, 512)),
    "whole images": ((1, 512, 512), (64, 512, 512)),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with cluster() as made:
        yield made


@pytest.fixture(scope="module", params=LAYOUTS)
def store(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zarr") / "images.zarr"
    chunks, shards = LAYOUTS[request.param]
    create_array(
        folder, "images", shape=SHAPE, dtype="u1", chunks=chunks, shards=shards,
        dims=("image", "y", "x"),
    )  # fmt: skip
    array = open_array(folder, "images", "r+")
    rng = np.random.default_rng(0)
    scene = demo_image(0, 2, SHAPE[1:]).astype("f4")
    for first in range(0, SHAPE[0], 256):
        noisy = scene + rng.normal(0, 3, (256, *SHAPE[1:]))
        array[first : first + 256] = noisy.clip(0, 255).astype("u1")
    return request.param, folder


def decode_part(tile, first, last, path, step):
    """Read what one counting task reads, and nothing else."""
    array = open_array(path, "images")
    return sum(
        array[(slice(a, min(a + step, last)), *tile)].nbytes for a in range(first, last, step)
    )


class Watch:
    """Samples the memory of the worker processes."""

    def __init__(self, client):
        self.pids = [w["pid"] for w in client.run(_who).values()]
        self.peak = 0

    def __enter__(self):
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        self.thread.join()

    def _look(self):
        while not self.ended.wait(0.02):
            now = max(psutil.Process(p).memory_info().rss for p in self.pids)
            self.peak = max(self.peak, now)


def _who():
    import os

    return {"pid": os.getpid()}


def test_against_decoding_alone(client, store):
    name, path = store
    images = pt.open_images(path)
    plan = prepare(images, resources=current_resources(), lazy=True).plan
    edges = plan.segment_edges

    def decode():
        parts = [
            client.submit(
                decode_part, tile, edges[s], edges[s + 1], str(path), plan.batch, pure=False
            )
            for tile in plan.tile_slices()
            for s in range(plan.segments)
        ]
        assert sum(client.gather(parts)) == np.prod(SHAPE)

    def decode_chunks():
        stored = StoredArray(path, "images")
        frames = da.from_array(stored, chunks=stored.chunks, inline_array=True)
        nothing = {"dtype": "u1", "chunks": (1, 1, 1), "meta": np.empty((0, 0, 0), "u1")}
        frames.map_blocks(_nothing, **nothing).compute()

    def count():
        hist = pt.pixel_histogram(images, resources=current_resources())
        hist.tally.median().compute()

    def write():
        pt.write_histogram(images, path.with_name("hist.zarr"), restart=True)

    with Watch(client) as watch:
        count()
        write()
    print(
        f"\n{name}: planned {size_text(plan.peak_worker_bytes)}, measured {size_text(watch.peak)}"
    )
    assert watch.peak <= plan.peak_worker_bytes
    alone, chunks, counted, written = best(decode, decode_chunks, count, write)
    print(
        f"{name}: decoding in the same pieces {alone:.2f} s, chunk by chunk {chunks:.2f} s, "
        f"histogram and median {counted:.2f} s, histogram as a job {written:.2f} s"
    )
    for what, seconds in (("histogram and median", counted), ("histogram as a job", written)):
        show(f"{name}, {what}", seconds, "decoding in the same large pieces", alone)
        ratio = show(f"{name}, {what}", seconds, "decoding chunk by chunk on Dask", chunks)
        assert 1 / ratio <= 1.4


def _nothing(block):
    return np.zeros((1, 1, 1), "u1")


def test_against_xhistogram(client, store):
    from xhistogram.xarray import histogram as xhistogram

    name, path = store
    images = pt.open_images(path)
    part = images.isel(image=slice(0, 512), y=slice(0, 256)).chunk(
        {"image": 64, "y": 128, "x": 128}
    )
    bins = [np.arange(257)]
    begin = time.perf_counter()
    with Watch(client) as watch:
        xhistogram(part.rename("v"), bins=bins, dim=["image"]).compute()
    theirs = (time.perf_counter() - begin) * images.size / part.size
    with Watch(client) as own:
        (ours,) = best(
            lambda: (
                pt.pixel_histogram(images, resources=current_resources()).tally.median().compute()
            ),
            runs=3,
        )
    print(
        f"\n{name}: xhistogram on 1/16: {size_text(watch.peak)}, ours on all: {size_text(own.peak)}"
    )
    assert show(f"{name}, Zarr to histogram", ours, "xhistogram on Dask", theirs) >= 25


def test_time_a_sample_is_flat(tmp_path):
    """1,000 to 32,000 images of 256×256: nanoseconds a sample stay within 15 %."""
    times = {}
    for images in (1000, 4000, 32000):
        folder = tmp_path / f"{images}.zarr"
        create_array(
            folder, "images", shape=(images, 256, 256), dtype="u1", chunks=(64, 128, 128),
            shards=(1024, 256, 256), dims=("image", "y", "x"),
        )  # fmt: skip
        array = open_array(folder, "images", "r+")
        rng = np.random.default_rng(0)
        for first in range(0, images, 1024):
            size = min(1024, images - first)
            array[first : first + size] = rng.normal(90, 4, (size, 256, 256)).astype("u1")
        lazy = pt.open_images(folder)
        hist = pt.pixel_histogram(lazy).counts
        (seconds,) = best(lambda h=hist: h.data.compute(scheduler="sync"))
        times[images] = seconds / lazy.size * 1e9
    print("\nns a sample by number of images:", {k: round(v, 3) for k, v in times.items()})
    assert max(times.values()) <= 1.15 * min(times.values())


def test_large_plan_is_quick(tmp_path):
    class Huge:
        shape, chunks, dtype, ndim = (100_000, 1500, 1500), (64, 125, 125), np.dtype("u1"), 3

        def __getitem__(self, index):
            raise AssertionError

    data = da.from_array(Huge(), chunks=(64, 1500, 1500), inline_array=True, meta=np.empty(0, "u1"))
    images = xr.DataArray(data, dims=("image", "y", "x"))
    begin = time.perf_counter()
    graph = pt.pixel_histogram(images).counts.__dask_graph__()
    seconds = time.perf_counter() - begin
    plan = prepare(images).plan
    print(
        f"\n100,000 × 1500×1500: {len(graph)} graph tasks, {plan.tasks} units of a job, built "
        f"in {seconds:.2f} s, {size_text(plan.peak_worker_bytes)} a worker"
    )
    assert seconds <= 2
    assert len(graph) <= 20_000
