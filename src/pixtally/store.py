"""Opening stores: collections of images as DataArrays, histograms as Datasets."""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path
from typing import Any

import dask.array as da
import xarray as xr

from pixtally import schema
from pixtally._version import __version__
from pixtally.errors import PixtallyError
from pixtally.jobs import partial_path
from pixtally.sizes import MiB
from pixtally.zarr_io import StoredArray
from pixtally.zarr_trust import check_arrays

FRAME_BLOCK = 160 * MiB
"""Whole frames are one Dask chunk up to this size, as most work on images needs them whole."""


def open_images(
    path: str | PathLike[str],
    variable: str | None = None,
    *,
    chunks: tuple[int, ...] | None = None,
) -> xr.DataArray:
    """Open a collection of images as a lazy DataArray.

    Parameters
    ----------
    path : path
        A Zarr group made by `ingest`, or any Zarr or NetCDF that xarray opens.
    variable : str, optional
        The variable; by default ``images``, or the only one of three or more dimensions.
    chunks : tuple of int, optional
        Dask chunks; by default the stored chunks joined to whole frames.

    Returns
    -------
    DataArray
        ``(image, y, x)`` or ``(image, channel, y, x)`` with the coordinate ``image_id``.

    Raises
    ------
    PixtallyError
        When there is no such store or no images in it.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> np.save("frames.npy", np.zeros((10, 8, 8), "uint8"))
    >>> _ = pt.ingest("frames.npy", "frames.zarr")
    >>> pt.open_images("frames.zarr").dims
    ('image', 'y', 'x')
    """
    group = Path(path)
    dataset = _open_dataset(group)
    _check_version(dataset, group)
    name = variable or _only_variable(dataset, group)
    if name not in dataset:
        there = ", ".join(map(str, dataset.data_vars)) or "none"
        raise PixtallyError(f"{group} has no variable {name!r}; it has {there}")
    images = dataset[name]
    if _is_plain(images, group / name):
        stored = StoredArray(group, name)
        wanted = chunks or _frame_chunks(stored)
        images = images.copy(data=da.from_array(stored, chunks=wanted, inline_array=True))
    else:
        images = images.chunk(dict(zip(images.dims, chunks, strict=True)) if chunks else {})
    if "image" not in images.dims and images.ndim >= 3:
        images = images.rename({images.dims[0]: "image"})
    return images


def _open_dataset(path: Path) -> xr.Dataset:
    if not path.exists():
        unfinished = partial_path(path)
        hint = (
            f"{unfinished} is unfinished: run the same command again to go on"
            if unfinished.exists()
            else "name an existing Zarr or NetCDF"
        )
        raise PixtallyError(f"{path} does not exist; {hint}")
    try:
        if path.is_dir():
            check_arrays(path)
            found: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=_is_consolidated(path))
            return found
        return xr.open_dataset(path)
    except PixtallyError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise PixtallyError(
            f"{path} cannot be opened as Zarr or NetCDF: {reason}; make it again, or name another"
        ) from error


def _check_version(dataset: xr.Dataset, path: Path) -> None:
    """Refuse a collection of another version of the format; what others wrote names none."""
    found = dataset.attrs.get("pixtally_format", schema.IMAGES_FORMAT)
    if found != schema.IMAGES_FORMAT:
        raise PixtallyError(
            f"{path} has format version {found}, this pixtally ({__version__}) reads "
            f"{schema.IMAGES_FORMAT}; read it with the pixtally that wrote it, or make it again"
        )


def _is_consolidated(path: Path) -> bool | None:
    """Tell xarray not to look for metadata that is not there, which makes it warn."""
    metadata = path / "zarr.json"
    return None if not metadata.exists() else "consolidated_metadata" in metadata.read_text("utf-8")


def _only_variable(dataset: xr.Dataset, path: Path) -> str:
    if "images" in dataset:
        return "images"
    if "counts" in dataset:
        raise PixtallyError(f"{path} is a histogram, not a collection of images")
    found = [str(n) for n, v in dataset.data_vars.items() if v.ndim >= 3]
    if len(found) != 1:
        what = ", ".join(found) or "no variable of three or more dimensions"
        raise PixtallyError(f"{path} has {what}; name the images: variable='...'")
    return found[0]


def _is_plain(images: xr.DataArray, path: Path) -> bool:
    """Tell whether what is stored are the samples themselves (not packed or masked)."""
    coded = {"scale_factor", "add_offset", "_FillValue", "missing_value", "units"}
    return (path / "zarr.json").exists() and not coded & set(images.encoding)


def _frame_chunks(stored: StoredArray) -> tuple[int, ...]:
    """Join stored chunks to whole frames, or to bands of frames that are large."""
    images, *pixels = stored.chunks
    for d in reversed(range(len(pixels))):
        others = (
            images * stored.dtype.itemsize * math.prod(p for k, p in enumerate(pixels) if k != d)
        )
        most = max(1, FRAME_BLOCK // (others * pixels[d]))
        pixels[d] = min(stored.shape[d + 1], pixels[d] * most)
    return (images, *pixels)


def open_histogram(path: str | PathLike[str]) -> xr.Dataset:
    """Open a stored histogram lazily.

    Parameters
    ----------
    path : path
        Made by `write_histogram`, or by ``to_zarr`` of a histogram.

    Returns
    -------
    Dataset
        On Dask; ``.tally`` has what follows from it.

    Raises
    ------
    PixtallyError
        When it does not exist, is no histogram, or has another format version.
    """
    store = Path(path)
    dataset = _open_dataset(store)
    schema.check_histogram(dataset, str(store))
    counts: Any = dataset[schema.COUNTS].encoding
    shards = counts.get("shards") or counts.get("chunks")
    pixels = dict(zip(dataset[schema.COUNTS].dims, shards, strict=True)) if shards else {}
    pixels.pop(schema.BIN, None)
    coords = [n for n in (schema.BOUNDS, schema.IMAGE_ID) if n in dataset.data_vars]
    dataset = dataset.set_coords(coords)
    try:
        dataset = dataset.assign_coords({n: c.load() for n, c in dataset.coords.items()})
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PixtallyError(
            f"the coordinates of {store} cannot be read: {reason}; make it again"
        ) from error
    return dataset.chunk({**pixels, schema.BIN: -1})
