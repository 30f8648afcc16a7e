"""Units of ingest: decode the images of a shard in order and write them in one go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixtally.errors import PixtallyError
from pixtally.image_store import IMAGES
from pixtally.kernels.luma import luma
from pixtally.layout import Layout, Piece, pieces_of
from pixtally.readers import Image, UnreadableError, read_images
from pixtally.records import Checksum
from pixtally.sources import Source
from pixtally.unit_writer import UnitWriter

PARTS = "parts"
FIX = "put it right, or leave it out with --on-error skip (on_error='skip')"


@dataclass(frozen=True)
class Frame:
    """What every image of the collection must be.

    Attributes
    ----------
    shape : tuple of int
        ``(y, x)`` or ``(channel, y, x)``.
    dtype : str
        Data type of the samples.
    gray : bool
        Colour becomes gray.
    like : str
        Id of the image that set the example.
    """

    shape: tuple[int, ...]
    dtype: str
    gray: bool
    like: str


@dataclass(frozen=True)
class Job:
    """What the units of one ingest have in common."""

    writer: UnitWriter
    layout: Layout
    frame: Frame
    skip: bool


@dataclass(frozen=True)
class Part:
    """Rows of one record: a whole shard, or the part of a shard that a stream fills.

    Attributes
    ----------
    name : str
        Name of the record.
    shard : int
        Number of the shard.
    pieces : tuple of (Source, Piece, bool)
        What fills it; True where a stream leaves the images as a file in `PARTS`.
    state : str
        Digest of the sources' sizes and times.
    """

    name: str
    shard: int
    pieces: tuple[tuple[Source, Piece, bool], ...]
    state: str

    @property
    def whole(self) -> bool:
        """A shard, not a part of one."""
        return self.name.startswith("shard")

    @property
    def rows(self) -> tuple[int, int]:
        """First row, and the one after the last."""
        return self.pieces[0][1].row, self.pieces[-1][1].end


def plan_parts(sources: Sequence[Source], layout: Layout) -> tuple[list[list[Part]], list[Part]]:
    """Cut the work: streams first, then the shards that are left.

    A sequential source that crosses the border of a shard is one stream, decoded once: it writes
    the shards that it fills alone and leaves its share of the others as a file, which the shards'
    own units then pick up.

    Returns
    -------
    streams : list of list of Part
        One list a stream, in the order in which its images come.
    shards : list of Part
    """
    shards = list(pieces_of([source.images for source in sources], layout))
    crossing = _crossing(sources, shards)
    streams: dict[int, list[Part]] = {source: [] for source in sorted(crossing)}
    left: list[Part] = []
    for number, pieces in enumerate(shards):
        name = f"shard-{number:06d}"
        if len(pieces) == 1 and pieces[0].source in crossing:
            streams[pieces[0].source].append(_part(name, number, pieces, sources, set()))
            continue
        for piece in pieces:
            if piece.source in crossing:
                share = _part(f"part-{piece.row:09d}", number, [piece], sources, set())
                streams[piece.source].append(share)
        left.append(_part(name, number, pieces, sources, crossing))
    return list(streams.values()), left


def _crossing(sources: Sequence[Source], shards: list[list[Piece]]) -> set[int]:
    ends = (pieces[-1] for pieces in shards[:-1])
    return {
        end.source
        for end in ends
        if sources[end.source].sequential and end.stop < sources[end.source].images
    }


def _part(
    name: str, shard: int, pieces: list[Piece], sources: Sequence[Source], crossing: set[int]
) -> Part:
    states = [f"{sources[p.source].name} {sources[p.source].state}\n" for p in pieces]
    state = hashlib.sha256("".join(states).encode()).hexdigest()[:16]
    full = tuple((sources[p.source], p, p.source in crossing) for p in pieces)
    return Part(name, shard, full, state)


def fill(parts: Sequence[Part], *, job: Job) -> list[str]:
    """Decode and write parts that follow one another; return the names of their records.

    A stream decodes the next part while the last one is written: it holds two shards, a unit of
    one shard holds one.

    Raises
    ------
    PixtallyError
        At the first bad image, unless the job skips them.
    """
    job.writer.check()
    images = _stream(parts)
    with ThreadPoolExecutor(max_workers=1) as writer:
        writing: Future[None] | None = None
        for part in parts:
            block, left_out = _decode(part, images, job)
            if writing is not None:
                writing.result()
            writing = writer.submit(_store, part, block, left_out, job)
        if writing is not None:
            writing.result()
    return [part.name for part in parts]


def _store(part: Part, block: NDArray[Any], left_out: list[list[Any]], job: Job) -> None:
    files = _write(part, block, job)
    record = {"state": part.state, "left_out": left_out}
    # A share goes when its shard is written: it is not kept on record.
    job.writer.record(part.name, {**record, "files": files} if part.whole else record)
    _drop_shares(part, job)


def _stream(parts: Sequence[Part]) -> Iterator[Image | UnreadableError] | None:
    """One pass over the source of several parts, from the first that is wanted."""
    if len(parts) < 2:
        return None
    source, first, _ = parts[0].pieces[0]
    last = parts[-1].pieces[0][1]
    return read_images(source.path, source.inner, first.start, last.stop, source.sequential)


def _decode(
    part: Part, images: Iterator[Image | UnreadableError] | None, job: Job
) -> tuple[NDArray[Any], list[list[Any]]]:
    first, end = part.rows
    block = np.zeros((end - first, *job.frame.shape), job.frame.dtype)
    left_out: list[list[Any]] = []
    for source, piece, shared in part.pieces:
        rows = slice(piece.row - first, piece.end - first)
        if shared:
            block[rows] = np.load(
                _share_path(job.writer.store, piece), mmap_mode="r", allow_pickle=False
            )
            continue
        feed = images or read_images(
            source.path, source.inner, piece.start, piece.stop, source.sequential
        )
        for row, index in enumerate(range(piece.start, piece.stop), rows.start):
            bad = place(next(feed), job.frame, block[row])
            if bad is not None:
                left_out.append(_left_out(source.image_id(index), bad, first + row, job.skip))
    return block, left_out


def _left_out(image: str, bad: UnreadableError, row: int, skip: bool) -> list[Any]:
    if not skip:
        raise PixtallyError(f"{image} {bad}; {FIX}")
    return [row, image, str(bad)]


def place(
    image: Image | UnreadableError, frame: Frame, out: NDArray[Any]
) -> UnreadableError | None:
    """Put one decoded image in its place, or say what is wrong with it."""
    if isinstance(image, UnreadableError):
        return image
    try:
        stored = as_stored(image, frame.gray)
    except UnreadableError as error:
        return error
    if stored.shape != frame.shape or stored.dtype != frame.dtype:
        wanted = describe_frame(frame.shape, np.dtype(frame.dtype))
        hint = "" if frame.gray or stored.ndim == len(frame.shape) else " (--gray makes all gray)"
        return UnreadableError(
            f"is {describe_frame(stored.shape, stored.dtype)}; "
            f"expected {wanted} as in {frame.like}{hint}"
        )
    out[...] = stored
    return None


def as_stored(image: Image, gray: bool) -> Image:
    """Return a decoded image as the store keeps it: ``(y, x)`` or ``(channel, y, x)``.

    Raises
    ------
    UnreadableError
        When it is no image, or has no gray.
    """
    if image.dtype.kind not in "biuf" or image.dtype.itemsize > 8:
        raise UnreadableError(f"holds {image.dtype} samples; expected booleans, integers or floats")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise UnreadableError(f"has the shape {image.shape}; expected (y, x) or (y, x, channel)")
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    if image.ndim == 3 and (image.shape[2] == 1 or (gray and image.shape[2] == 2)):
        image = image[..., 0]
    if image.ndim == 2:
        return image
    return _gray(image) if gray else np.moveaxis(image, -1, 0)


def _gray(image: Image) -> Image:
    if image.shape[2] > 4:
        raise UnreadableError(f"has {image.shape[2]} channels; gray needs R, G, B(, A)")
    try:
        return luma(image)
    except TypeError as error:
        raise UnreadableError(f"cannot become gray: {error}") from None


def describe_frame(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Say what an image is: ``480×640 uint8``, ``480×640 uint8 with 3 channels``."""
    channels = f" with {shape[0]} channels" if len(shape) == 3 else ""
    return f"{shape[-2]}×{shape[-1]} {dtype}{channels}"


def _write(part: Part, block: NDArray[Any], job: Job) -> dict[str, Checksum | None]:
    if part.whole:
        return job.writer.shard(IMAGES, (slice(*part.rows), *map(slice, block.shape[1:])), block)
    name = share_path("", part)
    return job.writer.plain(str(name), block)


def share_path(path: str | Path, part: Part) -> Path:
    """Return the file in which a stream leaves its share of a shard."""
    return _share_path(path, part.pieces[0][1])


def _share_path(path: str | Path, piece: Piece) -> Path:
    return Path(path, PARTS, f"{piece.row:09d}.npy")


def _drop_shares(part: Part, job: Job) -> None:
    for _, piece, shared in part.pieces:
        if shared:
            _share_path(job.writer.store, piece).unlink(missing_ok=True)
