"""A few images of any source, read without ingesting the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.errors import PixtallyError
from pixtally.readers import UnreadableError, read_images
from pixtally.sources import Source, list_sources
from pixtally.store import open_images

Choose = Callable[[int], Sequence[int]]
"""From how many images there are to the places of those wanted, in order."""


def one_at(place: int) -> Choose:
    """Choose a single image; negative places count from the end.

    Raises
    ------
    PixtallyError
        When there is no such image.
    """

    def choose(n: int) -> Sequence[int]:
        if not -n <= place < n:
            raise PixtallyError(f"there is no image {place}; the source has 0…{n - 1}")
        return [place % n]

    return choose


def evenly(most: int) -> Choose:
    """Choose at most so many images, evenly spaced."""

    def choose(n: int) -> Sequence[int]:
        return sorted({round(p) for p in np.linspace(0, n - 1, min(n, max(1, most)))})

    return choose


def glance(names: Sequence[str], choose: Choose, variable: str | None = None) -> xr.DataArray:
    """Read some images of a store or of files.

    Parameters
    ----------
    names : sequence of str
        One Zarr or NetCDF of images, or files, folders and globs as for `ingest`.
    choose : callable
        Which images: `one_at` or `evenly`.
    variable : str, optional
        Of a Zarr or NetCDF.

    Returns
    -------
    DataArray, shape (image, y, x) or (image, channel, y, x)
        With ``image_id``, in memory.

    Raises
    ------
    PixtallyError
        When there is no such image or it cannot be read.
    """
    first = Path(names[0])
    if len(names) == 1 and (first.suffix == ".nc" or (first / "zarr.json").exists()):
        images = open_images(first, variable)
        return images.isel(image=list(choose(images.sizes["image"]))).compute()
    sources, left_out = list_sources(list(names))
    if left_out:
        raise PixtallyError(f"{left_out[0].image} {left_out[0].reason}")
    ends = np.cumsum([s.images for s in sources])
    chosen = [_locate(sources, ends, k) for k in choose(int(ends[-1]))]
    frames = [_read(source, k) for source, k in chosen]
    if len({(f.shape, f.dtype) for f in frames}) > 1:
        found = ", ".join(sorted({f"{f.shape} {f.dtype}" for f in frames}))
        raise PixtallyError(f"the images differ in shape or type ({found}); name those of one kind")
    stack = np.stack(frames)
    dims = ("image", "y", "x") if stack.ndim == 3 else ("image", "y", "x", "channel")
    ids = [source.image_id(k) for source, k in chosen]
    images = xr.DataArray(stack, {"image_id": ("image", ids)}, dims, name="images")
    return images.transpose("image", "channel", ...) if stack.ndim == 4 else images


def _locate(sources: list[Source], ends: NDArray[np.int64], place: int) -> tuple[Source, int]:
    number = int(np.searchsorted(ends, place, side="right"))
    return sources[number], place - int(ends[number] - sources[number].images)


def _read(source: Source, index: int) -> NDArray[np.generic]:
    found = next(read_images(source.path, source.inner, index, index + 1, source.sequential))
    if isinstance(found, UnreadableError):
        raise PixtallyError(f"{source.image_id(index)} {found}")
    return np.asarray(found)
