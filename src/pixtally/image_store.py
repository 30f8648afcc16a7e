"""The Zarr group that holds a collection of images: its arrays, labels and attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from pixtally.layout import Layout
from pixtally.records import read_object
from pixtally.zarr_io import consolidate, create_array

IMAGES = "images"
LABELS_PER_CHUNK = 2**16
CHANNELS = {2: "LA", 3: "RGB", 4: "RGBA"}


def create_images(group: str | Path, layout: Layout, dtype: np.dtype[Any], note: str) -> None:
    """Create the (empty) array of images in a group that may not exist yet."""
    frame = ("channel", "y", "x")[-len(layout.shape) + 1 :]
    create_array(
        group,
        IMAGES,
        shape=layout.shape,
        dtype=dtype,
        chunks=layout.chunks,
        shards=layout.shards,
        dims=("image", *frame),
        attrs={"long_name": note, "coordinates": "image_id"},
    )


def stored_shape(group: str | Path) -> tuple[int, ...] | None:
    """Return the shape of the array of images; None where there is none."""
    found = read_object(Path(group, IMAGES, "zarr.json")) or {}
    return tuple(found.get("shape", ())) or None


def shard_file(group: str | Path, layout: Layout, shard: int) -> Path:
    """Return the file of a shard (absent when every sample in it is zero)."""
    return Path(group, IMAGES, "c", str(shard), *("0" for _ in layout.shape[1:]))


def describe(
    group: str | Path, ids: Sequence[str], channels: int | None, attributes: dict[str, Any]
) -> None:
    """Write the coordinates and the attributes, and gather the metadata in one file."""
    _write_labels(group, "image_id", "image", ids)
    if channels is not None:
        _write_labels(group, "channel", "channel", channel_labels(channels))
    zarr.open_group(str(group), mode="r+").attrs.put(attributes)
    consolidate(group)


def channel_labels(channels: int) -> list[str]:
    """Return R, G, B(, A); L, A for two channels; numbers for any other count."""
    return list(CHANNELS.get(channels, map(str, range(channels))))


def _write_labels(group: str | Path, name: str, dim: str, labels: Sequence[str]) -> None:
    chunks = (min(len(labels), LABELS_PER_CHUNK),)
    array = create_array(group, name, shape=(len(labels),), dtype=str, chunks=chunks, dims=(dim,))
    array[:] = np.array(labels, dtype=object)
