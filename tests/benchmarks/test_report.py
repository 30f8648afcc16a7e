"""A report on 1500×1500 pixels and 256 bins: how long it is made, how large, how soon it opens.

``pytest tests/benchmarks/test_report.py -s``
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

import pixtally as pt
from pixtally.demo import demo_image
from pixtally.zarr_io import create_array, open_array

MAKE = """
import sys, time, re
begin = time.perf_counter()
import pixtally as pt
pt.report(sys.argv[1], sys.argv[2])
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(time.perf_counter() - begin, int(peak) / 1024)
"""


def test_large_report(tmp_path):
    images, side = 300, 1500
    path = tmp_path / "images.zarr"
    create_array(
        path, "images", shape=(images, side, side), dtype="u1", chunks=(60, 128, 128),
        shards=(60, 1536, 1536), dims=("image", "y", "x"),
    )  # fmt: skip
    few = np.stack([demo_image(k, 20, (side, side)) for k in range(20)])
    noise = np.random.default_rng(0)
    for first in range(0, images, 60):
        part = np.concatenate([few] * 3).astype(np.int16)
        part += noise.integers(-6, 7, part.shape, dtype=np.int16)
        open_array(path, "images", "r+")[first : first + 60] = part.clip(0, 255).astype("u1")
    pt.write_histogram(pt.open_images(path), tmp_path / "hist.zarr")
    out = subprocess.run(
        [sys.executable, "-c", MAKE, tmp_path / "hist.zarr", tmp_path / "report.html"],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, peak = map(float, out.stdout.split())
    size = (tmp_path / "report.html").stat().st_size / 2**20
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"made in {seconds:.1f} s, at most {peak:.0f} MiB, {size:.1f} MiB of HTML")
    from chromium import open_browser

    with open_browser() as browser:
        for theme in ("light", "dark"):
            page = browser.new_page(color_scheme=theme)
            begin = time.perf_counter()
            page.goto((tmp_path / "report.html").as_uri(), wait_until="load")
            page.evaluate("Promise.all([...document.images].map(i => i.decode()))")
            print(f"opened, {theme}, every image decoded: {time.perf_counter() - begin:.2f} s")
            page.close()
