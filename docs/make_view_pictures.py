"""Takes the pictures of docs/view.md from the pages themselves: docs/images/view-*.png.

Run it from anywhere: ``python docs/make_view_pictures.py [FOLDER]``. It needs the test extra and
Debian's chromium; the collection is the demo.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pixtally as pt
from pixtally.browse.opening import open_target
from pixtally.viewer.server import Explorer

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent / "tests" / "drive")]
from chromium import open_browser, window  # noqa: E402  (lies in tests/drive)
from make_pictures import shrink  # noqa: E402  (lies beside this file)

PICTURES = {
    "view-histogram": ("background.zarr", "?a=222,168&model=2", 1280, "light"),
    "view-compare": (
        "background.zarr",
        "?show=quantile&q=0.95&a=222,168&b=60:96,80:128&log=1",
        1280,
        "dark",
    ),
    "view-frames": (
        "background-images.zarr",
        "?frame=105&change=clahe&at=400,250,170",
        1280,
        "light",
    ),
    "view-narrow": ("background.zarr", "?show=std&a=222,168", 480, "dark"),
}
"""Store, link, width in pixels, and theme of each picture."""


def make_stores() -> None:
    """Count the demo in the current folder."""
    steps: list[Any] = ["pixel_histogram", "median"]
    steps += [{"statistics": {"names": ["mean", "std", "mode", "entropy"]}}]
    source = {"demo": {"images": 900, "shape": [360, 480]}}
    output = {"store": "background.zarr"}
    pt.Pipeline({"source": source, "steps": steps, "output": output}).run(progress=False)


def take(browser: Any, name: str, folder: Path) -> None:
    """Open a page and save what it shows."""
    store, query, width, theme = PICTURES[name]
    explorer = Explorer(open_target(Path(store)))
    with window(browser, explorer.url + query, width=width, theme=theme) as page:
        page.until("!/Refining|Fitting/.test(document.body.textContent)")
        if "model=2" in query:
            page.says("model-text", "Model of A")
        page.page.wait_for_timeout(400)
        path = folder / f"{name}.png"
        page.page.screenshot(path=path, full_page=True)
    explorer.close()
    shrink(path)


if __name__ == "__main__":
    into = Path(sys.argv[1] if len(sys.argv) > 1 else DOCS / "images").absolute()
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        make_stores()
        with open_browser() as made:
            for each in PICTURES:
                take(made, each, into)
        os.chdir(into)
