"""What a reader of image files is: how many images a file holds, and the images in order."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from pixtally.errors import PixtallyError

Image = NDArray[Any]
"""One decoded image: ``(y, x)``, or ``(y, x, channel)``."""


class UnreadableError(Exception):
    """An image that cannot be had; the message says in a few words what is wrong with it."""


class UnclearError(Exception):
    """A file that holds several arrays, none of which is named; the message lists them."""


@dataclass(frozen=True)
class Found:
    """What a file holds, learnt without decoding it.

    Attributes
    ----------
    images : int
        Number of images.
    numbered : bool
        The file is a stack: its images are told apart by a number.
    sequential : bool
        Image k is had only by going through those before it (video, compressed streams).
    inner : str
        Name of the array inside the file, where there are several; "" where not.
    """

    images: int = 1
    numbered: bool = False
    sequential: bool = False
    inner: str = ""


Scan = Callable[[str, str], Found]
"""``scan(path, inner)``: what the file holds."""

Read = Callable[[str, str, int, int], Iterator[Image | UnreadableError]]
"""``read(path, inner, start, stop)``: its images in order, or why one of them is missing."""


@dataclass(frozen=True)
class Reader:
    """One kind of image file.

    Attributes
    ----------
    name : str
        The kind, in the words of a user.
    extensions : tuple of str
        Lower-case file extensions, with the dot.
    scan, read : callable
        See `Scan` and `Read`.
    container : bool
        Several arrays live in one file, picked with ``file::name``.
    folder : bool
        The "file" may be a folder (Zarr).
    """

    name: str
    extensions: tuple[str, ...]
    scan: Scan
    read: Read
    container: bool = False
    folder: bool = False


CUT_SHORT = (struct.error, EOFError, LookupError)
"""What decoders raise where a file ends too early; their own words help nobody."""


def need(module: str, extra: str) -> Any:
    """Import an optional module, or say in one line how to install it.

    Raises
    ------
    PixtallyError
        Naming the extra.
    """
    try:
        return import_module(module)
    except ImportError:
        raise PixtallyError(
            f"{module} is not installed, which this source needs: pip install 'pixtally[{extra}]'"
        ) from None


def reason(error: BaseException) -> str:
    """One short line out of any exception: out of the one that caused it, if it was wrapped."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, CUT_SHORT):
        return "damaged or truncated"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
