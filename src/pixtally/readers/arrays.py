"""Images in arrays: which axes are what, NumPy's ``.npy`` and ``.npz``.

The rule for arrays, in files of any kind: 2-D is one image ``(y, x)``; 3-D is a stack
``(n, y, x)``; 4-D is ``(n, c, y, x)`` when the second axis has at most 4 entries, else
``(n, y, x, c)`` when the last has. A channel axis of length 1 is dropped.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import IO, Any

import numpy as np

from pixtally.limits import too_large
from pixtally.readers.base import Found, Image, Reader, UnclearError, UnreadableError

BLOCK_BYTES = 16 * 2**20
MAX_BLOCK_BYTES = 256 * 2**20
MAX_CHANNELS = 4


def found_in_array(shape: tuple[int, ...], inner: str = "", sequential: bool = False) -> Found:
    """Read the array's shape by the rule of this file.

    Raises
    ------
    UnreadableError
        If the array is not a stack of images.
    """
    channel_axis(shape)
    images = 1 if len(shape) == 2 else shape[0]
    return Found(images, numbered=len(shape) > 2, sequential=sequential, inner=inner)


def channel_axis(shape: tuple[int, ...]) -> int | None:
    """Axis of the channels in an array of images, by the rule of this file.

    Raises
    ------
    UnreadableError
        If the array is not a stack of images.

    Examples
    --------
    >>> channel_axis((68, 101, 100, 1)), channel_axis((10, 3, 64, 64)), channel_axis((9, 8, 7))
    (3, 1, None)
    """
    if 0 in shape:
        raise UnreadableError(f"is an empty array of shape {shape}")
    if len(shape) in (2, 3):
        return None
    if len(shape) == 4 and shape[1] <= MAX_CHANNELS:
        return 1
    if len(shape) == 4 and shape[3] <= MAX_CHANNELS:
        return 3
    raise UnreadableError(
        f"is an array of shape {shape}; expected (y, x), (n, y, x), (n, c, y, x) or (n, y, x, c) "
        f"with at most {MAX_CHANNELS} channels"
    )


def images_of(
    array: Any, start: int, stop: int, step: int = 0, channel: int | None = None
) -> Iterator[Image]:
    """Images ``start`` to ``stop`` of anything that slices like an array, block by block.

    Parameters
    ----------
    array : array-like
        With ``shape``, ``dtype`` and slicing along the first axis.
    start, stop : int
        Images wanted.
    step : int
        Length of the array's own chunks along the first axis: blocks are aligned to it, so
        that a compressed chunk is read once.
    channel : int, optional
        Axis of the channels where it is known by name; else by the rule of this file.
    """
    shape = tuple(array.shape)
    channel = channel_axis(shape) if channel is None else channel
    _check_image(shape, np.dtype(array.dtype).itemsize)
    if len(shape) == 2:
        yield np.asarray(array[...])
        return
    step = _block_length(shape, np.dtype(array.dtype).itemsize, step)
    edges = [start, *range(start - start % step + step, stop, step), stop]
    for a, b in pairwise(edges):
        block = np.asarray(array[a:b])
        yield from block if channel is None else np.moveaxis(block, channel, -1)


def _check_image(shape: tuple[int, ...], itemsize: int) -> None:
    """Refuse an array whose metadata claims images that no memory holds."""
    why = too_large(shape if len(shape) == 2 else shape[1:], itemsize)
    if why is not None:
        raise UnreadableError(why)


def _block_length(shape: tuple[int, ...], itemsize: int, step: int) -> int:
    image = math.prod(shape[1:]) * itemsize
    if step and step * image <= MAX_BLOCK_BYTES:
        return step * max(1, BLOCK_BYTES // (step * image))
    return max(1, BLOCK_BYTES // image)


def pick(names: list[str], inner: str, what: str) -> str:
    """Choose the array that is meant: the one named, or the only one there is.

    Raises
    ------
    UnclearError
        Listing what there is.
    """
    if inner.strip("/") in names:
        return inner.strip("/")
    if not inner and len(names) == 1:
        return names[0]
    there = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "none"
    asked = f"has no {what} '{inner}'" if inner else f"has {len(names)} {what}s, name one as ::NAME"
    raise UnclearError(f"{asked}; there: {there}")


def _open_npy(path: str) -> Image:
    try:
        array: Image = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "mmap length" in str(error):
            raise UnreadableError("is cut short: its header promises more") from error
        raise
    return array


def scan_npy(path: str, inner: str) -> Found:
    """Shape of a ``.npy`` file."""
    return found_in_array(_open_npy(path).shape)


def read_npy(path: str, inner: str, start: int, stop: int) -> Iterator[Image | UnreadableError]:
    """Images of a ``.npy`` file, from a memory map."""
    yield from images_of(_open_npy(path), start, stop)


def scan_npz(path: str, inner: str) -> Found:
    """Shape of one array of a ``.npz`` file."""
    with zipfile.ZipFile(path) as file:
        member = _member(file, inner)
        with file.open(f"{member}.npy") as stream:
            shape, _, _ = _header(stream)
    return found_in_array(shape, member, sequential=len(shape) > 2)


def read_npz(path: str, inner: str, start: int, stop: int) -> Iterator[Image | UnreadableError]:
    """Images of a ``.npz`` array, decompressed as a stream: memory holds one image."""
    with zipfile.ZipFile(path) as file, file.open(f"{_member(file, inner)}.npy") as stream:
        shape, fortran, dtype = _header(stream)
        channel = channel_axis(shape)
        _check_image(shape, dtype.itemsize)
        if fortran:
            _check_image((1, *shape), dtype.itemsize)
            whole = _take(stream, shape[::-1], dtype).T
            yield from images_of(whole, start, stop)
            return
        if len(shape) == 2:
            yield _take(stream, shape, dtype)
            return
        for index in range(stop):
            image = _take(stream, shape[1:], dtype)
            if index >= start:
                yield image if channel is None else np.moveaxis(image, channel - 1, -1)


def _member(file: zipfile.ZipFile, inner: str) -> str:
    names = [name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy")]
    return pick(names, inner, "array")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    headers: dict[tuple[int, int], Callable[[Any], Any]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, fortran, dtype = headers[version](stream)
    if dtype.hasobject:
        raise UnreadableError("holds Python objects, which are never loaded")
    return shape, fortran, dtype


def _take(stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Image:
    size = math.prod(shape) * dtype.itemsize
    data = stream.read(size)
    if len(data) < size:
        raise UnreadableError("ends before its last image")
    return np.frombuffer(data, dtype).reshape(shape)


NPY = Reader("NumPy", (".npy",), scan_npy, read_npy)
NPZ = Reader("NumPy archive", (".npz",), scan_npz, read_npz, container=True)
