"""Readers: the kinds of image files there are, and reading any of them image by image."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pixtally.errors import PixtallyError
from pixtally.readers.arrays import NPY, NPZ
from pixtally.readers.base import (
    Found,
    Image,
    Read,
    Reader,
    Scan,
    UnclearError,
    UnreadableError,
    reason,
)
from pixtally.readers.containers import FITS, HDF5, NETCDF, ZARR
from pixtally.readers.raster import RASTER
from pixtally.readers.tiff import TIFF
from pixtally.readers.video import VIDEO

__all__ = [
    "READERS",
    "Found",
    "Image",
    "Read",
    "Reader",
    "Scan",
    "UnreadableError",
    "read_images",
    "reader_of",
    "scan",
]

READERS: list[Reader] = [RASTER, TIFF, NPY, NPZ, HDF5, FITS, ZARR, NETCDF, VIDEO]
"""Every kind of file that can be read; append to it to teach pixtally another."""


def reader_of(path: str) -> Reader | None:
    """Return the reader for a file, by its extension; None when no reader takes it."""
    name = path.rstrip("/").lower()
    return next((reader for reader in READERS if name.endswith(reader.extensions)), None)


def scan(path: str, inner: str = "") -> Found:
    """Learn what a file holds, without decoding it.

    Raises
    ------
    UnreadableError
        Saying in a few words what is wrong with the file.
    PixtallyError
        When the package that reads such files is not installed, or when the file holds several
        arrays and none is named.
    """
    reader = _checked_reader(path)
    try:
        return reader.scan(path, inner)
    except (UnreadableError, PixtallyError):
        raise
    except UnclearError as error:
        raise PixtallyError(f"{path} {error}") from None
    except Exception as error:
        raise UnreadableError(f"cannot be read: {reason(error)}") from error


def _checked_reader(path: str) -> Reader:
    """Return the reader for a file that is there and is not empty."""
    reader = reader_of(path)
    if not os.path.lexists(path):
        raise UnreadableError("does not exist")
    if not os.path.exists(path):
        raise UnreadableError(f"is a link to {os.readlink(path)}, which does not exist")
    if reader is None:
        raise UnreadableError(f"is of no known kind; known: {' '.join(_extensions())}")
    if os.path.isdir(path):
        if not reader.folder:
            raise UnreadableError(f"is a folder; expected a {reader.name} file")
    elif os.path.getsize(path) == 0:
        raise UnreadableError("is empty (0 bytes)")
    return reader


def _extensions() -> list[str]:
    return [extension for reader in READERS for extension in reader.extensions]


def read_images(
    path: str, inner: str, start: int, stop: int, sequential: bool = False
) -> Iterator[Image | UnreadableError]:
    """Images ``start`` to ``stop`` of a file, with an `UnreadableError` for each that is bad.

    Always yields ``stop - start`` things. After a bad image a file with random access is tried
    again at the next one; a sequential one is lost from there on.
    """
    index = start
    while index < stop:
        try:
            for image in _checked_reader(path).read(path, inner, index, stop):
                index += 1
                yield image
            failure = UnreadableError("ends before its last image") if index < stop else None
        except PixtallyError:
            raise
        except UnreadableError as error:
            failure = error
        except Exception as error:
            failure = UnreadableError(f"cannot be read: {reason(error)}")
        if failure is None:
            return
        for _ in range(index, stop if sequential else index + 1):
            index += 1
            yield failure
