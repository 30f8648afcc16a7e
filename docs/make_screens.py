"""Takes the pictures of the report and of the explorer in Chromium: docs/images/*-screen.png.

``python docs/make_screens.py``; it needs Playwright and a Chromium (Debian's, or Playwright's own).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from make_pictures import IMAGES, shrink

import pixtally as pt
from pixtally.demo import write_demo

SIZE = {"width": 1180, "height": 790}
MOST = 140_000


@contextmanager
def page_in_chromium() -> Iterator[Any]:
    """Yield a light page of the usual size."""
    from playwright.sync_api import sync_playwright

    debian = Path("/usr/bin/chromium")
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=debian if debian.exists() else None, args=["--no-sandbox"]
        )
        yield browser.new_page(viewport=SIZE, color_scheme="light")
        browser.close()


@contextmanager
def served() -> Iterator[str]:
    """Yield the address of ``pixtally view`` on the histogram."""
    command = [sys.executable, "-m", "pixtally.cli", "view", "hist.zarr", "--no-browser"]
    command += ["--port", "0", "--images", "frames.zarr"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield next(word for word in server.stdout.readline().split() if "://" in word)
        finally:
            server.terminate()


def take(page: Any, name: str) -> None:
    """Save what the page shows."""
    path = IMAGES / f"{name}.png"
    page.screenshot(path=str(path))
    if path.stat().st_size > MOST:
        shrink(path)


def main() -> None:
    """Make a demo histogram, its report, and look at both."""
    write_demo("frames", images=400, shape=(144, 192))
    pt.ingest("frames/*.png", "frames.zarr")
    hist = pt.write_histogram(pt.open_images("frames.zarr"), "hist.zarr", bins=256, range=(0, 256))
    report = pt.report("hist.zarr", "report.html")
    hist.close()
    with page_in_chromium() as page:
        page.goto(Path(report).absolute().as_uri())
        page.wait_for_timeout(1000)
        take(page, "report-screen")
    with served() as address, page_in_chromium() as page:
        page.goto(address)
        page.wait_for_timeout(8000)
        page.mouse.click(330, 431)
        page.wait_for_timeout(12000)
        take(page, "view-screen")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
        os.chdir(IMAGES)
