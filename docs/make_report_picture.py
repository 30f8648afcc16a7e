"""Takes the picture of a report in Chromium: docs/images/report-screen.png.

``python docs/make_report_picture.py``; it needs Playwright and a Chromium (Debian's, or its own).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from make_pictures import IMAGES
from playwright.sync_api import sync_playwright

import pixtally as pt
from pixtally.demo import write_demo

SIZE = {"width": 1180, "height": 790}
DEBIAN = Path("/usr/bin/chromium")


def main() -> None:
    """Make a demo histogram and its report, and look at it."""
    write_demo("frames", images=400, shape=(144, 192))
    pt.ingest("frames/*.png", "frames.zarr")
    pt.write_histogram(pt.open_images("frames.zarr"), "hist.zarr", bins=256, range=(0, 256))
    report = Path(pt.report("hist.zarr", "report.html")).absolute()
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=DEBIAN if DEBIAN.exists() else None, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(report.as_uri())
        page.wait_for_timeout(1000)
        page.screenshot(path=str(IMAGES / "report-screen.png"))
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
        os.chdir(IMAGES)
