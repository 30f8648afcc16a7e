"""Colour tables: of matplotlib's colormaps by name or object, or given as an array."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixtally.errors import PixtallyError
from pixtally.kernels.palette import MAX_COLOURS


class ColourTable(NamedTuple):
    """The colours of a map, and three more for values below it, above it and NaN.

    Attributes
    ----------
    name : str
    bytes : ndarray of uint8, shape (n + 3, 4)
        RGBA, 0…255.
    floats : ndarray of float64, shape (n + 3, 4)
        RGBA, 0…1.
    """

    name: str
    bytes: NDArray[np.uint8]
    floats: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Number of colours without the last three."""
        return len(self.bytes) - 3


def colour_table(cmap: Any) -> ColourTable:
    """Return the colours of a colormap.

    Parameters
    ----------
    cmap : str, matplotlib Colormap, or array of shape (n, 3) or (n, 4)
        An array is uint8, or floats in 0…1, from the lowest value to the highest.

    Raises
    ------
    PixtallyError
        For an unknown name (with those near it) or an array of another shape or range.

    Examples
    --------
    >>> colour_table("jet").size
    256
    """
    if isinstance(cmap, str):
        return _named(cmap)
    if hasattr(cmap, "N") and callable(cmap):
        return _sampled(cmap)
    return _given(np.asarray(cmap))


def _named(name: str) -> ColourTable:
    import matplotlib

    known = list(matplotlib.colormaps)
    if name not in known:
        near = get_close_matches(name.lower(), known, n=3, cutoff=0.5)
        hint = f"near: {', '.join(near)}" if near else "such as viridis, jet, gray"
        raise PixtallyError(f"there is no colormap {name!r}; {hint} (or pass an (n, 3) array)")
    return _sampled(matplotlib.colormaps[name])


def _sampled(cmap: Any) -> ColourTable:
    places = np.arange(-1, cmap.N + 1)
    # Integers index the table: -1 is the colour below it, n the colour above it.
    order = [*range(1, cmap.N + 1), 0, cmap.N + 1]
    as_bytes, as_floats = (
        np.concatenate([cmap(places, bytes=b)[order], np.array([cmap(np.nan, bytes=b)])])
        for b in (True, False)
    )
    return ColourTable(str(cmap.name), as_bytes.astype(np.uint8), as_floats.astype(np.float64))


def _given(table: NDArray[Any]) -> ColourTable:
    if table.ndim != 2 or table.shape[1] not in (3, 4) or not 1 <= len(table) <= MAX_COLOURS:
        raise PixtallyError(
            f"the colour table has shape {table.shape}; it is (n, 3) or (n, 4), one colour a row, "
            f"n up to {MAX_COLOURS}: strip.reshape(-1, 3)"
        )
    if table.dtype == np.uint8:
        as_bytes, as_floats = _closed(table, 255), _closed(table / 255.0, 1.0)
    elif table.dtype.kind == "f" and ((table >= 0) & (table <= 1)).all():
        as_floats = _closed(table.astype(np.float64), 1.0)
        as_bytes = (as_floats * 255).astype(np.uint8)  # truncated, as matplotlib does
    else:
        raise PixtallyError(
            f"the colour table is {table.dtype} from {table.min()} to {table.max()}; use uint8, "
            "or floats from 0 to 1"
        )
    return ColourTable("table", as_bytes.astype(np.uint8), as_floats.astype(np.float64))


def _closed(table: NDArray[Any], opaque: float) -> NDArray[Any]:
    """Add alpha where there is none, the end colours for outliers, and nothing for NaN."""
    if table.shape[1] == 3:
        table = np.column_stack([table, np.full(len(table), opaque)])
    return np.concatenate([table, table[:1], table[-1:], np.zeros((1, 4))])
