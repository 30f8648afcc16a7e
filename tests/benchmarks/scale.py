"""How jobs scale: a model of time, memory and bytes; what it says; a real scheduler to test it on.

python tests/benchmarks/scale.py model               the tables of docs/scale.md
python tests/benchmarks/scale.py measure             real jobs on 1 and 2 workers, against the model
python tests/benchmarks/scale.py simulate -w 64      a real scheduler, workers that only sleep
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import dask
import numpy as np

from pixtally import schema
from pixtally.layout import choose_layout
from pixtally.plan import Plan, Resources, Work, plan_histogram
from pixtally.sizes import GiB, size_text

SLOTS = 256 + 3
MEMORY = 4 * GiB


@dataclass(frozen=True)
class Rates:
    """What one core and one storage do.

    Attributes
    ----------
    count : float
        Seconds a sample to read from the page cache, decode and count.
    add : float
        Seconds a byte of partial counts to write, read and add.
    store : float
        Seconds a byte of the result to compress and write.
    ingest : float
        Seconds a sample to read a PNG, and to compress and write it.
    ratio : float
        Compressed bytes a sample.
    """

    count: float = 1.5e-9
    add: float = 2.0e-9
    store: float = 3.0e-9
    ingest: float = 12e-9
    ratio: float = 0.55


def planned(images: int, shape: tuple[int, int], workers: int) -> Plan:
    """Return the plan of counting uint8 images into 256 bins, as `pixtally plan` makes it."""
    layout = choose_layout(images, shape, 1)
    work = Work(
        shape=layout.shape,
        chunks=layout.chunks,
        itemsize=1,
        slots=SLOTS,
        counter=schema.counter_dtype(images, False).itemsize,
    )
    return plan_histogram(work, Resources(workers, 1, MEMORY))


def stages(plan: Plan, rates: Rates) -> list[tuple[int, float]]:
    """Return for every stage how many units it has, and how long one takes on its worker."""
    units = plan.tiles * plan.segments
    unit = plan.bytes_read / units * rates.count
    counts = plan.bytes_written / plan.tiles
    if plan.segments == 1:
        return [(units, unit + counts * rates.store)]
    sums = plan.tasks - units
    adding = plan.bytes_moved / sums * rates.add + plan.bytes_written / sums * rates.store
    return [(units, unit + counts * rates.add), (sums, adding)]


def ideal(stages: list[tuple[int, float]], workers: int) -> float:
    """Return the seconds that equal units take on equal workers."""
    return sum(math.ceil(n / workers) * seconds for n, seconds in stages)


def model(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    rates = Rates()
    for images in (10**5, 10**6):
        for shape in ((512, 512), (1500, 1500)):
            print_table(images, shape, rates)


def print_table(images: int, shape: tuple[int, int], rates: Rates) -> None:
    """Print what one collection takes on more and more workers."""
    raw = images * math.prod(shape)
    layout = choose_layout(images, shape, 1)
    shards = math.ceil(images / layout.shards[0])
    stored = raw * rates.ratio
    print(
        f"\n**{images:,} images of {shape[0]}×{shape[1]}**: {size_text(raw)} of samples, ", end=""
    )
    print(f"about {size_text(int(stored))} stored. Reading that takes ", end="")
    print(f"{clock(stored / 2e9)} at 2 GB/s and {clock(stored / 20e9)} at 20 GB/s, ", end="")
    print("however many workers there are.\n")
    head: tuple[str, ...] = ("workers", "tiles × segments", "tasks", "counting", "speed-up")
    head += ("partial counts", "memory a worker", "ingest of PNG")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    alone = ideal(stages(planned(images, shape, 1), rates), 1)
    for workers in (1, 2, 4, 16, 64, 256):
        plan = planned(images, shape, workers)
        seconds = ideal(stages(plan, rates), workers)
        shard = raw / shards * rates.ingest
        row = (
            str(workers),
            f"{plan.tiles} × {plan.segments}",
            str(plan.tasks),
            clock(seconds),
            f"{alone / seconds:.3g}",
            size_text(plan.bytes_moved) if plan.bytes_moved else "none",
            size_text(plan.peak_worker_bytes),
            clock(math.ceil(shards / workers) * shard),
        )
        print("| " + " | ".join(row) + " |")


def clock(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"


# The simulation -----------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """Return how long a process has computed, whatever else the machine did."""
    import psutil

    spent = psutil.Process(pid).cpu_times()
    return spent.user + spent.system


def import_all() -> None:
    """Import what units of work are made of."""
    import pixtally.tally_job  # noqa: F401


def sleep_unit(unit: object, *, seconds: float, inputs: object) -> None:
    """Take as long as a unit of the real job would."""
    time.sleep(seconds)


def simulate(arguments: argparse.Namespace) -> None:
    """Run jobs of the real number of tasks on a real scheduler whose workers sleep."""
    from distributed import Client

    workers = arguments.workers
    jobs = {
        name: make(arguments, workers)
        for name, make in (("count", counting_job), ("ingest", ingest_job))
        if name in arguments.jobs
    }
    with (
        sleeping_cluster(workers, arguments.processes) as (address, scheduler),
        Client(address) as client,
    ):
        client.wait_for_workers(workers, timeout=300)
        # As in a real run, where workers are prepared before any task.
        client.run(import_all)
        for name, job in jobs.items():
            expected = ideal([(len(units), seconds) for units, seconds in job], workers)
            before = cpu_seconds(scheduler)
            wall = run_job(job)
            busy = cpu_seconds(scheduler) - before
            tasks = sum(len(units) for units, _ in job)
            longest = max(seconds for _, seconds in job)
            print(
                f"{name}: {workers} workers, {tasks} tasks of up to {clock(longest)}: ideal "
                f"{expected:.2f} s, wall {wall:.2f} s, "
                f"overhead {(wall - expected) / wall:.1%}; "
                f"the scheduler computed {busy:.2f} s, {busy / tasks * 1e3:.2f} ms a task; "
                f"load a core: {os.getloadavg()[0] / (os.cpu_count() or 1):.1f}",
                flush=True,
            )


def counting_job(arguments: argparse.Namespace, workers: int) -> list[tuple[list, float]]:
    """Return the units of a histogram job as it makes them, with the seconds of each."""
    import dask.array as da
    import xarray as xr

    from pixtally.histogram import prepare
    from pixtally.unread import Unread

    shape = (arguments.images, *arguments.shape)
    layout = choose_layout(shape[0], shape[1:], 1)
    unread = Unread(shape, layout.chunks, "uint8")
    frames = (layout.chunks[0], *shape[1:])
    data = da.from_array(unread, chunks=frames, inline_array=True, meta=np.empty((0,), "u1"))
    images = xr.DataArray(data, dims=("image", "y", "x"))
    tally = prepare(images, 256, (0, 256), resources=Resources(workers, 1, MEMORY))
    plan = tally.plan
    parts = stages(planned(shape[0], shape[1:], workers), Rates())
    units = [
        (tally.task(tile, segment)[0], f"tile-{number}-part-{segment}", tile)
        for number, tile in enumerate(plan.tile_slices())
        for segment in range(plan.segments)
    ]
    assert len(units) == parts[0][0]
    job = [(units, parts[0][1])]
    if len(parts) > 1:
        job.append(([(f"sum-{k}",) for k in range(parts[1][0])], parts[1][1]))
    return job


def ingest_job(arguments: argparse.Namespace, workers: int) -> list[tuple[list, float]]:
    """Return the units of an ingest of PNG files: a shard each."""
    layout = choose_layout(arguments.images, arguments.shape, 1)
    step = layout.shards[0]
    shards = math.ceil(arguments.images / step)
    shards = min(shards, arguments.most)
    seconds = step * math.prod(arguments.shape) * Rates().ingest
    names = [f"/images/frame-{k:07d}.png" for k in range(step)]
    return [([(f"shard-{k}", names) for k in range(shards)], seconds)]


def run_job(job: list[tuple[list, float]]) -> float:
    """Run a job as pixtally runs it, and return its seconds."""
    from pixtally.jobs import run_units

    begin = time.perf_counter()
    for units, seconds in job:
        for _ in run_units(sleep_unit, units, seconds=seconds, inputs={}):
            pass
    return time.perf_counter() - begin


@contextlib.contextmanager
def sleeping_cluster(workers: int, processes: int):
    """Start a scheduler and some processes that hold many workers of one thread each."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as held:
        file = Path(folder, "scheduler.json")
        environment = os.environ | {
            "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
            "DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "60s",
        }
        scheduler = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1"]
        scheduler += ["--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        commands, pids = [scheduler], []
        for k in range(processes):
            share = workers // processes + (k < workers % processes)
            commands.append([sys.executable, __file__, "hold", str(file), str(share)])
        for command in commands:
            started = subprocess.Popen(
                command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            pids.append(started.pid)
            held.callback(started.wait)
            held.callback(started.kill)
            while not file.exists():
                time.sleep(0.05)
        import json

        time.sleep(0.5)
        yield json.loads(file.read_text())["address"], pids[0]


def hold(arguments: argparse.Namespace) -> None:
    """Be many workers, until killed."""
    from distributed import Worker

    async def all_of_them() -> None:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(arguments.count):
                worker = Worker(
                    scheduler_file=arguments.file, nthreads=1, memory_limit=0, dashboard=False
                )
                await held.enter_async_context(worker)
            await asyncio.Event().wait()

    with dask.config.set({"distributed.worker.profile.enabled": False}):
        asyncio.run(all_of_them())


# The measurement ----------------------------------------------------------------------------


def measure(arguments: argparse.Namespace) -> None:
    """Run real jobs on 1 and 2 workers, and print measured and modelled numbers side by side.

    One rate is measured, by a quarter of the images on one worker; everything else follows.
    """
    import pixtally as pt
    from pixtally.cluster import cluster

    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        store, less = Path(folder, "images.zarr"), Path(folder, "quarter.zarr")
        with cluster():
            pt.write_images(camera(arguments.images), store, progress=False)
            pt.write_images(camera(arguments.images // 4), less, progress=False)
        raw = arguments.images * 256 * 256
        print(f"{arguments.images} images of 256×256: {size_text(raw)} in {size_text(size(store))}")
        images = pt.open_images(store)
        rates = Rates(ratio=size(store) / raw)
        for workers in (1, 2):
            file = Path(folder, "cluster.yaml")
            file.write_text(
                "pixtally: {cluster: {class: distributed.LocalCluster, kwargs: "
                f"{{n_workers: {workers}, threads_per_worker: 1, memory_limit: 4GiB}}}}}}"
            )
            with cluster(file) as client:
                part = pt.open_images(less)
                timed(part, folder, client)
                if workers == 1:
                    seconds, _ = min(timed(part, folder, client) for _ in range(arguments.runs))
                    rates = fitted(planned(part.shape[0], (256, 256), 1), rates, seconds)
                    print(f"a quarter on 1 worker: {rates.count * 1e9:.2f} ns a sample")
                plan = planned(arguments.images, (256, 256), workers)
                found = [timed(images, folder, client) for _ in range(arguments.runs)]
                seconds, read = min(found)
                peak = max(client.run(high_water).values())
            expected = ideal(stages(plan, rates), workers)
            print(
                f"{workers} workers, {plan.tasks} tasks: {seconds:.2f} s, model {expected:.2f} s, "
                f"ratio {seconds / expected:.2f}; read {size_text(read)}, model "
                f"{size_text(int(plan.bytes_read * rates.ratio))}, ratio "
                f"{read / (plan.bytes_read * rates.ratio):.2f}; peak {size_text(peak)} a worker, "
                f"plan {size_text(plan.peak_worker_bytes)}",
                flush=True,
            )


def camera(images: int):
    """Return images of a fixed camera with noise, lazily."""
    import dask.array as da
    import xarray as xr

    y, x = np.mgrid[:256, :256]
    scene = 96 + 64 * np.sin(x / 19) * np.cos(y / 23)

    def block(block_info=None):
        (first, last), *_ = block_info[None]["array-location"]
        rng = np.random.default_rng(first)
        noise = rng.normal(0, 4, (last - first, 256, 256)).astype("f4")
        return np.clip(noise + scene, 0, 255).astype("u1")

    layout = choose_layout(images, (256, 256), 1)
    rows = da.core.normalize_chunks((layout.shards[0], 256, 256), (images, 256, 256))
    return xr.DataArray(da.map_blocks(block, chunks=rows, dtype="u1"), dims=("image", "y", "x"))


def timed(images, folder: str, client) -> tuple[float, int]:
    """Count images as a job; return the seconds, and the bytes that workers read."""
    import pixtally as pt

    before = sum(client.run(bytes_read).values())
    begin = time.perf_counter()
    pt.write_histogram(
        images, Path(folder, "hist.zarr"), 256, (0, 256), restart=True, progress=False
    )
    seconds = time.perf_counter() - begin
    return seconds, sum(client.run(bytes_read).values()) - before


def fitted(plan: Plan, rates: Rates, seconds: float) -> Rates:
    """Return the rates with the time a sample that makes the model take `seconds`."""
    rest = ideal(stages(plan, dataclasses.replace(rates, count=0.0)), 1)
    return dataclasses.replace(rates, count=(seconds - rest) / plan.bytes_read)


def bytes_read() -> int:
    """Return the bytes that this process has read from files."""
    rows = dict(row.split(": ") for row in Path("/proc/self/io").read_text().splitlines())
    return int(rows["rchar"])


def high_water() -> int:
    """Return the most memory that this process ever had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("model")
    one.set_defaults(run=model)
    two = commands.add_parser("measure")
    two.add_argument("--images", type=int, default=20_000)
    two.add_argument("--runs", type=int, default=3)
    two.add_argument("--folder", help="where the collection is made; by default in /tmp")
    two.set_defaults(run=measure)
    three = commands.add_parser("simulate")
    three.add_argument("-w", "--workers", type=int, default=64)
    three.add_argument("--processes", type=int, default=2, help="that hold the workers")
    three.add_argument("--images", type=int, default=10**6)
    three.add_argument("--shape", type=int, nargs=2, default=(1500, 1500))
    three.add_argument("--jobs", nargs="+", default=["count", "ingest"])
    three.add_argument("--most", type=int, default=20_000, help="shards of the ingest at most")
    three.set_defaults(run=simulate)
    four = commands.add_parser("hold")
    four.add_argument("file")
    four.add_argument("count", type=int)
    four.set_defaults(run=hold)
    arguments = parser.parse_args()
    if hasattr(arguments, "shape"):
        arguments.shape = tuple(arguments.shape)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
