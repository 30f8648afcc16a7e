"""Zarr metadata that others wrote: checked before anything is decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr

from pixtally.errors import PixtallyError
from pixtally.limits import check_sizes

CODE = "pickle"
"""Part of the names of codecs that run what they read."""


def check_arrays(group: str | Path) -> None:
    """Refuse a group with an array that claims what no memory holds, or that would run code.

    Raises
    ------
    PixtallyError
        Naming the array.
    """
    for name, array in zarr.open_group(str(group), mode="r").arrays():
        where = f"{group}/{name}"
        for codec in _codecs(array.metadata.to_dict()):
            if CODE in codec.lower():
                raise PixtallyError(
                    f"{where} is stored with the codec {codec!r}, which can run any code; it is "
                    "never read: write it again with another one"
                )
        if array.ndim:
            itemsize = array.dtype.itemsize
            check_sizes(where, array.shape, array.chunks, itemsize)
            if array.ndim == 1:  # xarray loads coordinates whole
                check_sizes(where, array.shape, None, itemsize)


def _codecs(metadata: Any) -> list[str]:
    """Return the names of all codecs in metadata, those within others too."""
    found: list[str] = []
    todo = [metadata.get(key) for key in ("codecs", "filters", "compressor")]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            found += [str(value[key]) for key in ("id", "name") if key in value]
            todo += value.values()
        elif isinstance(value, list | tuple):
            todo += value
        elif value is not None and not isinstance(value, str | int | float):
            found += [type(value).__name__, str(getattr(value, "codec_id", ""))]
    return found
