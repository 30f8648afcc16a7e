"""Plans: tables of what is chosen, and properties that always hold."""

from __future__ import annotations

import math
import time

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

from pixtally import PixtallyError
from pixtally.histogram import lazy_tallies, prepare
from pixtally.plan import Resources, Work, grid, plan_histogram
from pixtally.sizes import GiB

TWO = Resources(workers=2, threads=1, memory=8 * GiB)

TABLE = [
    # shape, chunks, itemsize, slots, counter, tile, segments
    ((100_000, 1500, 1500), (64, 125, 125), 1, 259, 4, (125, 125), 1),
    ((100_000, 1500, 1500), (1, 1500, 1500), 1, 259, 4, (1500, 1500), 2),
    ((4096, 512, 512), (64, 128, 128), 1, 259, 2, (128, 128), 1),
    ((4096, 512, 512), (1, 512, 512), 1, 259, 2, (512, 512), 2),
    ((3201, 22, 26), (512, 22, 26), 2, 515, 2, (22, 26), 1),
    ((1000, 3, 64, 64), (64, 3, 64, 64), 1, 259, 2, (3, 64, 64), 1),
]


@pytest.mark.parametrize("row", TABLE, ids=[f"{r[0]} in {r[1]}" for r in TABLE])
def test_table(row):
    shape, chunks, itemsize, slots, counter, tile, segments = row
    plan = plan_histogram(Work(shape, chunks, itemsize, slots, counter), TWO)
    assert plan.tile == tile
    assert plan.segments == segments
    assert plan.bytes_read == math.prod(shape) * itemsize
    assert plan.tasks <= 20_000
    assert "peak memory" in plan.text(TWO)
    assert {"tiles", "segments", "tasks", "bytes_read", "bytes_moved", "bytes_written"} <= set(
        plan.to_dict()
    )
    assert {"peak_worker_bytes", "memory_terms"} <= set(plan.to_dict())


@pytest.mark.parametrize(
    ("images", "workers", "segments"),
    [(10**6, 2, 1), (10**6, 16, 1), (10**6, 64, 4), (10**6, 256, 7), (10**5, 64, 1)],
)
def test_workers_are_kept_busy(images, workers, segments):
    """144 tiles on 64 workers would take three rounds for two and a quarter's work."""
    work = Work((images, 1500, 1500), (64, 125, 125), 1, 259, 4)
    plan = plan_histogram(work, Resources(workers, 1, 4 * GiB))
    assert plan.segments == segments
    assert plan.tasks <= 20_000
    rounds = -(-plan.tiles * segments // workers)
    assert plan.tiles * segments / (rounds * workers) > 0.7


class Huge:
    """100,000 images of 1500×1500 that nobody reads."""

    shape = (100_000, 1500, 1500)
    chunks = (64, 125, 125)
    dtype = np.dtype("u1")
    ndim = 3

    def __getitem__(self, index):
        raise AssertionError("a plan must not read")


def test_the_large_job_is_small_to_plan():
    data = da.from_array(Huge(), chunks=(64, 1500, 1500), inline_array=True, meta=np.empty(0, "u1"))
    images = xr.DataArray(data, dims=("image", "y", "x"))
    begin = time.perf_counter()
    tally = prepare(images, resources=TWO)
    graph = lazy_tallies(tally).__dask_graph__()
    seconds = time.perf_counter() - begin
    assert len(graph) <= 20_000
    assert tally.plan.tasks <= 20_000
    assert tally.plan.peak_worker_bytes <= 4 * GiB
    assert seconds < 20, "the benchmark holds it to 2 s; this only catches an explosion"


def test_refusal_gives_both_numbers_and_the_way_out():
    work = Work((1000, 1500, 1500), (64, 1500, 1500), 8, 70_000, 4)
    with pytest.raises(PixtallyError, match=r"needs .* and has 1.0 GiB .* fewer threads") as caught:
        plan_histogram(work, Resources(2, 4, GiB))
    assert "\n" not in str(caught.value)


sizes = st.integers(1, 300)


@given(
    images=st.integers(1, 100_000),
    pixels=st.lists(st.integers(1, 1500), min_size=1, max_size=3),
    chunk=st.lists(st.integers(1, 1500), min_size=4, max_size=4),
    itemsize=st.sampled_from([1, 2, 4, 8]),
    bins=st.integers(1, 5000),
    workers=st.integers(1, 64),
    threads=st.integers(1, 8),
    memory=st.integers(GiB, 64 * GiB),
)
def test_every_plan_fits_and_covers(
    images, pixels, chunk, itemsize, bins, workers, threads, memory
):
    shape = (images, *pixels)
    chunks = tuple(min(c, n) for c, n in zip(chunk, shape, strict=False))
    counter = np.min_scalar_type(images).itemsize
    work = Work(shape, chunks, itemsize, bins + 3, counter)
    resources = Resources(workers, threads, memory)
    try:
        plan = plan_histogram(work, resources)
    except PixtallyError:
        return  # the refusal has its own test
    assert plan.peak_worker_bytes <= memory
    assert plan.bytes_read >= math.prod(shape) * itemsize
    assert plan.segment_edges[0] == 0
    assert plan.segment_edges[-1] == images
    assert list(plan.segment_edges) == sorted(set(plan.segment_edges))
    for dim, (tile, shard, inner) in enumerate(zip(plan.tile, plan.shard, plan.inner, strict=True)):
        assert shard % inner == 0
        spans = tile >= shape[dim + 1]
        assert spans or tile % shard == 0, "two tasks would write one shard"


@given(st.lists(sizes, min_size=1, max_size=3), st.lists(sizes, min_size=3, max_size=3))
def test_grid_covers_every_pixel_once(shape, tile):
    assume(math.prod(shape) < 50_000)
    seen = np.zeros(shape, int)
    steps = tuple(tile[: len(shape)])
    assume(math.prod(-(-n // s) for n, s in zip(shape, steps, strict=True)) < 2000)
    for place in grid(tuple(shape), steps):
        seen[place] += 1
    assert (seen == 1).all()
