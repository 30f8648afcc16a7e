"""The page of `pixtally view` in a real browser: taps, boxes, slides, keys, links, themes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from chromium import Window, open_browser, window

import pixtally as pt
from pixtally.browse.opening import open_target, target_of
from pixtally.viewer.server import Explorer

pytestmark = pytest.mark.slow

SHAPE = (60, 80)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as made:
        yield made


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    rng = np.random.default_rng(4)
    base = rng.integers(40, 160, SHAPE)
    found = np.clip(base + rng.normal(0, 6, (40, *SHAPE)), 0, 255).astype("uint8")
    found[30, 10:20, 10:20] = 250
    return found


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, frames: np.ndarray) -> Path:
    """A histogram with its statistics and its collection beside it, as a pipeline leaves them."""
    folder = tmp_path_factory.mktemp("view")
    np.save(folder / "frames.npy", frames)
    pt.Pipeline(
        {
            "source": {"images": str(folder / "frames.npy")},
            "steps": [
                {"pixel_histogram": {"bins": 256, "range": [0, 256]}},
                {"statistics": {"names": ["median", "std"]}},
            ],
            "output": {"store": str(folder / "hist.zarr")},
        }
    ).run(progress=False)
    # What is fitted in the windows is compiled here.
    for fitted in (pt.pixel_mixture, pt.fit_peaks):
        fitted(pt.open_histogram(folder / "hist.zarr").isel(y=[0], x=[0])).compute()
    return folder


@pytest.fixture(scope="module")
def url(stores: Path) -> Iterator[str]:
    with_all = Explorer(open_target(stores / "hist.zarr"))
    yield with_all.url
    with_all.close()


@pytest.fixture(scope="module")
def collection_url(stores: Path) -> Iterator[str]:
    made = Explorer(open_target(stores / "hist-images.zarr"))
    yield made.url
    made.close()


def close_to(found: Any, expected: np.ndarray) -> None:
    np.testing.assert_allclose(np.array(found, float), expected, rtol=1e-6)


def row(page: Window, slot: int = 0) -> list[str]:
    cells = page.page.locator("#summary tbody tr").nth(slot).locator("th, td")
    return [text.strip() for text in cells.all_inner_texts()]


def test_first_picture_is_the_median(browser, url, frames):
    with window(browser, url) as page:
        page.says("status", "Median. Every pixel in view is shown.")
        close_to(page.values(), np.quantile(frames, 0.5, axis=0, method="inverted_cdf"))
        assert "40 images" in page.text("facts")
        assert page.page.title().endswith("hist.zarr · pixtally")


def test_before_a_tap_all_pixels_are_shown_together(browser, url, frames):
    with window(browser, url) as page:
        page.says("summary", "all pixels")
        assert row(page)[1] == f"{frames.size:,}"


def test_a_notebook_shows_the_page_in_a_frame(browser, stores):
    made = pt.open_histogram(stores / "hist.zarr").tally.explore()
    page = browser.new_page()
    try:
        page.set_content(f"<h1>notebook</h1>{made._repr_html_()}")
        inside = page.frame_locator("iframe")
        inside.locator("#status").filter(has_text="Median. Every pixel").wait_for()
        assert "40 images" in inside.locator("#facts").inner_text()
    finally:
        page.close()
        made.close()


def test_a_tap_selects_the_pixel_under_the_finger(browser, url, frames):
    with window(browser, url) as page:
        page.tap(17, 33)
        page.says("summary", "y 17, x 33")
        samples = frames[:, 17, 33]
        assert row(page)[:4] == [
            "y 17, x 33",
            "40",
            f"{np.sort(samples)[19]}",
            f"{samples.mean():.4g}",
        ]


def test_a_box_adds_up_its_pixels(browser, url, frames):
    with window(browser, url) as page:
        page.page.click("#drag-box")
        page.drag((10.3, 20.3), (14.7, 29.7))
        page.says("summary", "y 10–14, x 20–29")
        found = row(page)
        samples = frames[:, 10:15, 20:30]
        assert found[1] == f"{samples.size:,}"
        assert found[3] == f"{samples.mean():.4g}"


def test_moving_and_zooming_does_not_select(browser, url):
    with window(browser, url) as page:
        page.drag((30, 40), (20, 20))
        page.until("location.search.includes('at=')")
        assert "a=" not in urlsplit(page.page.url).query
        page.page.click("#whole")
        page.until("!location.search.includes('at=')")
        page.page.mouse.move(*page.place(30, 40))
        page.page.mouse.wheel(0, -300)
        page.until("location.search.includes('at=')")


def test_two_pixels_compare(browser, url):
    with window(browser, url) as page:
        page.tap(5, 6)
        page.says("summary", "y 5, x 6")
        page.page.click("#compare")
        page.tap(40, 50)
        page.says("summary", "y 40, x 50")
        assert [row(page, k)[0] for k in (0, 1)] == ["y 5, x 6", "y 40, x 50"]
        page.page.click("#clear")
        page.until("document.querySelectorAll('#summary tbody tr').length === 1")


def test_the_quantile_slider_redraws_the_image(browser, url, frames):
    with window(browser, url, width=1280) as page:
        page.page.select_option("#show", "quantile")
        page.page.locator("#q").fill("0.9")
        page.says("status", "Quantile 0.9. Every pixel in view is shown.")
        close_to(page.values(), np.quantile(frames, 0.9, axis=0, method="inverted_cdf"))


def test_the_keyboard_moves_the_pixel(browser, url):
    with window(browser, url + "?a=20,30") as page:
        page.page.keyboard.press("ArrowRight")
        page.says("summary", "y 20, x 31")
        page.page.keyboard.press("Shift+ArrowDown")
        page.says("summary", "y 30, x 31")
        page.page.keyboard.press("l")
        page.until("document.getElementById('log').getAttribute('aria-pressed') === 'true'")
        page.page.keyboard.press("3")
        page.says("status", "Standard deviation.")
        page.page.keyboard.press("PageDown")
        page.says("status", "Frame 1.")
        page.page.keyboard.press("?")
        page.until("document.getElementById('keys').open")
        page.page.keyboard.press("Escape")


def test_a_link_restores_the_view(browser, url):
    wanted = (
        "?show=quantile&q=0.25&a=12,13&b=20:30,40:60&at=40,30,50&cmap=magma&contrast=full"
        "&log=1&model=2&theme=dark"
    )
    with window(browser, url + wanted) as page:
        page.says("model-text", "Model of A")
        page.until("!/Refining|Fitting/.test(document.body.textContent)")
        before = page.page.evaluate("[location.search, window.pixtally.state]")
        assert parse_qs(before[0][1:]) == parse_qs(wanted[1:])
        assert page.page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert page.page.input_value("#q") == "0.25"
        values = page.values()
        page.page.reload()
        page.until("window.pixtally?.first > 0")
        page.says("model-text", "Model of A")
        page.until("!/Refining|Fitting/.test(document.body.textContent)")
        after = page.page.evaluate("[location.search, window.pixtally.state]")
        assert after == before
        assert page.values() == values


def test_a_link_with_rubbish_shows_something(browser, url):
    with window(browser, url + "?show=nothing&q=7&a=99999,-3&at=nan,1,2&frame=1e9") as page:
        page.says("status", "Median.")


def test_models_are_drawn_over_the_histogram(browser, url):
    with window(browser, url + "?a=12,13&model=1") as page:
        page.says("model-text", "100% at")
        assert page.page.evaluate("window.pixtally.models.figures[1].renderers.length") > 3
        page.page.select_option("#model", "peaks")
        page.until("!/Gaussian|100%/.test(document.getElementById('model-text').textContent)")


def test_frames_and_their_foreground(browser, url, frames):
    with window(browser, url + "?show=frame&frame=30&a=12,13") as page:
        page.says("frame-name", "30 of 40")
        close_to(page.values(), frames[30])
        page.page.select_option("#show", "score")
        page.says("status", "Foreground score of frame 30. Every pixel in view is shown.")
        page.until("!document.getElementById('status').textContent.includes('Refining')")
        score = np.array(page.values(), float)
        # The passer-by is in its pixels' histograms, but too rare to be their background.
        assert score[10:20, 10:20].min() > 4 > np.median(score)
        page.page.click("#next")
        page.says("status", "frame 31")


def test_a_large_image_is_thinned_out_and_refined(browser):
    hist = pt.pixel_histogram(np.zeros((2, 1200, 1500), "uint8"), bins=4, range=(0, 4))
    made = Explorer(target_of(hist))
    try:
        with window(browser, made.url) as page:
            page.says("status", "Every 2nd row and column is shown")
            for _ in range(2):
                page.page.click("#zoom-in")
            page.says("status", "Every pixel in view is shown.")
    finally:
        made.close()


def test_a_histogram_that_is_being_written_is_followed(browser, tmp_path):
    images = np.random.default_rng(0).integers(0, 200, (30, 240, 320), dtype="uint8")
    np.save(tmp_path / "images.npy", images)
    pt.ingest(tmp_path / "images.npy", tmp_path / "images.zarr", progress=False)
    done = tmp_path / "done.zarr"
    stored = pt.open_images(tmp_path / "images.zarr")
    pt.write_histogram(stored, done, bins=256, range=(0, 256), progress=False)
    half = tmp_path / "hist.zarr.partial"
    shutil.copytree(done, half)
    records = half / "pixtally"
    units = json.loads((records / "units.json").read_text("utf-8"))
    (records / "units.json").unlink()
    (records / "units").mkdir()
    assert len(units) > 1
    names = sorted(units)
    for name in names[:1]:
        (records / "units" / f"{name}.json").write_text(json.dumps(units[name]), "utf-8")
    made = Explorer(open_target(tmp_path / "hist.zarr"))
    try:
        with window(browser, made.url) as page:
            page.says("banner", f"{1 / len(units):.0%} of the pixels")
            assert np.isnan(np.array(page.values(), float)).mean() > 0.4
            half.rename(tmp_path / "hist.zarr")
            page.until("document.getElementById('banner').hidden")
            page.until("!Array.from(window.pixtally.models.source.data.values[0]).some(isNaN)")
            median = np.quantile(images, 0.5, axis=0, method="inverted_cdf")
            close_to(page.values(), median)
    finally:
        made.close()


def test_a_collection_shows_before_and_after(browser, collection_url, frames):
    with window(browser, collection_url + "?frame=30&change=equalize-opencv") as page:
        page.says("frame-name", "30 of 40")
        close_to(page.values(), frames[30])
        page.says("after-limits", "black 0, white 255")
        page.page.select_option("#style", "matlab")
        page.says("before-limits", "black 0, white 255, uint8")
        page.page.select_option("#change", "fill-median")
        page.page.fill("#where", "250")
        page.page.keyboard.press("Enter")
        page.until("location.search.includes('where=250')")
        page.page.keyboard.press("Tab")
        page.page.keyboard.press("PageUp")
        page.says("frame-name", "29 of 40")


@pytest.mark.parametrize("width", [1280, 480])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["histogram", "collection"])
def test_axe_finds_no_serious_fault(browser, url, collection_url, kind, theme, width):
    name = "axe_playwright_python.sync_playwright"
    axe = pytest.importorskip(name, reason="no axe: pip install axe-playwright-python")
    address = collection_url + "?change=clahe"
    if kind == "histogram":
        address = url + "?show=quantile&a=12,13&b=20:30,40:60&model=2"
    with window(browser, address, width=width, theme=theme) as page:
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page.page).response["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in serious] == []
