"""Checking a store: every file against its record, every pixel against the number of images."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np
import xarray as xr

from pixtally import schema
from pixtally.axis import FLOWS
from pixtally.jobs import RECORDS, read_records, run_units
from pixtally.plan import grid
from pixtally.records import GATHERED, Record, files_of, mark_damaged, problems
from pixtally.store import open_histogram, open_images
from pixtally.zarr_io import StoredArray, open_array

MENDING = "run the command that made it again: it makes this part anew"


def verify_store(path: Path) -> tuple[list[str], str]:
    """Check a collection of images or a histogram.

    Damaged parts are marked in the store, where it can be written, so that the next run of the
    command that made it makes them again.

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
    found = _file_problems(path, records)
    if not found and not hist.attrs["weighted"]:
        found = _decoded_sums(path, hist)
    pixels = math.prod(n for d, n in hist[schema.COUNTS].sizes.items() if d != schema.BIN)
    return found, f"{_count_files(records)} files and the sums of {pixels} pixels"


def _has_lost_records(path: Path, records: dict[str, Record]) -> bool:
    return not records and (path / RECORDS / "job.json").exists()


def _count_files(records: dict[str, Record]) -> int:
    return sum(len(files_of(record)) for record in records.values())


def _file_problems(path: Path, records: dict[str, Record]) -> list[str]:
    """Compare every file with its record, and mark the units of those that differ."""
    if _has_lost_records(path, records):
        return [f"{path / RECORDS / GATHERED} cannot be read; make the store again with --restart"]
    found = problems(path, records)
    with contextlib.suppress(OSError):  # a store that cannot be written is reported on as well
        mark_damaged(path, found)
    return sorted(f"{line}; {MENDING}" for lines in found.values() for line in lines)


def _decoded_sums(path: Path, hist: xr.Dataset) -> list[str]:
    """Return the problems of the sums, or that they cannot be had."""
    try:
        return _sum_problems(hist)
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return [f"the counts of {path} cannot be decoded: {reason}; count again with --restart"]


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
    """Compare every shard with its record; without records decode it, chunk checksums and all."""
    images = open_images(path)
    records = read_records(path)
    if _count_files(records) or _has_lost_records(path, records):
        return _file_problems(
            path, records
        ), f"{images.shape[0]} images in {_count_files(records)} files"
    stored = StoredArray(path, str(images.name))
    shards = stored.shards or stored.chunks
    regions = list(grid(stored.shape, shards))
    found = run_units(_shard_problem, regions, path=str(path), name=stored.name, shards=shards)
    lines = sorted(line for _, line in found if line)
    return lines, f"{stored.shape[0]} images in {len(regions)} shards"


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
