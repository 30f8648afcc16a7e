"""Reports: what the page says, what it needs (nothing), how it looks in a browser."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import open_browser

import pixtally as pt
from pixtally import PixtallyError
from pixtally.provenance import read_provenance
from pixtally.zarr_io import create_array, open_array


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline with everything: a bad image, a mixture, a report."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    frames = rng.normal(90, 5, (50, 24, 32)).clip(0, 255).astype("uint8")
    frames[:, 3, 4] = 7
    frames[:20, 10:14, 20:24] += 100
    frames[5:, 20, 9] = 255
    import imageio.v3 as iio

    (folder / "frames").mkdir()
    for number, frame in enumerate(frames):
        iio.imwrite(folder / f"frames/{number:02d}.png", frame)
    (folder / "frames/broken <b>.png").write_bytes(b"no picture")
    report = pt.Pipeline(
        {
            "source": {"images": "frames", "on_error": "skip"},
            "steps": ["pixel_histogram", {"statistics": {}}, {"pixel_mixture": {"components": 2}}],
            "output": {"store": "hist.zarr", "report": "report.html"},
        },
        folder,
    ).run()
    assert report.made["report"] == str(folder / "report.html")
    return folder


class Page(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input", "line", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attrs for name, attrs in self.tags if name == tag]


def test_page_is_whole_and_needs_nothing(made):
    text = (made / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert not page.all("script")
    outside = [a for _, a in page.tags for k in ("src", "href") if not_inside(a.get(k))]
    assert not outside
    assert not re.search(r"url\(|@import|https?://", re.sub(r"data:[^\"]*", "", text))
    assert all(image["alt"] for image in page.all("img"))
    assert all(a.get("aria-label") for a in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table"))
    headings = [int(t[1]) for t, _ in page.tags if re.fullmatch(r"h[1-6]", t)]
    assert headings[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def not_inside(link: str | None) -> bool:
    return link is not None and not link.startswith(("data:", "#"))


def test_page_tells_everything(made):
    text = (made / "report.html").read_text()
    for words in (
        "hist.zarr",
        "Standard deviation",
        "Most bimodal",
        "y 3, x 4",  # dead
        "y 20, x 9",  # saturated
        "mixture:",
        "broken &lt;b&gt;.png",
        "could not be read",
        "reading images",
        "Planned before the job began, and measured",
        "pixel_mixture:",
        "pixel_histogram of 50 images",
        "12 of 50 images",
    ):
        assert words in text, words
    assert "not recorded" not in text
    assert "broken <b>" not in text, "names are escaped"


def test_runs_are_recorded(made):
    found = read_provenance(made / "hist.zarr")
    (run,) = found.runs
    assert run["complete"]
    assert run["images"] == "hist-images.zarr"
    assert set(run["seconds"]) >= {"preparing workers", "counting"}
    assert set(found.unit_seconds) == {"decoding", "counting", "writing"}
    assert found.units == 1
    assert found.source == made / "hist-images.zarr"
    assert [bad["image"] for bad in found.left_out] == ["frames/broken <b>.png"]
    if Path("/proc/self/status").exists():
        assert 50e6 < found.peak_worker_bytes < 4e9


def test_times_of_a_finished_job_are_kept(made):
    path = made / "hist.zarr/pixtally/pipeline.json"
    before = json.loads(path.read_text())
    before["seconds"]["counting"] = 123.0
    path.write_text(json.dumps(before))
    pipeline = pt.Pipeline(_spec(before), made)
    pipeline.run()
    assert json.loads(path.read_text())["seconds"]["counting"] == 123.0


def _spec(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record["spec"].items() if k != "versions"}


def test_interrupted_and_appended_runs_are_told(tmp_path, monkeypatch):
    from pixtally import tally_job

    images = np.random.default_rng(0).integers(0, 9, (30, 8, 8), "uint8")
    real = tally_job.count_tile
    monkeypatch.setattr(tally_job, "count_tile", lambda task, inputs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pt.write_histogram(images, tmp_path / "hist.zarr")
    monkeypatch.setattr(tally_job, "count_tile", real)
    pt.write_histogram(images, tmp_path / "hist.zarr")
    runs = read_provenance(tmp_path / "hist.zarr").runs
    assert [run["complete"] for run in runs] == [False, True]
    text = pt.report(tmp_path / "hist.zarr").read_text()
    assert "over 2 runs" in text
    assert "not made by a pipeline" in text
    assert "no longer where it was" in text


def test_stores_without_records_make_a_report(tmp_path):
    images = np.random.default_rng(0).normal(0, 1, (30, 8, 8))
    hist = pt.pixel_histogram(images, bins=[-2, -1, 0, 0.5, 3])
    hist["image_id"] = hist["image_id"].astype(object)
    hist.to_zarr(tmp_path / "plain.zarr", zarr_format=3, consolidated=False)
    made = pt.report(tmp_path / "plain.zarr", tmp_path / "deep/er/page.html", pixels=[(7, 7)])
    text = made.read_text()
    assert text.count("not recorded") >= 2
    assert "y 7, x 7" in text
    assert "below the bins" in text


@pytest.mark.parametrize("shape", [(3, 9, 1), (3, 2, 6, 5), (3, 3, 6, 5), (3, 7)])
def test_images_of_any_kind(tmp_path, shape):
    import xarray as xr

    dims = {3: ("image", "y", "x"), 4: ("image", "channel", "y", "x"), 2: ("image", "x")}
    images = np.random.default_rng(0).integers(0, 255, shape, "uint8")
    array = xr.DataArray(images, dims=dims[len(shape)], attrs={"units": "DN"})
    pt.write_histogram(array, tmp_path / "hist.zarr")
    text = pt.report(tmp_path / "hist.zarr").read_text()
    assert "DN" in text
    Page(text)
    if shape[1] == 3:
        pt.report(tmp_path / "hist.zarr", png=tmp_path / "png")
        assert {p.name for p in (tmp_path / "png").iterdir()} >= {"median.png", "pixels.png"}


def test_collections_without_ids(tmp_path):
    create_array(
        tmp_path / "a.zarr", "images", shape=(30, 6, 5), dtype="u1", chunks=(10, 6, 5),
        dims=("image", "y", "x"),
    )  # fmt: skip
    open_array(tmp_path / "a.zarr", "images", "r+")[:] = 7
    pt.write_histogram(pt.open_images(tmp_path / "a.zarr"), tmp_path / "hist.zarr")
    text = pt.report(tmp_path / "hist.zarr").read_text()
    assert 'alt="Image 29"' in text
    assert "12 of 30 images" in text


def test_smaller_images_are_said_to_be_smaller(tmp_path):
    pt.write_histogram(np.zeros((2, 3, 2100), "uint8"), tmp_path / "wide.zarr")
    text = pt.report(tmp_path / "wide.zarr").read_text()
    assert "each dot is the mean of 3 × 3 pixels of 3 × 2,100" in text
    assert 'width="700" height="1"' in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"store": "hist-images.zarr"}, "is not a per-pixel histogram"),
        ({"store": "nothing.zarr"}, "does not exist"),
        ({"store": "hist.zarr", "pixels": [(24, 0)]}, "pixel 24,0 is outside the image; rows are"),
        ({"store": "hist.zarr", "mixture": "hist-images.zarr"}, "holds no pixel mixture"),
        ({"store": "hist.zarr", "mixture": "no.zarr"}, "no.zarr does not exist"),
        ({"store": "hist.zarr", "output": "report.html/x.html"}, "cannot be written"),
    ],
)
def test_bad_input_is_one_line(made, monkeypatch, arguments, words):
    monkeypatch.chdir(made)
    with pytest.raises(PixtallyError, match=words) as caught:
        pt.report(**arguments)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as made:
        yield made


@pytest.mark.parametrize("width", [1280, 480])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_a_browser(made, browser, theme, width):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    begin = time.monotonic()
    page.goto((made / "report.html").as_uri(), wait_until="load")
    assert time.monotonic() - begin < 2
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [asked[0]]
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    broken = page.evaluate("[...document.images].filter(i => !i.naturalWidth).length")
    assert broken == 0
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 23)"
    assert dark == (theme == "dark")
    assert page.locator(".area.lin").is_visible()
    page.get_by_label("logarithmic").check()
    assert page.locator(".area.log").is_visible()
    assert not page.locator(".area.lin").is_visible()
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible(made, browser, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    context = browser.new_context(color_scheme=theme, bypass_csp=True)
    page = context.new_page()
    page.goto((made / "report.html").as_uri())
    found = axe.Axe().run(page).response["violations"]
    context.close()
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []
