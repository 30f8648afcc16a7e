"""What stored metadata may claim: sizes that no memory holds are refused before any is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pixtally.errors import PixtallyError
from pixtally.plan import Resources
from pixtally.sizes import size_text

MOST_CHUNKS = 10_000_000
"""Chunks of one array above which metadata is taken for wrong."""

MOST_SHARDS = 1_000_000
"""Shards of a collection to be made above which its sources are taken for wrong."""


def room() -> int:
    """Return the bytes that one image, one chunk or one coordinate may take here."""
    return Resources.local().memory // 4


def check_sizes(
    name: str, shape: Sequence[int], chunks: Sequence[int] | None, itemsize: int
) -> None:
    """Refuse an array that can only be read by taking far more memory than there is.

    Parameters
    ----------
    name : str
        The array, for the message.
    shape : sequence of int
        As its metadata claims.
    chunks : sequence of int or None
        What is decoded at a time; None where that is all.
    itemsize : int
        Bytes of a sample.

    Raises
    ------
    PixtallyError
        With the size that is claimed and the most there may be.
    """
    cut = tuple(chunks) if chunks else tuple(max(s, 1) for s in shape)
    if len(cut) != len(shape) or any(c < 1 for c in cut) or any(s < 0 for s in shape):
        raise PixtallyError(
            f"{name} claims the shape {tuple(shape)} in chunks of {cut}; its metadata is damaged"
        )
    size = math.prod(min(c, max(s, 1)) for c, s in zip(cut, shape, strict=True)) * itemsize
    claimed = max(size, math.prod(cut) * itemsize)
    if claimed > room():
        raise PixtallyError(
            f"{name} claims chunks of {size_text(claimed)}, more than a quarter of the memory of "
            f"this machine ({size_text(room())}); write it again in smaller chunks, or its "
            "metadata is damaged"
        )
    number = math.prod(-(-s // c) for s, c in zip(shape, cut, strict=True))
    if number > MOST_CHUNKS:
        raise PixtallyError(
            f"{name} claims the shape {tuple(shape)}, {number} chunks; more than {MOST_CHUNKS} "
            "are not opened: write it again in larger chunks, or its metadata is damaged"
        )


def too_large(shape: Sequence[int], itemsize: int) -> str | None:
    """Say why one image cannot be held, or None when it can."""
    size = math.prod(shape) * itemsize
    if size <= room():
        return None
    return (
        f"claims an image of {size_text(size)}, more than a quarter of the memory of this machine "
        f"({size_text(room())})"
    )
