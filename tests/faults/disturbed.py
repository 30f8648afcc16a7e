"""Jobs that tests disturb: what they read, how they are run, and how workers are slowed or killed.

As a program it runs one job on a scheduler that is there already, to be killed from outside:
``python disturbed.py KIND FOLDER DEST SCHEDULER_FILE``.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
from distributed import Client, WorkerPlugin
from PIL import Image

import pixtally as pt
from pixtally import image_plan, jobs, layout, plan
from pixtally.plan import Resources
from pixtally.records import GATHERED, RECORDS
from pixtally.unit_writer import UnitWriter
from pixtally.zarr_io import create_array, open_array

KINDS = ("histogram", "append", "ingest", "equalize")
UNITS = {"histogram": 12, "append": 12, "ingest": 12, "equalize": 12}
TWO = Resources(2, 1, 2 * 2**30)


def make_small(patch) -> None:
    """Make units so small that a small collection has many."""
    patch(plan, "LEAST_COUNTERS", 1)
    patch(layout, "CHUNK_BYTES", 64)
    patch(layout, "MIN_SHARD_BYTES", 512)
    patch(layout, "MAX_SHARD_BYTES", 512)
    patch(image_plan, "MAX_SHARD_BYTES", 100)
    patch(image_plan, "SHARD_BYTES", 20_000)


def prepare(folder: Path) -> Path:
    """Make what the jobs read: files, a store of images, a histogram of half of them."""
    rng = np.random.default_rng(0)
    (folder / "frames").mkdir(parents=True)
    for k in range(24):
        image = rng.integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"frames/{k}.png")
    images = rng.integers(0, 256, (60, 64, 48), dtype=np.uint8)
    create_array(
        folder / "images.zarr", "images", shape=images.shape, dtype="u1", chunks=(20, 16, 16),
        shards=(40, 64, 48), dims=("image", "y", "x"),
    )  # fmt: skip
    open_array(folder / "images.zarr", "images", "r+")[:] = images
    pt.write_histogram(opened(folder)[:30], folder / "half.zarr", resources=TWO)
    return folder


def opened(folder: Path):
    """Open the store of images, with names."""
    images = pt.open_images(folder / "images.zarr")
    return images.assign_coords(image_id=("image", [f"{k}.png" for k in range(images.shape[0])]))


def run(kind: str, folder: Path, dest: Path) -> None:
    """Run one job on the client in use, or on threads."""
    if kind == "histogram":
        pt.write_histogram(opened(folder), dest, resources=TWO)
    elif kind == "append":
        if not dest.exists() and not Path(f"{dest}.replaced").exists():
            shutil.copytree(folder / "half.zarr", dest)
        pt.append_images(dest, opened(folder), resources=TWO)
    elif kind == "ingest":
        pt.ingest(folder / "frames", dest)
    else:
        images = pt.open_images(folder / "images.zarr", chunks=(5, 64, 48))
        pt.write_images(pt.equalize(images, "opencv"), dest, chunks=(5, 64, 48))


def result(dest: Path) -> dict[str, bytes]:
    """Return every file that holds samples, counts, labels or records."""
    return {
        str(path.relative_to(dest)): path.read_bytes()
        for path in sorted(dest.rglob("*"))
        if path.is_file() and ("/c/" in str(path.relative_to(dest)) or path.name == GATHERED)
    }


def recorded(dest: Path) -> set[str]:
    """Return the units that an unfinished job has on record."""
    return {path.stem for path in Path(f"{dest}.partial", RECORDS, "units").glob("[!.]*.json")}


class Slow(WorkerPlugin):
    """Makes units last long enough to be killed, logs each that starts, and may kill the worker.

    Parameters
    ----------
    log : str
        File that gets one byte for each unit that starts.
    die : str
        "", or where the worker kills itself, once: "shard" (after a unit wrote one of its files),
        "record" (after it wrote all, before its record), "recorded" (before anyone is told),
        "memory" (it takes more memory than it may), "always" (each time).
    """

    name = "slow"

    def __init__(self, log: str, die: str = "", seconds: float = 0.01) -> None:
        self.log, self.die, self.seconds = log, die, seconds

    def setup(self, worker) -> None:
        """Change the functions of this worker."""
        call, shard, record = _originals()
        plugin = self

        def logged(unit, **arguments):
            with open(plugin.log, "ab") as file:
                file.write(b".")
            if plugin.die == "memory" and plugin.once():
                _take_memory()
            if plugin.die == "always":
                _take_memory()
            return call(unit, **arguments)

        def slow_shard(writer, *arguments):
            time.sleep(plugin.seconds)
            found = shard(writer, *arguments)
            if plugin.die == "shard" and plugin.once():
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        def slow_record(writer, *arguments):
            time.sleep(plugin.seconds)
            if plugin.die == "record" and plugin.once():
                os.kill(os.getpid(), signal.SIGKILL)
            record(writer, *arguments)
            if plugin.die == "recorded" and plugin.once():
                os.kill(os.getpid(), signal.SIGKILL)

        jobs._call, UnitWriter.shard, UnitWriter.record = logged, slow_shard, slow_record

    def teardown(self, worker) -> None:
        """Put the functions back."""
        jobs._call, UnitWriter.shard, UnitWriter.record = _originals()

    def once(self) -> bool:
        """Tell one caller of all workers that it is its turn: the fourth that asks."""
        with open(f"{self.log}.turn", "ab") as file:
            file.write(b".")
            return file.tell() == 4


_KEPT: list = []


def _originals():
    if not _KEPT:
        _KEPT.extend((jobs._call, UnitWriter.shard, UnitWriter.record))
    return _KEPT


def _take_memory() -> None:
    taken = []
    for _ in range(40):
        taken.append(np.ones(2**24))  # 128 MiB each
        time.sleep(0.05)


def main(kind: str, folder: str, dest: str, scheduler: str) -> None:
    """Run one job as a client of a scheduler; say when it begins."""
    make_small(setattr)
    with Client(scheduler_file=scheduler):
        print("begin", flush=True)
        run(kind, Path(folder), Path(dest))


if __name__ == "__main__":
    main(*sys.argv[1:])
