"""The bin axis: its rule against numpy's, its errors, its round trip."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixtally import PixtallyError
from pixtally.axis import BinAxis, make_axis

AXES = [
    make_axis("u1"),
    make_axis("i1"),
    make_axis("u2", bins=512, range=(0, 65536)),
    make_axis("f4", bins=7, range=(-0.3, 1.1)),
    make_axis("f8", bins=[-1, 0.1, 0.3, 5], closed="right"),
    make_axis("f8", bins=10, range=(0, 1), closed="right"),
]


@pytest.mark.parametrize("axis", AXES, ids=str)
def test_round_trip_through_json(axis):
    assert BinAxis.from_dict(json.loads(json.dumps(axis.to_dict()))) == axis


def near(edges):
    """Return samples on the edges, one ulp beside them, and between."""
    on = np.asarray(edges, dtype=np.float64)
    beside = np.concatenate([on, np.nextafter(on, np.inf), np.nextafter(on, -np.inf)])
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0]
    return np.concatenate([beside, (on[1:] + on[:-1]) / 2, special])


@pytest.mark.parametrize("axis", [a for a in AXES if a.closed == "left"], ids=str)
def test_left_closed_is_numpy_histogram(axis):
    samples = near(axis.edges)
    found = np.bincount(axis.find(samples), minlength=axis.slots)[: axis.bins]
    finite = samples[np.isfinite(samples)]
    expected = np.histogram(finite, bins=axis.edges)[0]
    np.testing.assert_array_equal(found, expected)
    if axis.kind != "variable":
        even = np.histogram(finite, bins=axis.bins, range=(axis.start, axis.stop))[0]
        np.testing.assert_array_equal(found, even)


@pytest.mark.parametrize("axis", [a for a in AXES if a.closed == "right"], ids=str)
def test_right_closed_is_searchsorted_left(axis):
    samples = near(axis.edges)
    samples = samples[np.isfinite(samples) & (samples > axis.start) & (samples <= axis.stop)]
    expected = np.searchsorted(axis.edges, samples, side="left") - 1
    np.testing.assert_array_equal(axis.find(samples), expected)
    assert axis.find([axis.start])[0] == 0, "the first bin is closed on both sides"
    assert axis.find([np.nextafter(axis.start, -np.inf)])[0] == axis.bins
    assert axis.find([np.nextafter(axis.stop, np.inf)])[0] == axis.bins + 1


def test_popular_loop_counts_by_the_right_closed_rule():
    """``hist[searchsorted(linspace(lo, hi, n), x)] += 1`` shifts by one: its slot 0 is <= lo."""
    samples = np.random.default_rng(0).integers(0, 256, 1000)
    grid = np.linspace(0, 255, 18)
    loop = np.bincount(np.searchsorted(grid, samples), minlength=18)
    axis = make_axis("u1", bins=grid, closed="right")
    found = np.bincount(axis.find(samples), minlength=axis.slots)
    at_start = np.count_nonzero(samples == grid[0])
    np.testing.assert_array_equal(found[1:17], loop[2:])
    assert found[0] == loop[1] + at_start


@given(st.integers(1, 400), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_even_edges_are_numpys(bins, low, width):
    axis = make_axis("f8", bins=bins, range=(low, low + width))
    np.testing.assert_array_equal(
        axis.edges, np.histogram_bin_edges([], bins, (axis.start, axis.stop))
    )


def test_integer_axis_names_values():
    axis = make_axis("u1", range=(10, 20))
    assert axis.kind == "integer"
    assert axis.labels.tolist() == list(range(10, 20))
    assert make_axis("i1").labels[0] == -128
    assert make_axis("f4", bins=256, range=(0, 256)).kind == "regular"
    assert make_axis("bool").bins == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dtype": "u2"}, "need bins"),
        ({"dtype": "f4", "bins": 10}, "pass range"),
        ({"dtype": "f4", "bins": 0, "range": (0, 1)}, "whole number ≥ 1"),
        ({"dtype": "f4", "bins": True, "range": (0, 1)}, "whole number"),
        ({"dtype": "f4", "bins": 10, "range": (1, 1)}, "lower first"),
        ({"dtype": "f4", "bins": 10, "range": (0, np.nan)}, "finite"),
        ({"dtype": "f4", "bins": 10, "range": (0,)}, "two numbers"),
        ({"dtype": "f4", "bins": 10, "range": "ab"}, "two numbers"),
        ({"dtype": "f4", "bins": [0, 0, 1]}, "rise"),
        ({"dtype": "f4", "bins": [0]}, "2 or more"),
        ({"dtype": "f4", "bins": [0, 1], "range": (0, 1)}, "drop range"),
        ({"dtype": "f4", "bins": 10, "range": (1e16, 1e16 + 4)}, "narrower than float64"),
        ({"dtype": "c8", "bins": 10, "range": (0, 1)}, "integers, floats"),
        ({"dtype": "u1", "closed": "both"}, "'left' or 'right'"),
        ({"dtype": "u1", "range": (0.5, 9)}, "not whole"),
    ],
)
def test_errors_are_one_line_with_the_fix(arguments, words):
    with pytest.raises(PixtallyError, match=words) as caught:
        make_axis(**arguments)
    assert "\n" not in str(caught.value)
