"""Appending from files: what is not Zarr yet is ingested beside the histogram first."""

from __future__ import annotations

import shutil
from os import PathLike
from pathlib import Path

from pixtally.errors import PixtallyError
from pixtally.ingest import ingest_images
from pixtally.store import open_histogram, open_images
from pixtally.write import append_images


def append_sources(
    store: str | PathLike[str],
    sources: list[str],
    *,
    gray: bool = False,
    variable: str | None = None,
) -> tuple[int, int]:
    """Count images of any source into a histogram, those that it does not hold yet.

    Parameters
    ----------
    store : path
        A histogram.
    sources : list of str
        One Zarr or NetCDF of images, or files as for `ingest`.
    gray : bool
        Turn colour into gray while ingesting.
    variable : str, optional
        Of a Zarr or NetCDF.

    Returns
    -------
    before, after : int
        Images counted.

    Raises
    ------
    PixtallyError
        As `ingest` and `append_images`.
    """
    hist = Path(store)
    before = int(open_histogram(hist).attrs["n_images"])
    if len(sources) == 1 and _is_store(Path(sources[0])):
        after = append_images(hist, open_images(sources[0], variable)).attrs["n_images"]
        return before, int(after)
    if variable is not None:
        raise PixtallyError("--variable goes with one Zarr or NetCDF; files name it as file::name")
    beside = hist.with_name(f"{hist.stem}-appending.zarr")
    made = ingest_images(sources, beside, gray=gray)
    after = append_images(hist, open_images(made.dest)).attrs["n_images"]
    shutil.rmtree(beside)
    return before, int(after)


def _is_store(path: Path) -> bool:
    return (path / "zarr.json").exists() or (path / ".zgroup").exists() or path.suffix == ".nc"
