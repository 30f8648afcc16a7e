"""Colormaps forwards and backwards, lazily: `apply_colormap` and `invert_colormap`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.colormaps import ColourTable, colour_table
from pixtally.errors import PixtallyError
from pixtally.kernels.palette import ColourIndex, apply_table, index_colours, invert_colours
from pixtally.transforms.frames import on_dask, real_samples, several

CHANNEL = "channel"
RGBA = ["R", "G", "B", "A"]


def apply_colormap(values: Any, cmap: Any, *, vmin: float, vmax: float) -> xr.DataArray:
    """Turn values into RGBA bytes as matplotlib does.

    Parameters
    ----------
    values : DataArray or array, any shape
        Real numbers.
    cmap : str, matplotlib Colormap, or array of shape (n, 3) or (n, 4)
        Name, object, or the colours themselves (uint8, or floats in 0…1).
    vmin, vmax : float
        The range of values that the colormap spans.

    Returns
    -------
    DataArray of uint8, shape (..., channel)
        Lazy on Dask; the dimension ``channel`` (R, G, B, A) is added last.

    Raises
    ------
    PixtallyError
        For an unknown colormap, or ``vmin >= vmax``.

    Notes
    -----
    Equal to ``matplotlib.colormaps[cmap](Normalize(vmin, vmax)(values), bytes=True)`` to the
    byte: values outside take the colormap's under and over colours, NaN its bad colour
    (transparent by default).

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> pt.apply_colormap(np.array([0.0, 1.0]), "gray", vmin=0, vmax=1).values.tolist()
    [[0, 0, 0, 255], [255, 255, 255, 255]]
    """
    table = colour_table(cmap)
    vmin, vmax = _range(vmin, vmax)
    values = _named(values, [])
    real_samples(
        values.astype("u1") if values.dtype == bool else values, "a colormap", "convert it"
    )
    data = on_dask(values)
    coloured = da.map_blocks(
        apply_table,
        data,
        table.bytes,
        vmin,
        vmax,
        dtype=np.uint8,
        new_axis=data.ndim,
        chunks=(*data.chunks, (4,)),
        meta=np.empty((0,) * (data.ndim + 1), np.uint8),
    )
    coords = {**values.coords, CHANNEL: RGBA}
    attrs = {"long_name": f"{table.name} colours of {vmin:g} to {vmax:g}"}
    return xr.DataArray(coloured, coords, (*values.dims, CHANNEL), values.name or "colours", attrs)


def invert_colormap(
    rgba: Any, cmap: Any, *, vmin: float, vmax: float, tolerance: float | None = None
) -> xr.Dataset:
    """Turn pictures made with a colormap back into values.

    Parameters
    ----------
    rgba : DataArray or array
        uint8, or floats in 0…1, with 3 or 4 channels along the dimension ``channel`` (of a plain
        array: the last). Alpha 0 marks an invalid pixel; other alphas are ignored.
    cmap : str, matplotlib Colormap, or array of shape (n, 3) or (n, 4)
        Name, object, or the colours themselves, lowest value first (a legend strip cut out of the
        picture).
    vmin, vmax : float
        The values at the ends of the colormap.
    tolerance : float, optional
        Pixels farther than this from every colour of the table become NaN; in the picture's own
        units (0…255 or 0…1). By default all are taken.

    Returns
    -------
    Dataset
        Lazy on Dask. ``value`` (float64): the middle of the nearest colour's part of the range,
        NaN where invalid or too far; ``distance`` (float32): Euclidean, from that colour, in the
        picture's units; ``ambiguous`` (bool): the colour stands in the table more than once and
        the first was taken.

    Raises
    ------
    PixtallyError
        For an unknown colormap, ``vmin >= vmax``, or pictures without 3 or 4 channels.

    Notes
    -----
    Exact table colours come back to within half a step, ``(vmax - vmin) / (2 n)``, where no
    colour is repeated. Colours are looked up in a table of all 2**24, filled as they appear: it
    takes 2 bytes for each, at most 32 MiB a process and colormap.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> picture = pt.apply_colormap(np.array([[1500.0, 4000.0]]), "jet", vmin=1500, vmax=4500)
    >>> pt.invert_colormap(picture, "jet", vmin=1500, vmax=4500)["value"].values.round().tolist()
    [[1506.0, 4002.0]]
    """
    table = colour_table(cmap)
    vmin, vmax = _range(vmin, vmax)
    if tolerance is not None and not tolerance >= 0:
        raise PixtallyError(f"tolerance={tolerance}; it is a distance, 0 or more")
    pixels = _colours(rgba)
    colours = table.bytes if pixels.dtype == np.uint8 else table.floats
    outputs = several(
        _invert_block,
        pixels.data,
        dtypes=(np.float64, np.float32, np.bool_),
        drop_axis=[pixels.ndim - 1],
        colours=np.ascontiguousarray(colours[: table.size, :3]),
        vmin=vmin,
        vmax=vmax,
        tolerance=np.inf if tolerance is None else float(tolerance),
    )
    dims, kept = pixels.dims[:-1], pixels.drop_vars(CHANNEL, errors="ignore").isel({CHANNEL: 0})
    names = ("value", "distance", "ambiguous")
    variables = {n: (dims, a, _notes(n, table)) for n, a in zip(names, outputs, strict=True)}
    return xr.Dataset(variables, kept.coords, {"colormap": table.name, "vmin": vmin, "vmax": vmax})


def _notes(name: str, table: ColourTable) -> dict[str, str]:
    return {
        "long_name": {
            "value": f"value of the nearest colour of {table.name}",
            "distance": "Euclidean distance from that colour",
            "ambiguous": "that colour stands in the table more than once",
        }[name]
    }


def _range(vmin: float, vmax: float) -> tuple[float, float]:
    if not (np.isfinite(vmin) and np.isfinite(vmax) and vmin < vmax):
        raise PixtallyError(f"vmin={vmin}, vmax={vmax}; they are finite and vmin < vmax")
    return float(vmin), float(vmax)


def _named(values: Any, last: list[str]) -> xr.DataArray:
    """Return values as a DataArray; plain ones get the package's names for their dimensions."""
    if isinstance(values, xr.DataArray):
        return values
    plain = values if isinstance(values, da.Array) else np.asarray(values)
    n = plain.ndim - len(last)
    dims = [*("image", "channel", "y", "x")[-n:]] if n in (1, 2, 4) else ["image", "y", "x"][:n]
    if n > 4 or (last and n == 4):
        dims = [f"dim_{k}" for k in range(n)]
    return xr.DataArray(plain, dims=[*dims, *last], name="values")


def _colours(rgba: Any) -> xr.DataArray:
    """Return pictures with their channels last and in one chunk."""
    pixels = _named(rgba, [CHANNEL])
    if CHANNEL not in pixels.dims or pixels.sizes[CHANNEL] not in (3, 4):
        raise PixtallyError(
            f"rgba has {dict(pixels.sizes)}; it needs a dimension 'channel' of 3 (RGB) or 4 (RGBA)"
        )
    if pixels.dtype != np.uint8 and pixels.dtype.kind != "f":
        raise PixtallyError(f"rgba is {pixels.dtype}; use uint8, or floats from 0 to 1")
    moved = pixels.transpose(..., CHANNEL)
    return moved.copy(data=on_dask(moved).rechunk({moved.ndim - 1: -1}))


@lru_cache(maxsize=8)
def _cached_index(colours: bytes, kind: str) -> ColourIndex:
    return index_colours(np.frombuffer(colours, kind).reshape(-1, 3))


def _invert_block(
    pixels: NDArray[Any], *, colours: NDArray[Any], vmin: float, vmax: float, tolerance: float
) -> tuple[NDArray[Any], ...]:
    index = _cached_index(colours.tobytes(), colours.dtype.str)
    steps = (np.arange(len(colours)) + 0.5) / len(colours)
    return invert_colours(pixels, index, vmin + steps * (vmax - vmin), tolerance)
