"""Checking a store: every file against its record, every pixel against the number of images."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import xarray as xr

from pixtally import schema
from pixtally.axis import FLOWS
from pixtally.jobs import read_records, run_units
from pixtally.plan import grid
from pixtally.store import open_histogram, open_images
from pixtally.tally_job import checksum
from pixtally.zarr_io import StoredArray, open_array


def verify_store(path: Path) -> tuple[list[str], str]:
    """Check a collection of images or a histogram.

    Parameters
    ----------
    path : Path
        The store.

    Returns
    -------
    problems : list of str
        One line each: the file or pixels, what was found, what was expected.
    checked : str
        What was checked, in words.

    Raises
    ------
    PixtallyError
        When it is no store.
    """
    if (path / schema.COUNTS).exists():
        return _verify_histogram(path)
    return _verify_images(path)


def _verify_histogram(path: Path) -> tuple[list[str], str]:
    hist = open_histogram(path)
    records = read_records(path)
    files = {name: found for r in records.values() for name, found in r.get("files", {}).items()}
    problems = [
        problem for name, found in files.items() if (problem := _file_problem(path, name, found))
    ]
    if not problems and not hist.attrs["weighted"]:
        problems = _sum_problems(hist)
    pixels = math.prod(n for d, n in hist[schema.COUNTS].sizes.items() if d != schema.BIN)
    return problems, f"{len(files)} files and the sums of {pixels} pixels"


def _file_problem(path: Path, name: str, expected: list[int] | None) -> str | None:
    found = checksum(path / name)
    if found == expected:
        return None
    if found is None:
        return f"{path / name} is missing; it had {expected and expected[0]} bytes"
    if expected is None:
        return f"{path / name} was not there when the tile was written; remove it"
    if found[0] != expected[0]:
        return f"{path / name} has {found[0]} bytes, was written with {expected[0]}"
    return f"{path / name} was changed since it was written (checksum differs)"


def _sum_problems(hist: xr.Dataset) -> list[str]:
    """Name the pixels whose counts and flows do not add up to the number of images."""
    images = int(hist.attrs["n_images"])
    found = hist[schema.COUNTS].sum(schema.BIN, dtype=np.uint64)
    for flow in FLOWS:
        found = found + hist[flow]
    wrong = np.argwhere((found != images).values)
    if not len(wrong):
        return []
    first = ", ".join(f"{d}={i}" for d, i in zip(found.dims, wrong[0], strict=True))
    return [
        f"{len(wrong)} pixels do not add up to {images} images, the first at {first}; count again "
        "with --restart"
    ]


def _verify_images(path: Path) -> tuple[list[str], str]:
    """Decode every shard; every chunk in it carries a checksum of its samples."""
    images = open_images(path)
    stored = StoredArray(path, str(images.name))
    shards = stored.shards or stored.chunks
    regions = list(grid(stored.shape, shards))
    found = run_units(_shard_problem, regions, path=str(path), name=stored.name, shards=shards)
    problems = sorted(problem for _, problem in found if problem)
    return problems, f"{stored.shape[0]} images in {len(regions)} shards"


def _shard_problem(
    region: tuple[slice, ...], *, path: str, name: str, shards: tuple[int, ...]
) -> str | None:
    """Decode one shard a few images at a time, and name its file where that fails."""
    array = open_array(path, name)
    step = array.chunks[0]
    try:
        for first in range(region[0].start, region[0].stop, step):
            array[(slice(first, min(first + step, region[0].stop)), *region[1:])]
    except Exception as error:
        file = "/".join(str(s.start // n) for s, n in zip(region, shards, strict=True))
        reason = " ".join(str(error).split())[:120]
        return f"{path}/{name}/c/{file} cannot be decoded: {reason}; ingest again with --restart"
    return None
