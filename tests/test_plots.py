"""Histograms of pixels and regions: drawn, and as objects of the package hist."""

from __future__ import annotations

import sys

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import pixtally as pt
from pixtally import PixtallyError
from pixtally.axis import make_axis
from pixtally.charts import bars, step_path, ticks

mpl.use("Agg")


@pytest.fixture(scope="module")
def images():
    values = np.random.default_rng(0).integers(0, 300, (80, 10, 12)).astype("uint16")
    coords = {"y": np.arange(10) * 2.0 + 100}
    return xr.DataArray(values, coords, ("image", "y", "x"), attrs={"units": "DN"})


@pytest.fixture(scope="module")
def hist(images):
    return pt.pixel_histogram(images, bins=256, range=(10, 266)).compute()


@pytest.fixture(autouse=True)
def closed():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_pixel_region_whole(hist, images):
    ax = hist.tally.plot(y=103.7, x=3)
    assert ax.get_title() == "y 103.7, x 3"
    assert ax.get_xlabel() == "value [DN]"
    data = ax.patches[0].get_data()
    np.testing.assert_array_equal(data.values, hist.counts.sel(y=104).isel(x=3))
    ax = hist.tally.plot(y=slice(102, 106), x=slice(0, 2))
    assert ax.get_title() == "y 102.0…106.0, x 0…1"
    np.testing.assert_array_equal(
        ax.patches[0].get_data().values, hist.counts[1:4, :2].sum(["y", "x"])
    )
    assert hist.tally.plot().patches[0].get_data().values.sum() == hist.counts.sum()


def test_overlay_log_density(hist):
    ax = hist.tally.plot(y=[100, 108], x=[0, 11], log=True)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["y 100, x 0", "y 108, x 11"]
    assert ax.get_yscale() == "log"
    ax = hist.tally.plot(y=100, x=0, density=True)
    data = ax.patches[0].get_data()
    assert (data.values * np.diff(data.edges)).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"y": 100}, r"a pixel needs y=, x=; got y=; sum over a dimension with x=slice\(None\)"),
        ({"y": 100, "x": 12}, "x=12 is outside the image; it has 0…11"),
        ({"y": slice(500, 600), "x": 1}, "holds no pixel"),
        ({"y": [100, 102], "x": [1, 2, 3]}, "y has 2, x has 3"),
        ({"y": [100.0] * 11, "x": 1}, "11 pixels; a plot shows 1…10"),
    ],
)
def test_what_cannot_be_drawn(hist, place, words):
    with pytest.raises(PixtallyError, match=words):
        hist.tally.plot(**place)


@pytest.mark.parametrize(
    "place", [{"y": 104, "x": 3}, {"y": slice(102, 106), "x": slice(0, 2)}, {}]
)
def test_to_hist_holds_every_sample(hist, images, place):
    made = hist.tally.to_hist(**place)
    part = images.sel(y=place.get("y", slice(None))).isel(x=place.get("x", slice(None)))
    samples = part.values.ravel()
    expected, edges = np.histogram(samples, bins=256, range=(10, 266))
    np.testing.assert_array_equal(made.axes[0].edges, edges)
    np.testing.assert_array_equal(made.values(), expected)
    assert made.sum(flow=True) == samples.size
    flow = made.values(flow=True)
    assert (flow[0], flow[-1]) == ((samples < 10).sum(), (samples > 266).sum())
    assert made.axes[0].label == "value [DN]"
    assert made.kind == "COUNT"


def test_to_hist_of_other_axes():
    images = np.array([[0.5], [1.5], [9.0], [np.nan]])[:, None]
    regular = pt.pixel_histogram(images, bins=4, range=(0, 4)).tally.to_hist(y=0, x=0)
    np.testing.assert_array_equal(regular.values(flow=True), [0, 1, 1, 0, 0, 1])
    assert regular.metadata["invalid"] == 1
    uneven = pt.pixel_histogram(images, bins=[0, 1, 10]).tally.to_hist()
    np.testing.assert_array_equal(uneven.axes[0].edges, [0, 1, 10])
    np.testing.assert_array_equal(uneven.values(), [1, 2])
    weighted = pt.pixel_histogram(images, bins=[0, 1, 10], weights=[0.5, 1, 2, 4])
    np.testing.assert_array_equal(weighted.tally.to_hist(y=0, x=0).values(), [0.5, 3])


def test_to_hist_without_the_package_names_the_extra(hist, monkeypatch):
    monkeypatch.setitem(sys.modules, "hist", None)
    with pytest.raises(PixtallyError, match=r"pip install 'pixtally\[hist\]'"):
        hist.tally.to_hist(y=100, x=0)


def test_bars_join_and_zoom():
    axis = make_axis("uint16", 1000, (0, 1000))
    counts = np.zeros(1000, int)
    counts[300:700] = 2
    made = bars(counts, axis, zoom=True, most=100)
    assert made.joined == 8
    assert made.heights.size <= 100
    assert made.heights.sum() == counts.sum()
    assert made.span[0] < 300 < 700 < made.span[1]
    path = step_path(made, (100, 10))
    assert path.startswith("M0.0 10")
    assert path.endswith("V10Z")
    empty = bars(np.zeros(5, int), make_axis("uint8", 5, (0, 5)), zoom=True)
    assert step_path(empty, (10, 10)) == "M0.0 10H10.0V10Z"


@pytest.mark.parametrize("span", [(0, 1), (-3, 7e6), (0.2, 0.21), (1e-9, 5e-9), (5, 5)])
def test_ticks_lie_inside(span):
    found = ticks(*span)
    assert 1 <= len(found) <= 9
    assert all(span[0] - 1e-12 <= t <= span[1] + 1e-12 for t in found)
