"""How soon the page of `pixtally view` shows a picture and answers a tap, in a real browser."""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1] / "drive"))

from chromium import Window, open_browser, window

import pixtally as pt
from pixtally.browse.opening import open_target
from pixtally.demo import demo_image
from pixtally.viewer.server import Explorer

SHAPE, DRAWN, IMAGES = (1500, 1500), 16, 1008


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A histogram of 1500×1500 pixels and 256 bins: 576 million counts of 16 bits."""
    folder = tmp_path_factory.mktemp("big")
    stack = np.stack([demo_image(k * 7, DRAWN * 7, SHAPE) for k in range(DRAWN)])
    many = da.concatenate([da.from_array(stack, chunks=(DRAWN, -1, -1))] * (IMAGES // DRAWN))
    images = xr.DataArray(many, dims=("image", "y", "x"))
    pt.write_histogram(images, folder / "hist.zarr", bins=256, range=(0, 256), progress=False)
    return folder / "hist.zarr"


ANSWER = """(text) => {
  const table = document.getElementById("summary");
  const seen = new MutationObserver(() => {
    if (!table.textContent.includes(text)) return;
    seen.disconnect();
    // Drawn after the frame that follows the change.
    const now = () => { window.answered = performance.now(); };
    requestAnimationFrame(() => requestAnimationFrame(now));
  });
  seen.observe(table, {childList: true, subtree: true});
  window.answered = 0;
  const tapped = () => { window.tapped = performance.now(); };
  document.addEventListener("pointerup", tapped, {capture: true, once: true});
}"""


def tap_ms(page: Window, y: int, x: int) -> float:
    """Return the milliseconds from lifting the finger to the drawn histogram."""
    page.page.evaluate(ANSWER, f"y {y}, x {x}")
    page.tap(y, x)
    page.until("window.answered > 0")
    return float(page.page.evaluate("window.answered - window.tapped"))


def finished(page: Window) -> None:
    page.until("!document.getElementById('status').textContent.includes('Refining')")


def measure(store: Path, label: str) -> None:
    rng = np.random.default_rng(0)
    with open_browser() as browser:
        firsts, wholes, taps, early = [], [], [], []
        for _ in range(3):
            explorer = Explorer(open_target(store))
            with window(browser, explorer.url) as page:
                firsts.append(page.page.evaluate("window.pixtally.first"))
                early.append(tap_ms(page, 700, 650))
                finished(page)
                wholes.append(page.page.evaluate("performance.now()"))
                for y, x in rng.integers(10, 1490, (10, 2)):
                    taps.append(tap_ms(page, int(y), int(x)))
                    time.sleep(0.4)
            explorer.close()
    rows = {
        "first picture": firsts,
        "all of the picture": wholes,
        "tap": taps,
        "tap while the picture is computed": early,
    }
    print(f"\n{label}, load {os.getloadavg()[0]:.1f}")
    for name, found in rows.items():
        least, middle, worst = min(found), statistics.median(found), max(found)
        print(f"  {name:<34} least {least:.0f} ms, median {middle:.0f}, worst {worst:.0f}")


def test_without_statistics(store: Path) -> None:
    measure(store, "no statistics beside the store")


def test_with_statistics(store: Path) -> None:
    hist = pt.open_histogram(store)
    found = hist.tally.statistics(["median", "mean", "std", "mode", "entropy"]).compute()
    found = found.assign_attrs(history=hist.attrs["history"])
    found.to_zarr(store.with_name("hist-statistics.zarr"), zarr_format=3, consolidated=False)
    measure(store, "statistics beside the store")
