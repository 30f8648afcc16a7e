"""The counting kernel on one core against numpy.sum, boost-histogram and xhistogram."""

from __future__ import annotations

import boost_histogram as bh
import numpy as np
import pytest
import xarray as xr
from timing import best, show
from xhistogram.xarray import histogram as xhistogram

from pixtally.axis import make_axis
from pixtally.kernels.counts import count_block
from pixtally.kernels.slots import find_slots

IMAGES, PIXELS = 1000, 65536
NANOSECOND = 1e-9 * IMAGES * PIXELS
"""Times are printed in nanoseconds a sample."""


def camera():
    rng = np.random.default_rng(0)
    wall = rng.integers(60, 200, (1, PIXELS))
    return (wall + rng.normal(0, 3, (IMAGES, PIXELS))).clip(0, 255).astype(np.uint8)


def noise():
    return np.random.default_rng(0).integers(0, 256, (IMAGES, PIXELS), dtype=np.uint8)


def boost(images, bins, span):
    """Count all pixels with one two-dimensional boost histogram, pixel × value."""
    pixels = bh.axis.Integer(0, images.shape[1], underflow=False, overflow=False)
    hist = bh.Histogram(pixels, bh.axis.Regular(bins, *span), storage=bh.storage.Int64())
    numbers = np.broadcast_to(np.arange(images.shape[1], dtype=np.int32), images.shape)
    return hist.fill(numbers.ravel(), images.ravel())


@pytest.mark.parametrize("make", [camera, noise])
def test_bytes_into_256_bins(make):
    images = make()
    # Wide enough for every round: counting goes on in the same counters, as it does in a job.
    counts = np.zeros((PIXELS, 259), np.uint32)

    def ours():
        count_block(images, None, counts)

    time_ours, time_sum = best(ours, images.sum)
    assert 1 / show(f"u1 256 bins, {make.__name__}", time_ours, "np.sum", time_sum, NANOSECOND) <= 2
    few = images[:, :8192]
    part = few.size / images.size
    (time_boost,) = best(lambda: boost(few, 256, (0, 256)), runs=2)
    assert show("u1 256 bins", time_ours, "boost-histogram", time_boost / part, NANOSECOND) >= 16
    array = xr.DataArray(images, dims=("image", "pixel"), name="v")
    edges = np.arange(257)
    (time_x,) = best(lambda: xhistogram(array, bins=[edges], dim=["image"]), runs=1)
    assert show("u1 256 bins", time_ours, "xhistogram", time_x, NANOSECOND) >= 80


def test_float32_into_100_bins():
    images = np.random.default_rng(0).normal(0.5, 0.2, (IMAGES, PIXELS)).astype(np.float32)
    rule = make_axis("f4", bins=100, range=(0, 1)).rule("f4")
    counts = np.zeros((PIXELS, 103), np.uint32)

    def ours():
        slots = find_slots(images, rule.table, rule.edges, rule.scale, rule.right)
        count_block(slots, None, counts)

    (time_ours,) = best(ours)
    array = xr.DataArray(images, dims=("image", "pixel"), name="v")
    edges = np.linspace(0, 1, 101)
    (time_x,) = best(lambda: xhistogram(array, bins=[edges], dim=["image"]), runs=1)
    assert show("f4 100 bins", time_ours, "xhistogram", time_x, NANOSECOND) >= 30
