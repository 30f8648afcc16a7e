"""What the metadata of a Zarr v3 store says, read as the JSON that it is, without zarr itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pixtally.records import read_object

CODED = {"scale_factor", "add_offset", "_FillValue", "missing_value"}
"""Attributes with which xarray computes other values, of another type, from those stored."""

MOST_TEXT = 2**25
"""Bytes of one chunk of texts above which zarr is asked."""

LENGTH = 4
"""Bytes of the numbers in text that the codec vlen-utf8 stores."""


@dataclass(frozen=True)
class ArrayMetadata:
    """The facts of an array.

    Attributes
    ----------
    shape, chunks : tuple of int
    shards : tuple of int or None
    dtype : str
    dims : tuple of str
    codecs : list of str
        Names of the codecs of a chunk.
    attrs : dict
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    dtype: str
    dims: tuple[str, ...]
    codecs: list[str] = field(default_factory=list)
    attrs: dict[str, Any] = field(default_factory=dict)


def group_attributes(path: Path) -> dict[str, Any] | None:
    """Return the attributes of a group; None where there is none of Zarr v3."""
    found = read_object(path / "zarr.json")
    if found is None or found.get("node_type") != "group":
        return None
    attributes = found.get("attributes", {})
    return attributes if isinstance(attributes, dict) else None


def read_array(path: Path) -> ArrayMetadata | None:
    """Return the facts of an array; None where they are not as plain as pixtally writes them."""
    found = read_object(path / "zarr.json")
    try:
        return _array(found) if found is not None else None
    except (LookupError, TypeError, AttributeError, ValueError):
        return None


def _array(found: dict[str, Any]) -> ArrayMetadata | None:
    outer = tuple(found["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = found["codecs"]
    sharded = codecs[0]["name"] == "sharding_indexed"
    chunks = tuple(codecs[0]["configuration"]["chunk_shape"]) if sharded else outer
    dims, dtype = found.get("dimension_names"), found["data_type"]
    shape = tuple(found["shape"])
    if not isinstance(dtype, str) or not dims or CODED & set(found.get("attributes", {})):
        return None
    if not len(shape) == len(dims) == len(chunks) == len(outer) or not _are_sizes(
        [*shape, *(n - 1 for n in (*chunks, *outer))]
    ):
        return None
    if dtype != "string":
        np.dtype(dtype)
    return ArrayMetadata(
        shape=shape,
        chunks=chunks,
        shards=outer if sharded else None,
        dtype=dtype,
        dims=tuple(str(d) for d in dims),
        codecs=[codec["name"] for codec in codecs],
        attrs=found.get("attributes", {}),
    )


def _are_sizes(numbers: list[Any]) -> bool:
    """Tell whether all are whole numbers from 0 to what NumPy can index."""
    return all(type(n) is int and 0 <= n < 2**62 for n in numbers)


def text_ends(path: Path) -> tuple[str, str] | None:
    """Return the first and the last text of an array of texts; None where it must be asked of zarr.

    Parameters
    ----------
    path : Path
        A one-dimensional array of Zarr's type ``string``, as plain or compressed by zstd.
    """
    array = read_array(path)
    if array is None or array.dtype != "string" or len(array.shape) != 1 or not array.shape[0]:
        return None
    if array.codecs not in (["vlen-utf8"], ["vlen-utf8", "zstd"]):
        return None
    size, step = array.shape[0], array.chunks[0]
    try:
        first = _texts(path / "c" / "0", "zstd" in array.codecs)
        number = (size - 1) // step
        last = first if number == 0 else _texts(path / "c" / str(number), "zstd" in array.codecs)
        return first[0], last[(size - 1) % step]
    except (OSError, ValueError, IndexError, RuntimeError):
        return None


def _texts(file: Path, compressed: bool) -> list[str]:
    """Return the texts of one chunk: their number, then each with its length before it."""
    content = file.read_bytes()
    if compressed:
        from numcodecs.zstd import Zstd

        # Into a buffer of our own, as what is compressed may claim any size.
        content = bytes(Zstd().decode(content, np.empty(MOST_TEXT, np.uint8)))
    texts, at = [], LENGTH
    for _ in range(min(_number(content, 0), len(content) // LENGTH)):
        size = _number(content, at)
        texts.append(content[at + LENGTH : at + LENGTH + size].decode("utf-8"))
        at += LENGTH + size
    return texts


def _number(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + LENGTH], "little")
