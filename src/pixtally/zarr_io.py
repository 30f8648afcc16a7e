"""Zarr arrays on disk: opened through the fast codecs, pickled as a path, created in shards."""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from pixtally.errors import PixtallyError
from pixtally.records import read_object

ZSTD_LEVEL = 1
"""Level 1 reaches the ratio of level 3 on camera images at twice the speed of writing."""

SMALL = "pixtally_replaceable"
"""Attribute of the stores that `write_small` wrote, and may replace."""

FAST_CODECS: dict[str, Any] = {
    "codec_pipeline.path": "zarrs.ZarrsCodecPipeline",
    "threading.max_workers": 1,
    "async.concurrency": 1,
}

_CONFIGURATION = threading.Lock()


@contextmanager
def fast_codecs() -> Iterator[None]:
    """Open arrays through the Rust codecs where they are installed, for this block only.

    zarr's configuration is one for the whole process: without the lock, two threads that set it
    and put it back in turn would leave it changed for the user.
    """
    if find_spec("zarrs") is None:
        yield
        return
    with _CONFIGURATION, zarr.config.set(FAST_CODECS):
        yield


def open_array(group: str | Path, name: str, mode: str = "r") -> Any:
    """Open an array of a group for reading (``"r"``) or writing regions (``"r+"``)."""
    with fast_codecs():
        return zarr.open_array(str(group), path=name, mode=mode)


def create_array(
    group: str | Path,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: Any,
    chunks: tuple[int, ...],
    dims: Sequence[str],
    shards: tuple[int, ...] | None = None,
    attrs: dict[str, Any] | None = None,
) -> Any:
    """Create an array, compressed by zstd, in a group that may not exist yet."""
    with _CONFIGURATION:
        opened = zarr.open_group(str(group), mode="a", zarr_format=3)
        return opened.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=chunks,
            shards=shards,
            # A flipped byte must be an error, not another value.
            compressors=ZstdCodec(level=ZSTD_LEVEL, checksum=True),
            dimension_names=list(dims),
            attributes=attrs or {},
            overwrite=True,
        )


def consolidate(group: str | Path) -> None:
    """Gather the metadata of a group in one file, which xarray looks for."""
    with warnings.catch_warnings():
        # zarr warns that consolidated metadata is not in its specification; xarray warns when
        # it is missing.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(group))


def write_coords(
    group: str | Path, coords: Mapping[Any, xr.DataArray], attrs: Mapping[str, Any]
) -> None:
    """Write coordinates and the group's attributes as xarray reads them."""
    labels = xr.Dataset(coords=dict(coords), attrs=dict(attrs)).drop_encoding()
    for name in labels.coords:
        if labels[name].dtype.kind in "UT":
            # Text of variable length: the only kind that Zarr v3 names in its specification.
            labels[name] = labels[name].astype(object)
    labels.to_zarr(group, mode="a", zarr_format=3, consolidated=False)


@lru_cache(maxsize=64)
def _opened(path: str, name: str, stamp: int) -> Any:
    return open_array(path, name)


@contextmanager
def _telling(path: str, name: str) -> Iterator[None]:
    """Name the array in what zarr and its codecs raise about it."""
    try:
        yield
    except (IndexError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PixtallyError(
            f"{path}/{name} cannot be read: {reason}; 'pixtally verify {path}' names the file, or "
            "its metadata is damaged"
        ) from error


class StoredArray:
    """An array in a local Zarr group that is opened where it is read.

    It is pickled as its path, so that a task carries no array and no open file; a process opens
    each array once.

    Parameters
    ----------
    path : path
        The group.
    name : str
        The array in it.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        self.path = os.path.abspath(path)
        self.name = name
        self.stamp = Path(self.path, name, "zarr.json").stat().st_mtime_ns
        with _telling(self.path, name):
            array = _opened(self.path, name, self.stamp)
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self.chunks: tuple[int, ...] = array.chunks
        self.shards: tuple[int, ...] | None = array.shards
        self.ndim = len(self.shape)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        with _telling(self.path, self.name):
            return np.asarray(_opened(self.path, self.name, self.stamp)[index])

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return ("pixtally.StoredArray", self.path, self.name, self.stamp)

    def __repr__(self) -> str:
        return f"<StoredArray {self.path}/{self.name} {self.shape} {self.dtype}>"


def write_small(dataset: xr.Dataset, path: Path) -> None:
    """Write a Dataset that fits in memory: to a scratch name, then renamed.

    Raises
    ------
    PixtallyError
        When there is something at `path` that this function did not write.
    """
    if path.exists() and not _is_small(path):
        raise PixtallyError(
            f"{path} exists and is no result that may be replaced; name another store or remove it"
        )
    scratch = path.with_name(path.name + ".partial")
    shutil.rmtree(scratch, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = dataset.assign_attrs({SMALL: 1})
    dataset.drop_encoding().to_zarr(scratch, zarr_format=3, consolidated=False)
    consolidate(scratch)
    shutil.rmtree(path, ignore_errors=True)
    scratch.rename(path)


def _is_small(path: Path) -> bool:
    found = (read_object(path / "zarr.json") or {}).get("attributes")
    return isinstance(found, dict) and found.get(SMALL) == 1
