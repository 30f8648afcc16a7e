"""How the counts of a tile are cut into chunks and files, by integer arithmetic."""

from __future__ import annotations

import math

from pixtally.sizes import MiB

SHARD_BYTES = 64 * MiB
INNER_BYTES = 3 * MiB
"""A shard of the result is one file, its inner chunks are what reading one pixel decodes."""


def stored_chunks(
    pixels: tuple[int, ...], tile: tuple[int, ...], pixel_bytes: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Choose the pixels of an inner chunk and of a shard of the stored result.

    A shard is a whole number of inner chunks and divides the tile, unless the tile spans the
    dimension, so that tasks never share a shard.

    Parameters
    ----------
    pixels, tile : tuple of int
        Of an image, and of a task.
    pixel_bytes : int
        Counters of one pixel.

    Returns
    -------
    inner, shard : tuple of int

    Examples
    --------
    >>> stored_chunks((1500, 1500), (125, 125), 259 * 4)
    ((25, 25), (125, 125))
    """
    side = max(1, math.isqrt(INNER_BYTES // pixel_bytes))
    inner: list[int] = []
    shard: list[int] = []
    for size, step in zip(pixels, tile, strict=True):
        spans = step >= size
        chunk = _even_part(step, side) if spans else _divisor(step, side)
        # A width like a prime number has no useful divisor: then one chunk spans the tile.
        chunk = step if not spans and chunk * 4 < min(step, side) else chunk
        inner.append(chunk)
        shard.append(-(-step // chunk) * chunk)
    for d, (size, step) in enumerate(zip(pixels, tile, strict=True)):
        while math.prod(shard) * pixel_bytes > SHARD_BYTES and shard[d] > inner[d]:
            chunks = shard[d] // inner[d]
            shard[d] = inner[d] * (chunks // 2 if step >= size else _divisor(chunks, chunks // 2))
    return tuple(inner), tuple(shard)


def _even_part(size: int, most: int) -> int:
    """Return the size of the equal parts of at most `most` that cover `size`."""
    return -(-size // -(-size // most))


def _divisor(size: int, most: int) -> int:
    """Return the largest divisor of `size` up to `most`."""
    return max(d for d in range(1, min(size, most) + 1) if size % d == 0)
