"""How soon the command line answers: --help, info, the kernels of a first run.

``pytest tests/benchmarks/test_command_line.py -s``
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pixtally as pt

ROUNDS = 11
PROGRAM = Path(sys.executable).with_name("pixtally")

COMPILE = """
import numpy as np, pixtally as pt, sys
from pixtally.histogram import prepare
from pixtally.node import rehearse, take_compile_seconds
from pixtally.pipeline import Pipeline
from pixtally.step_rehearsal import rehearse_steps
from pixtally.tiles import count_tile, miniature

dtype, n = sys.argv[2], 2000
steps = Pipeline.from_yaml(sys.argv[1]).spec.steps
rehearse(rehearse_steps, steps, ".", (3, 48, 56), dtype, False, n)
images = np.zeros((n, 8, 8), dtype)
bins = {} if dtype == "uint8" else {"bins": 256, "range": (0, 1)}
tally = prepare(images, **bins)
rehearse(count_tile, miniature(tally.task(next(tally.plan.tile_slices()), 0)[0]))
print(take_compile_seconds())
"""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    images = np.random.default_rng(0).integers(0, 256, (200, 256, 256), "uint8")
    pt.write_images(images, folder / "images.zarr")
    pt.write_histogram(pt.open_images(folder / "images.zarr"), folder / "hist.zarr")
    return folder


def timed(*arguments: str | Path) -> tuple[float, float]:
    """Return the medians of the time and of the processor time, after one round to warm up."""
    found = []
    for _ in range(ROUNDS + 1):
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([PROGRAM, *arguments], check=True, capture_output=True)
        wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((wall, spent))
    return tuple(statistics.median(column) for column in zip(*found[1:], strict=True))


def test_answers(stores):
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, arguments in {
        "--help": ["--help"],
        "info of a histogram": ["info", stores / "hist.zarr"],
        "info of images": ["info", stores / "images.zarr"],
    }.items():
        wall, spent = timed(*arguments)
        print(f"{name:24s} {wall:.2f} s, {spent:.2f} s of processor")


@pytest.mark.parametrize(
    ("spec", "dtype"),
    [
        ("quickstart.yaml", "uint8"),
        ("quickstart.yaml", "uint16"),
        ("background.yaml", "uint8"),
    ],
)
def test_compiling(tmp_path, spec, dtype):
    path = Path(__file__).parents[2] / "pipelines" / spec
    cold, spent_cold = _run(path, dtype, tmp_path)
    warm, spent_warm = _run(path, dtype, tmp_path)
    assert warm == 0, "the second run finds everything in the cache"
    print(
        f"\n{spec} on {dtype}: {cold:.1f} s compiling by the clock, "
        f"{spent_cold - spent_warm:.1f} s of processor more than with a full cache "
        f"({spent_warm:.1f} s, most of it imports)"
    )


def _run(path: Path, dtype: str, cache: Path) -> tuple[float, float]:
    """Rehearse a pipeline in a new process; return seconds of compiling and of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(
        [sys.executable, "-c", COMPILE, path, dtype],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(out.stdout), after.ru_utime - before.ru_utime
