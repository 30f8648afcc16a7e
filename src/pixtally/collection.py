"""A collection before it is read: its sources in order, its example image, its layout."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixtally.errors import PixtallyError
from pixtally.layout import Layout, choose_layout
from pixtally.limits import MOST_SHARDS
from pixtally.readers import UnreadableError, read_images
from pixtally.shards import FIX, Frame, as_stored
from pixtally.sources import LeftOut, Source, SourceNames, list_sources

FORMAT = 1
"""Version of the store of images."""


@dataclass(frozen=True)
class Collection:
    """What is known of a collection when one image of it has been read.

    Attributes
    ----------
    sources : list of Source
        In the order of their images.
    unusable : list of LeftOut
        Files that cannot be used at all.
    frame : Frame
        What every image must be like.
    layout : Layout
        Shape and cut of the store.
    skip : bool
        Bad images are left out.
    """

    sources: list[Source]
    unusable: list[LeftOut]
    frame: Frame
    layout: Layout
    skip: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the samples."""
        return math.prod(self.layout.shape) * np.dtype(self.frame.dtype).itemsize

    def settings(self) -> dict[str, Any]:
        """Return what decides the store: a rerun must agree in all of it."""
        digest = hashlib.sha256()
        for source in self.sources:
            digest.update(f"{source.name}\0{source.images}\n".encode())
        return {
            "job": "ingest",
            "format": FORMAT,
            "images": self.layout.shape[0],
            "frame": list(self.frame.shape),
            "dtype": self.frame.dtype,
            "gray": self.frame.gray,
            "chunks": list(self.layout.chunks),
            "first": self.sources[0].image_id(0),
            "last": self.sources[-1].image_id(self.sources[-1].images - 1),
            "sources": digest.hexdigest()[:16],
        }


def look_over(
    names: SourceNames,
    *,
    gray: bool = False,
    on_error: str = "stop",
    chunks: tuple[int, ...] | None = None,
    order: str = "natural",
    without: Path | None = None,
) -> Collection:
    """List a collection and read its first image.

    Parameters
    ----------
    names, gray, on_error, chunks, order
        As in `pixtally.ingest`.
    without : Path, optional
        The store to make: left over in a folder that is a source, it is not one itself.

    Raises
    ------
    PixtallyError
        For the first file that cannot be used, unless it may be left out.
    """
    if on_error not in ("stop", "skip"):
        raise PixtallyError(f"on_error is {on_error!r}; expected 'stop' or 'skip'")
    skip = on_error == "skip"
    listed, unusable = list_sources(names, order=order)
    if unusable and not skip:
        raise PixtallyError(f"{unusable[0].image} {unusable[0].reason}; {FIX}")
    if without is not None:
        listed = [source for source in listed if Path(source.path) != without.absolute()]
    frame = _example(listed, unusable, gray, skip)
    images = sum(source.images for source in listed)
    layout = choose_layout(images, frame.shape, np.dtype(frame.dtype).itemsize, chunks)
    if layout.n_shards > MOST_SHARDS:
        largest = max(listed, key=lambda source: source.images)
        raise PixtallyError(
            f"{largest.name} claims {largest.images} images, {layout.n_shards} shards in all; at "
            f"most {MOST_SHARDS} are written: name fewer files, or this one is damaged"
        )
    return Collection(listed, unusable, frame, layout, skip)


def _example(sources: list[Source], unusable: list[LeftOut], gray: bool, skip: bool) -> Frame:
    """Find the first image that can be read: all others must be like it."""
    why = [f"{bad.image} {bad.reason}" for bad in unusable]
    for source in sources:
        image = next(read_images(source.path, source.inner, 0, 1, source.sequential))
        try:
            if isinstance(image, UnreadableError):
                raise image
            stored = as_stored(image, gray)
        except UnreadableError as error:
            why.append(f"{source.image_id(0)} {error}")
            if not skip:
                raise PixtallyError(f"{why[-1]}; {FIX}") from None
            continue
        return Frame(stored.shape, str(stored.dtype), gray, source.image_id(0))
    raise PixtallyError(f"none of {len(why)} sources can be read; {_first(why)}")


def _first(why: list[str]) -> str:
    return f"the first: {why[0]}" if why else "name files other than the store to make"
