"""Layout of a store of images: inner chunks, shards, and which source fills which rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from pixtally.errors import PixtallyError

CHUNK_BYTES = 2**20
MIN_SHARD_BYTES = 32 * 2**20
MAX_SHARD_BYTES = 256 * 2**20
TILE = 128


@dataclass(frozen=True)
class Layout:
    """Shape of the array of images and how it is cut.

    Attributes
    ----------
    shape : tuple of int
        ``(image, y, x)`` or ``(image, channel, y, x)``.
    chunks : tuple of int
        Inner chunk: a spatial tile over many images, about 1 MiB.
    shards : tuple of int
        A block of whole images: a whole multiple of `chunks`.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]

    @property
    def n_shards(self) -> int:
        """Number of shards, all along the image axis."""
        return -(-self.shape[0] // self.shards[0])

    def rows(self, shard: int) -> tuple[int, int]:
        """Return the first image of a shard and the one after its last."""
        return shard * self.shards[0], min((shard + 1) * self.shards[0], self.shape[0])

    def with_images(self, images: int) -> Layout:
        """Return the same cut of a collection with another number of images."""
        return Layout((images, *self.shape[1:]), self.chunks, self.shards)


def choose_layout(
    images: int, frame: tuple[int, ...], itemsize: int, chunks: tuple[int, ...] | None = None
) -> Layout:
    """Cut a collection: frames are written whole, tiles are read over many images.

    A side below 1.5 tiles stays whole; a longer one is cut into equal tiles of at most 128. A
    shard is 1/16 of the collection but from 32 to 256 MiB raw, so that small collections too are
    read by several workers, and it never depends on the machine.

    Parameters
    ----------
    images : int
        Number of images.
    frame : tuple of int
        ``(y, x)`` or ``(channel, y, x)``.
    itemsize : int
        Bytes of a sample.
    chunks : tuple of int, optional
        Inner chunk to use in place of the chosen one, as long as the shape of the array.

    Raises
    ------
    PixtallyError
        When `chunks` does not fit the shape.

    Examples
    --------
    >>> choose_layout(100_000, (1500, 1500), 1)
    Layout(shape=(100000, 1500, 1500), chunks=(64, 125, 125), shards=(64, 1500, 1500))
    """
    shape = (images, *frame)
    if chunks is None:
        chunks = _choose_chunks(images, frame, itemsize)
    elif len(chunks) != len(shape) or any(c < 1 for c in chunks):
        raise PixtallyError(f"chunks is {chunks}; expected {len(shape)} lengths for shape {shape}")
    chunks = tuple(min(c, s) for c, s in zip(chunks, shape, strict=True))
    padded = tuple(-(-side // c) * c for side, c in zip(frame, chunks[1:], strict=True))
    raw = prod(shape) * itemsize
    shard_bytes = min(max(raw // 16, MIN_SHARD_BYTES), MAX_SHARD_BYTES)
    blocks = max(1, shard_bytes // (prod(frame) * itemsize * chunks[0]))
    blocks = min(blocks, -(-images // chunks[0]))
    return Layout(shape, chunks, (blocks * chunks[0], *padded))


def _choose_chunks(images: int, frame: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    tile = (*frame[:-2], *(_tile(side) for side in frame[-2:]))
    fitting = max(1, CHUNK_BYTES // (prod(tile) * itemsize))
    return (min(1 << (fitting.bit_length() - 1), images), *tile)


def _tile(side: int) -> int:
    return side if side < 3 * TILE // 2 else -(-side // -(-side // TILE))


@dataclass(frozen=True, slots=True)
class Piece:
    """Images ``start`` to ``stop`` of one source, from row `row` of the store on."""

    source: int
    start: int
    stop: int
    row: int

    @property
    def end(self) -> int:
        """The row after the last."""
        return self.row + self.stop - self.start


def pieces_of(counts: Sequence[int], layout: Layout) -> Iterator[list[Piece]]:
    """Yield for each shard the pieces of the sources that fill it, in order.

    Parameters
    ----------
    counts : sequence of int
        Number of images of each source.
    layout : Layout
        Of as many images as the sources hold together.

    Examples
    --------
    >>> layout = Layout((5, 2, 2), (1, 2, 2), (3, 2, 2))
    >>> [[(p.source, p.start, p.stop) for p in shard] for shard in pieces_of([1, 4], layout)]
    [[(0, 0, 1), (1, 0, 2)], [(1, 2, 4)]]
    """
    source = used = 0
    for shard in range(layout.n_shards):
        row, end = layout.rows(shard)
        pieces = []
        while row < end:
            take = min(counts[source] - used, end - row)
            if take:
                pieces.append(Piece(source, used, used + take, row))
            row, used = row + take, used + take
            if used == counts[source]:
                source, used = source + 1, 0
        yield pieces
