"""The pages without a browser: every kind of histogram and collection, step by step."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from bokeh.document import Document

import pixtally as pt
from pixtally.browse.opening import Target, target_of
from pixtally.browse.view import STYLES, View
from pixtally.viewer.collection_page import CollectionPage
from pixtally.viewer.histogram_page import HistogramPage
from pixtally.viewer.latest import Latest

RNG = np.random.default_rng(5)
GRAY = RNG.integers(0, 200, (20, 12, 15), dtype="uint8")


def named(values: np.ndarray, *dims: str) -> xr.DataArray:
    return xr.DataArray(values, dims=dims)


HISTOGRAMS = {
    "one line of pixels": lambda: pt.pixel_histogram(named(GRAY[:, 0], "image", "x")),
    "one pixel": lambda: pt.pixel_histogram(GRAY[:, :1, :1]),
    "channels": lambda: pt.pixel_histogram(
        named(np.stack([GRAY] * 3, 1), "image", "channel", "y", "x").assign_coords(
            channel=list("RGB")
        )
    ),
    "bins of unequal width": lambda: pt.pixel_histogram(
        GRAY.astype("f4"), bins=[0.0, 1, 10, 50, 300]
    ),
    "weights": lambda: pt.pixel_histogram(
        named(GRAY, "image", "y", "x"), weights=named(np.linspace(0, 1, 20), "image")
    ),
    "nothing counted": lambda: pt.pixel_histogram(np.full((3, 4, 5), np.nan), bins=4, range=(0, 1)),
    "coordinates": lambda: pt.pixel_histogram(
        named(GRAY, "time", "lat", "lon").assign_coords(
            lat=np.linspace(50, 51, 12), lon=np.linspace(5, 6, 15)
        ),
        dim="time",
    ),
    "lazy": lambda: pt.pixel_histogram(named(GRAY, "image", "y", "x").chunk(y=5)),
}


def page_on(target: Target, **query: str) -> HistogramPage:
    page = HistogramPage(Document(), target, query)
    page.doc.to_json()  # what is sent to the browser can be written
    return page


def last(steps):
    for show in steps:
        show()
    return show


def state(page: HistogramPage | CollectionPage) -> dict:
    return json.loads(page.link.shown)


@pytest.mark.parametrize("kind", HISTOGRAMS)
@pytest.mark.parametrize("log", ["0", "1"])
def test_every_histogram_has_a_page(kind, log):
    page = page_on(target_of(HISTOGRAMS[kind]()))
    try:
        for show in ("median", "std", "quantile"):
            view = View.of({"show": show, "a": "0,0", "b": "0:3,0:4", "log": log, "model": "2"})
            last(page._paint(view, page.window()))
            last(page._select(view))
        found = state(page)
        assert len(found["summary"]["rows"]) == 2
        assert found["texts"]["status"].startswith("Quantile 0.5. Every pixel")
        page.doc.to_json()
    finally:
        page.close()


def test_coordinates_of_the_images_are_told():
    page = page_on(target_of(HISTOGRAMS["coordinates"]()))
    last(page._select(View.of({"a": "11,14"})))
    assert state(page)["summary"]["rows"][0]["name"] == "y 11, x 14 (51, 6)"
    page.close()


def test_what_lay_outside_the_bins_is_told_only_then():
    page = page_on(target_of(pt.pixel_histogram(GRAY)))
    last(page._select(View.of({"a": "1,1"})))
    assert "below" not in state(page)["summary"]["columns"]
    page.close()
    page = page_on(target_of(pt.pixel_histogram(GRAY, bins=2, range=(0, 2))))
    last(page._select(View.of({"a": "1,1"})))
    found = state(page)["summary"]
    row = dict(zip(found["columns"], found["rows"][0]["cells"], strict=True))
    assert row["above"] == str(int((GRAY[:, 1, 1] > 2).sum()))
    page.close()


def test_distributions_of_different_size_compare_as_shares():
    page = page_on(target_of(pt.pixel_histogram(GRAY)))
    last(page._select(View.of({"a": "1,1", "b": "0:4,0:4"})))
    assert page.histogram.fig.yaxis[0].axis_label == "share of samples"
    bars = page.histogram.bars["b"].data
    assert bars["top"].sum() == pytest.approx(1)
    last(page._select(View.of({"a": "1,1"})))
    assert page.histogram.fig.yaxis[0].axis_label == "samples"
    assert page.histogram.bars["a"].data["top"].sum() == 20
    page.close()


def test_a_frame_marks_its_value_in_the_histogram():
    images = named(GRAY, "image", "y", "x")
    page = page_on(target_of(pt.pixel_histogram(images), images))
    last(page._select(View.of({"show": "frame", "frame": "7", "a": "3,4"})))
    assert page.histogram.lines["frame"].data["x"] == [float(GRAY[7, 3, 4])] * 2
    page.close()


@pytest.mark.parametrize(
    "frames",
    [
        GRAY,
        np.stack([GRAY] * 3, 1),
        np.stack([GRAY] * 2, 1),
        np.where(GRAY > 180, np.nan, GRAY).astype("f4"),
        GRAY.astype("u2") * 100,
        GRAY > 100,
    ],
    ids=["gray", "colour", "two channels", "floats with NaN", "16 bits", "booleans"],
)
def test_every_collection_has_a_page(frames):
    dims = ("image", "channel", "y", "x")[-frames.ndim :] if frames.ndim == 4 else ()
    images = named(frames, *(dims or ("image", "y", "x")))
    from pixtally.browse.frames import Frames

    page = CollectionPage(Document(), Target("frames", frames=Frames(images)), {})
    try:
        for style in STYLES:
            last(page._paint(View(style=style), page.window()))
        # All changes are tried by test_browse; what matters here is that any result is shown.
        for change in ("equalize-interp", "fill-nearest"):
            last(page._paint(View(change=change), page.window()))
        assert "white" in state(page)["texts"]["before-limits"] or frames.ndim == 4
        page.doc.to_json()
    finally:
        page.close()


def test_a_newer_wish_replaces_an_older_one():
    import threading

    shown, told, begun, go = [], [], threading.Event(), threading.Event()
    latest = Latest(lambda show: show(), told.append)

    def slow():
        begun.set()
        go.wait(5)
        yield lambda: shown.append("old")

    latest.ask(slow)
    assert begun.wait(5)
    done = threading.Event()
    latest.ask(lambda: iter([lambda: shown.append("skipped")]))
    latest.ask(lambda: iter([lambda: shown.append("new"), done.set]))
    go.set()
    assert done.wait(5)
    assert shown == ["new"]

    def broken():
        raise pt.PixtallyError("this does not fit")
        yield

    failed = threading.Event()
    latest.complain = lambda text: (told.append(text), failed.set())
    latest.ask(broken)
    assert failed.wait(5)
    assert told == ["this does not fit"]
    latest.close()
