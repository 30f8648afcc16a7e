"""Sources: from what a user names (paths, globs, folders, lists) to an ordered list of images."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from pixtally.errors import PixtallyError
from pixtally.readers import Found, UnreadableError, reader_of, scan

__all__ = ["LeftOut", "Source", "SourceNames", "list_sources", "natural_key"]

SCAN_BATCH = 64
SourceNames = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""What a user may name: a path, a glob, a folder, ``file::array``, or a list of these."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file (or one array in a file) and the images that it holds.

    Attributes
    ----------
    path : str
        Absolute path.
    inner : str
        Name of the array in the file, where there are several; else "".
    name : str
        Stable name of the source: its last folder and file name, with ``::inner``.
    images : int
        Number of images.
    numbered : bool
        The images of the source are told apart by a number.
    sequential : bool
        Image k is had only by going through those before it.
    state : str
        Size and time of last change of the file, to notice that it was replaced.
    """

    path: str
    inner: str
    name: str
    images: int = 1
    numbered: bool = False
    sequential: bool = False
    state: str = ""

    def image_id(self, index: int) -> str:
        """Id of an image: the source's name, with ``#00012`` in a stack."""
        return f"{self.name}#{index:05d}" if self.numbered else self.name


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that was left out, and why."""

    image: str
    reason: str


def natural_key(name: str) -> tuple[tuple[tuple[int, int | str], ...], ...]:
    """Sort key that puts 2 before 10, folder by folder.

    Digits compare as numbers and come before letters; upper and lower case mix.

    Examples
    --------
    >>> sorted(["b10.png", "b2.png", "a2/1.png", "a10/1.png", "B3.png"], key=natural_key)
    ['a2/1.png', 'a10/1.png', 'b2.png', 'B3.png', 'b10.png']
    """
    return tuple(_part_key(part) for part in name.split("/"))


@lru_cache(maxsize=2**12)
def _part_key(part: str) -> tuple[tuple[int, int | str], ...]:
    pieces = re.findall(r"[0-9]+|[^0-9]+", part)
    key = tuple((0, int(p)) if p.isdecimal() else (1, p.casefold()) for p in pieces)
    return (*key, (2, part))  # a01 and a1 are equal numbers: the text itself decides


def list_sources(
    names: SourceNames, *, order: str = "natural"
) -> tuple[list[Source], list[LeftOut]]:
    """Ordered sources, and the files that cannot be used at all.

    Parameters
    ----------
    names : str, path, or iterable of these
        Files, globs (``**`` for any depth), folders (searched at any depth for files of known
        kinds, hidden ones left alone), ``file::array`` for one array of several. A file named
        twice counts once.
    order : {"natural", "given"}
        All files in natural order (2 before 10), folder by folder; or lists in the order given
        (globs and folders among them in natural order).

    Returns
    -------
    sources : list of Source
    left_out : list of LeftOut
        Files that are missing, empty, or not readable as what their extension says.

    Raises
    ------
    PixtallyError
        When a glob or a folder holds nothing, or when an optional package is missing.
    """
    if order not in ("natural", "given"):
        raise PixtallyError(f"order is {order!r}; expected 'natural' or 'given'")
    listed = [names] if isinstance(names, str | os.PathLike) else list(names)
    files = list(dict.fromkeys(file for name in listed for file in _files(os.fspath(name))))
    if not files:
        raise PixtallyError("no sources given; name files, a folder, or a glob such as 'frames/*'")
    if order == "natural":
        files.sort(key=lambda file: (natural_key(file[0]), file[1]))
    return _scan_all(files)


def _files(name: str) -> Iterator[tuple[str, str]]:
    """Yield the (absolute path, array name) of every file that one name stands for."""
    name, inner = _split(os.path.expanduser(name))
    for path in _matches(name):
        path = os.path.abspath(path)
        if os.path.isdir(path) and reader_of(path) is None:
            yield from ((file, inner) for file in _folder(path))
        else:
            yield path, inner


def _split(name: str) -> tuple[str, str]:
    """Split ``file.h5::entry/data`` in its two parts; leave other names whole."""
    path, mark, inner = name.partition("::")
    reader = reader_of(path)
    if not mark or os.path.lexists(name):
        return name, ""
    if reader is None or not reader.container:
        raise PixtallyError(f"{name}: '::' picks an array in .npz, HDF5, FITS, Zarr or NetCDF only")
    return path, inner.strip("/")


def _matches(name: str) -> list[str]:
    if os.path.lexists(name) or not glob.has_magic(name):
        return [name]
    found = glob.glob(name, recursive=True)
    if not found:
        raise PixtallyError(f"no file matches {name!r} (looked from {os.getcwd()}); check the glob")
    return sorted(found, key=natural_key)


def _folder(folder: str) -> list[str]:
    """List files of known kinds at any depth, in natural order."""
    found: list[str] = []
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        stores = [name for name in folders if reader_of(name) is not None]
        folders[:] = [name for name in folders if name not in stores and not _is_private(name)]
        if os.path.realpath(root) in seen:  # links may lead in a circle
            folders.clear()
            continue
        seen.add(os.path.realpath(root))
        found += (
            os.path.join(root, name)
            for name in stores + files
            if not _is_private(name) and reader_of(name) is not None
        )
    if not found:
        raise PixtallyError(f"{folder} holds no file of a known kind; name another folder")
    return sorted(found, key=natural_key)


def _is_private(name: str) -> bool:
    """Hidden, or a store that a job is writing."""
    return name.startswith(".") or name.endswith((".partial", ".replaced"))


def _scan_all(files: list[tuple[str, str]]) -> tuple[list[Source], list[LeftOut]]:
    names = _unique_names([path for path, _ in files])
    # Scanning waits for the disk far more than it computes: more threads than cores.
    batches = [files[k : k + SCAN_BATCH] for k in range(0, len(files), SCAN_BATCH)]
    with ThreadPoolExecutor(max_workers=16) as pool:
        found = [each for batch in pool.map(_scan_batch, batches) for each in batch]
    sources, left_out = [], []
    for name, result in zip(names, found, strict=True):
        if isinstance(result, UnreadableError):
            left_out.append(LeftOut(name, str(result)))
        else:
            full = f"{name}::{result.inner}" if result.inner else name
            sources.append(replace(result, name=full))
    return sources, left_out


def _scan_batch(files: list[tuple[str, str]]) -> list[Source | UnreadableError]:
    return [_scan_one(file) for file in files]


def _scan_one(file: tuple[str, str]) -> Source | UnreadableError:
    path, inner = file
    try:
        found: Found = scan(path, inner)
    except UnreadableError as error:
        return error
    facts = os.stat(path)
    return Source(
        path=path,
        inner=found.inner,
        name="",
        images=found.images,
        numbered=found.numbered,
        sequential=found.sequential,
        state=f"{facts.st_size}:{facts.st_mtime_ns}",
    )


def printable(path: str) -> str:
    """Spell bytes that are no UTF-8, which file names may hold, by their numbers."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _unique_names(paths: list[str]) -> list[str]:
    """Name each path by its last folder and file name; by more where two would be alike.

    The last folder is part of the name because cameras restart their numbering: ``day1/0001.png``
    and ``day2/0001.png`` must not be taken for one image when a collection is appended to.
    """
    parts = [Path(printable(path)).parts for path in paths]
    distinct = len(set(parts))
    longest = max(len(each) for each in parts)
    for depth in range(2, longest + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(Counter(names)) == distinct:
            return names
    return paths
