"""Histograms as resumable jobs: every tile is counted, written and recorded on its own."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Hashable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from dask.base import tokenize
from numpy.typing import NDArray

from pixtally import schema
from pixtally.available import current_resources
from pixtally.axis import Closed
from pixtally.errors import PixtallyError
from pixtally.histogram import Tally, prepare
from pixtally.jobs import JobFolder
from pixtally.operands import ArrayLike, as_images, image_ids
from pixtally.plan import Resources
from pixtally.store import open_histogram
from pixtally.tally_job import run_job
from pixtally.what_is_read import what_is_read
from pixtally.windows import pick

log = logging.getLogger("pixtally")


def write_histogram(
    images: ArrayLike,
    path: str | PathLike[str],
    bins: int | Sequence[float] | NDArray[Any] | None = None,
    range: tuple[float, float] | None = None,
    *,
    closed: Closed = "left",
    mask: ArrayLike | None = None,
    weights: ArrayLike | Sequence[float] | None = None,
    dim: Hashable = "image",
    restart: bool = False,
    progress: bool | None = None,
    resources: Resources | None = None,
) -> xr.Dataset:
    """Compute a per-pixel histogram into a Zarr store, as a job that can be killed and resumed.

    Runs on the Dask client in use, else on the cores of this machine. Everything is written to
    ``<path>.partial`` and renamed at the end; the same call after a crash goes on with the tiles
    that are missing, and after success it returns at once.

    Parameters
    ----------
    images, bins, range, closed, mask, weights, dim
        As for `pixel_histogram`.
    path : path
        The store to make, on a file system that all workers share.
    restart : bool
        Throw away what an earlier job left or made at `path`.
    progress : bool, optional
        Show a bar on stderr; by default on a terminal.
    resources : Resources, optional
        What the plan may use; by default that of the Dask client in use, or this machine.

    Returns
    -------
    Dataset
        The opened store.

    Raises
    ------
    PixtallyError
        As `pixel_histogram`; when `path` was made by other settings or is being written.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> hist = pt.write_histogram(np.zeros((10, 8, 8), "uint8"), "hist.zarr")
    >>> int(hist.counts[0, 0, 0])
    10
    """
    tally = prepare(
        images,
        bins,
        range,
        closed=closed,
        mask=mask,
        weights=weights,
        dim=dim,
        resources=resources or current_resources(),
    )
    with JobFolder(
        Path(path),
        job_settings(tally),
        restart=restart,
        reads=partial(what_is_read, tally.source, tally.mask, tally.weights),
        size=tally.plan.bytes_written,
    ) as job:
        if not job.complete:
            run_job(job, tally, progress)
    return open_histogram(path)


def append_images(
    path: str | PathLike[str],
    images: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    dim: Hashable = "image",
    progress: bool | None = None,
    resources: Resources | None = None,
) -> xr.Dataset:
    """Count into a stored histogram the images whose id it does not hold yet.

    The new version is built beside the old one, which stays as it is until the new one is whole:
    killed at any moment, the same call counts every image exactly once.

    Parameters
    ----------
    path : path
        A store of `write_histogram`.
    images : DataArray
        With the coordinate ``image_id``; images already counted are left out.
    mask : DataArray of bool, optional
        As for `pixel_histogram`.
    dim : hashable
        Name of the image dimension.
    progress : bool, optional
        Show a bar on stderr; by default on a terminal.
    resources : Resources, optional
        What the plan may use.

    Returns
    -------
    Dataset
        The opened store.

    Raises
    ------
    PixtallyError
        When the images have no ids, other pixels, or the histogram is weighted.
    """
    old = open_histogram(path)
    images = as_images(images, dim)
    new, mask = _not_counted(old, images, mask, dim)
    if new is None:
        log.info("all %d images are already counted in %s", images.sizes[dim], path)
        return old
    total = int(old.attrs["n_images"]) + new.sizes[dim]
    tally = prepare(
        new,
        axis=schema.axis_of(old),
        mask=mask,
        dim=dim,
        resources=resources or current_resources(),
        counted=int(old.attrs["n_images"]),
    )
    _check_same_pixels(old, tally, path)
    settings = {**job_settings(tally), "base": _digest(schema.as_text(old[schema.IMAGE_ID]))}
    log.info("%d of %d images are new, %d in all", new.sizes[dim], images.sizes[dim], total)
    with JobFolder(
        Path(path),
        settings,
        replace=True,
        reads=partial(what_is_read, tally.source, tally.mask),
        size=tally.plan.bytes_written,
    ) as job:
        run_job(job, tally, progress, base=old, base_path=str(path))
    return open_histogram(path)


def _not_counted(
    old: xr.Dataset, images: xr.DataArray, mask: Any, dim: Hashable
) -> tuple[xr.DataArray | None, Any]:
    ids, named = image_ids(images, dim)
    if not named:
        raise PixtallyError(
            "images has no coordinate 'image_id', so it is unknown which are already counted; "
            "assign one: images.assign_coords(image_id=('image', names))"
        )
    if old.attrs["weighted"]:
        raise PixtallyError("the histogram is weighted; images cannot be appended to it")
    fresh = ~np.isin(ids, schema.as_text(old[schema.IMAGE_ID]))
    if not fresh.any():
        return None, mask
    chosen = np.flatnonzero(fresh)
    if isinstance(mask, xr.DataArray) and dim in mask.dims:
        mask = mask.isel({dim: chosen})
    if fresh.all():
        return images, mask
    new = images.isel({dim: chosen})
    if images.chunks is not None:
        new = new.copy(data=pick(images.data, images.get_axis_num(dim), chosen))
    return new, mask


def _check_same_pixels(old: xr.Dataset, tally: Tally, path: Any) -> None:
    there = {str(d): n for d, n in old.counts.sizes.items() if d != schema.BIN}
    here = dict(zip(map(str, tally.pixel_dims), tally.pixel_shape, strict=True))
    if list(there.items()) != list(here.items()):
        raise PixtallyError(
            f"{path} is of images of {there}, the images have {here}; they must be of one shape"
        )


def job_settings(tally: Tally) -> dict[str, Any]:
    """Return what decides the result of a job, in JSON-able form."""
    return {
        "job": "pixel_histogram",
        "format": schema.FORMAT,
        "axis": tally.axis.to_dict(),
        "shape": list(tally.plan.shape),
        "dtype": str(tally.source.array.dtype),
        "images": tally.source.array.name,
        "mask": None if tally.mask is None else tokenize(tally.mask),
        "weights": None if tally.weights is None else tokenize(tally.weights),
        "image_ids": _digest(tally.image_ids),
    }


def _digest(ids: NDArray[Any]) -> str:
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
