"""The histogram of a pixel or of a region summed up, by coordinate or position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from pixtally.axis import FLOWS
from pixtally.errors import PixtallyError
from pixtally.schema import BIN, COUNTS, check_histogram

WHOLE = "all pixels"


def select(hist: xr.Dataset, place: Mapping[str, Any]) -> tuple[xr.Dataset, str]:
    """Return the histogram of one pixel or region, and what to call it.

    Parameters
    ----------
    hist : Dataset
        A per-pixel histogram.
    place : mapping
        A number or a slice for every pixel dimension: by the nearest coordinate where the images
        have one, else by position. Slices are summed up. Without any, all pixels are.

    Returns
    -------
    Dataset
        ``counts (bin)``, ``underflow``, ``overflow``, ``invalid ()``.
    str

    Raises
    ------
    PixtallyError
        When a dimension is missing, unknown, or nothing lies inside.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> hist = pt.pixel_histogram(np.arange(24, dtype="uint8").reshape(2, 3, 4))
    >>> one, name = select(hist, {"y": 1, "x": slice(0, 2)})
    >>> int(one.counts.sum()), name
    (4, 'y 1, x 0…1')
    """
    check_histogram(hist)
    dims = [str(d) for d in hist[COUNTS].dims if d != BIN]
    given = dict(place) or {d: slice(None) for d in dims}
    given = {**{d: 0 for d in dims if hist.sizes[d] == 1 and d not in given}, **given}
    if set(given) != set(dims):
        raise PixtallyError(
            f"a pixel needs {', '.join(f'{d}=' for d in dims)}; got "
            f"{', '.join(f'{d}=' for d in place)}; sum over a dimension with "
            f"{dims[-1]}=slice(None)"
        )
    name = ", ".join(_name(hist, d, given[d]) for d in dims if place) or WHOLE
    for d in dims:
        hist = _cut(hist, d, given[d])
    return _summed(hist), name


def pixel_list(place: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one place for each pixel, where dimensions are given as lists of equal length.

    Raises
    ------
    PixtallyError
        When the lists are not of one length.

    Examples
    --------
    >>> pixel_list({"y": [1, 2], "x": 7})
    [{'y': 1, 'x': 7}, {'y': 2, 'x': 7}]
    """
    lists = {d: np.ravel(v).tolist() for d, v in place.items() if np.ndim(v) > 0}
    sizes = {d: len(v) for d, v in lists.items()}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{d} has {n}" for d, n in sizes.items())
        raise PixtallyError(f"several pixels are lists of one length; {found}")
    if not lists:
        return [dict(place)]
    return [
        {d: lists[d][k] if d in lists else v for d, v in place.items()}
        for k in range(next(iter(sizes.values())))
    ]


def _name(hist: xr.Dataset, dim: str, at: Any) -> str:
    if not isinstance(at, slice):
        return f"{dim} {at:g}" if isinstance(at, int | float | np.number) else f"{dim} {at}"
    part = hist[dim].sel({dim: at}) if dim in hist.indexes else np.arange(hist.sizes[dim])[at]
    values = np.asarray(part)
    return f"{dim} {values[0]}…{values[-1]}" if values.size else f"{dim} none"


def _cut(hist: xr.Dataset, dim: str, at: Any) -> xr.Dataset:
    """Select along one dimension; a slice by coordinate holds both its ends, as in xarray."""
    size = hist.sizes[dim]
    if isinstance(at, slice):
        part = hist.sel({dim: at}) if dim in hist.indexes else hist.isel({dim: at})
        if not part.sizes[dim]:
            raise PixtallyError(f"{dim}={at.start}:{at.stop} holds no pixel; it has 0…{size - 1}")
        return part
    if dim in hist.indexes:
        nearest = "nearest" if hist[dim].dtype.kind in "iuf" else None
        return hist.sel({dim: at}, method=nearest)
    if not -size <= at < size:
        raise PixtallyError(f"{dim}={at} is outside the image; it has 0…{size - 1}")
    return hist.isel({dim: int(at)})


def _summed(hist: xr.Dataset) -> xr.Dataset:
    """Add up what is left of the pixel dimensions."""
    dims = [d for d in hist[COUNTS].dims if d != BIN]
    if not dims:
        return hist
    wide = np.float64 if hist[COUNTS].dtype.kind == "f" else np.uint64
    summed = {name: hist[name].sum(dims, dtype=wide, keep_attrs=True) for name in (COUNTS, *FLOWS)}
    return hist.drop_dims(dims).assign(summed)
