"""Counting and slot finding against slow, obvious references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pixtally.axis import make_axis
from pixtally.kernels.counts import count_block, weigh_block
from pixtally.kernels.slots import as_unsigned, find_slots


def count_slowly(slots, wide):
    counts = np.zeros((slots.shape[1], wide), np.int64)
    for image in slots:
        for pixel, slot in enumerate(image):
            counts[pixel, slot] += 1
    return counts


@pytest.mark.parametrize("counter", ["u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize(("images", "pixels"), [(1, 1), (3, 17), (252, 9), (255, 300)])
def test_count_block(dtype, counter, images, pixels):
    rng = np.random.default_rng(0)
    for table in (None, rng.integers(0, 103, 256 ** np.dtype(dtype).itemsize).astype("u2")):
        slots = 103 if table is not None else 259
        samples = rng.integers(0, 256, (images, pixels)).astype(dtype)
        counts = np.zeros((pixels, slots), counter)
        count_block(samples, table, counts)
        reference = samples if table is None else table[samples]
        np.testing.assert_array_equal(counts, count_slowly(reference, slots))


def test_counters_carry_over_every_flush():
    """One value for more images than 8- and 16-bit counters hold."""
    images = 252 * 256 + 1000
    samples = np.full((images, 9), 7, np.uint8)
    counts = np.zeros((9, 259), np.uint32)
    count_block(samples, None, counts)
    assert counts[:, 7].tolist() == [images] * 9
    assert counts.sum() == 9 * images


def test_many_slots_are_counted_straight():
    rng = np.random.default_rng(1)
    samples = rng.integers(0, 65539, (50, 4)).astype(np.uint32)
    counts = count_block(samples, None, np.zeros((4, 65539), np.uint8))
    np.testing.assert_array_equal(counts, count_slowly(samples, 65539))


def test_counting_twice_adds():
    samples = np.ones((40, 16), np.uint8)
    counts = np.zeros((16, 259), np.uint16)
    count_block(samples, None, counts)
    count_block(samples, None, counts)
    assert (counts[:, 1] == 80).all()


@pytest.mark.parametrize("shared", [True, False])
def test_weigh_block(shared):
    rng = np.random.default_rng(2)
    slots = rng.integers(0, 13, (30, 7)).astype(np.uint8)
    weights = rng.random((30, 1 if shared else 7))
    found = weigh_block(slots, weights, np.zeros((7, 13)))
    for pixel in range(7):
        w = weights[:, 0 if shared else pixel]
        expected = np.bincount(slots[:, pixel], weights=w, minlength=13)
        np.testing.assert_allclose(found[pixel], expected, rtol=1e-12)


AXES = {
    "even": {"bins": 13, "range": (-2.0, 3.0)},
    "odd range": {"bins": 100, "range": (0.1, 0.7)},
    "edges": {"bins": [-3.0, -1.0, 0.0, 0.1, 2.5]},
    "one bin": {"bins": 1, "range": (0.0, 1.0)},
    "many": {"bins": 70000, "range": (-1.0, 1.0)},
}


@pytest.mark.parametrize("closed", ["left", "right"])
@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "i8", "u8", "i2", "u1", "?"])
def test_slots_are_those_of_plain_search(name, dtype, closed):
    axis = make_axis(dtype, closed=closed, **AXES[name])
    edges = axis.edges[:: max(1, axis.bins // 50)]
    beside = np.concatenate([edges, np.nextafter(edges, 9), np.nextafter(edges, -9)])
    special = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300])
    wide = np.concatenate([beside, special, np.random.default_rng(0).normal(0, 2, 200)])
    if np.dtype(dtype).kind != "f":
        wide = wide[np.abs(wide) < (1 if dtype == "?" else 100)]
        wide = np.abs(wide) if np.dtype(dtype).kind in "u?" else wide
    with np.errstate(over="ignore"):
        samples = wide.astype(dtype).reshape(1, -1)
    rule = axis.rule(dtype)
    found = find_slots(samples, rule.table, rule.edges, rule.scale, rule.right)
    np.testing.assert_array_equal(found, axis.find(samples))


@given(arrays(np.float64, (3, 5), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_slots_of_any_float(samples):
    for closed in ("left", "right"):
        axis = make_axis("f8", bins=7, range=(-1e3, 1.0), closed=closed)
        rule = axis.rule("f8")
        found = find_slots(samples, rule.table, rule.edges, rule.scale, rule.right)
        np.testing.assert_array_equal(found, axis.find(samples))


def test_masked_samples_are_invalid():
    axis = make_axis("u1")
    rule = axis.rule("u1")
    samples = np.zeros((2, 3), np.uint8)
    mask = np.array([[True, False, True]])
    found = find_slots(samples, rule.table, rule.edges, rule.scale, rule.right, mask)
    assert found.tolist() == [[258, 0, 258]] * 2


def test_signed_samples_are_read_by_their_bits():
    axis = make_axis("i2", bins=[-30000, -1, 5, 30000])
    samples = np.array([[-30001, -30000, -1, 4, 5, 30000, 30001]], np.int16)
    table = axis.rule("i2").table
    assert table[as_unsigned(samples)].tolist() == axis.find(samples).tolist()
