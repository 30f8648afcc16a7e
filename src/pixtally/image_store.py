"""The Zarr group that holds a collection of images: made, opened, described."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from pixtally.layout import Layout

IMAGES = "images"
ZSTD_LEVEL = 1
IDS_PER_CHUNK = 2**16
CHANNELS = {2: "LA", 3: "RGB", 4: "RGBA"}

FAST_CODECS: dict[str, Any] = {
    "codec_pipeline.path": "zarrs.ZarrsCodecPipeline",
    "threading.max_workers": 1,
    "async.concurrency": 1,
}
# zarr's configuration is one for the whole process: two threads that set it and put it back
# in turn would leave it changed for the user.
_CONFIGURATION = threading.Lock()


def open_images(group: str | Path, path: str = IMAGES, mode: str = "r+") -> Any:
    """Open the array of images through the fast codecs where they are installed."""
    if find_spec("zarrs") is None:
        return zarr.open_array(str(group), path=path, mode=mode)
    with _CONFIGURATION, zarr.config.set(FAST_CODECS):
        return zarr.open_array(str(group), path=path, mode=mode)


def create_images(group: str | Path, layout: Layout, dtype: np.dtype[Any], note: str) -> None:
    """Create the (empty) array of images in a group that may not exist yet."""
    spatial = ("channel", "y", "x")[-len(layout.shape) + 1 :]
    with _CONFIGURATION:
        zarr.open_group(str(group), mode="a", zarr_format=3).create_array(
            IMAGES,
            shape=layout.shape,
            dtype=dtype,
            chunks=layout.chunks,
            shards=layout.shards,
            compressors=ZstdCodec(level=ZSTD_LEVEL),
            dimension_names=("image", *spatial),
            attributes={"long_name": note, "coordinates": "image_id"},
            overwrite=True,
        )


def shard_file(group: str | Path, layout: Layout, shard: int) -> Path:
    """Return the file of a shard (absent when every sample in it is zero)."""
    return Path(group, IMAGES, "c", str(shard), *("0" for _ in layout.shape[1:]))


def describe(
    group: str | Path, ids: Sequence[str], channels: int | None, attributes: dict[str, Any]
) -> None:
    """Write the coordinates and the attributes, and gather the metadata in one file."""
    opened = zarr.open_group(str(group), mode="r+")
    _write_labels(opened, "image_id", "image", ids)
    if channels is not None:
        _write_labels(opened, "channel", "channel", channel_labels(channels))
    opened.attrs.put(attributes)
    with warnings.catch_warnings():
        # zarr warns that consolidated metadata is not in the specification; xarray warns when
        # it is missing.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(group))


def channel_labels(channels: int) -> list[str]:
    """Return R, G, B(, A); L, A for two channels; numbers for any other count."""
    return list(CHANNELS.get(channels, map(str, range(channels))))


def _write_labels(group: Any, name: str, dim: str, labels: Sequence[str]) -> None:
    array = group.create_array(
        name,
        shape=(len(labels),),
        dtype=str,
        chunks=(min(len(labels), IDS_PER_CHUNK),),
        compressors=ZstdCodec(level=ZSTD_LEVEL),
        dimension_names=(dim,),
        overwrite=True,
    )
    array[:] = np.array(labels, dtype=object)
