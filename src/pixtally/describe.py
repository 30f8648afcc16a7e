"""What a store holds, or how far the job that makes it has come, in a few lines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from pixtally import schema
from pixtally.errors import PixtallyError
from pixtally.records import RECORDS, partial_path, read_records
from pixtally.sizes import size_text
from pixtally.zarr_metadata import ArrayMetadata, group_attributes, read_array, text_ends


def describe(path: Path) -> dict[str, Any]:
    """Return what is known about a store.

    Parameters
    ----------
    path : Path
        A collection of images, a histogram, or one that a job is still making.

    Returns
    -------
    dict
        JSON-able; ``kind`` is "images", "histogram" or "unfinished".

    Raises
    ------
    PixtallyError
        When it is none of these.
    """
    if not path.exists() and partial_path(path).exists():
        return _unfinished(path)
    if not path.exists():
        raise PixtallyError(f"{path} does not exist; name a store that pixtally made")
    settings = _settings(path)
    if (path / schema.COUNTS).exists() or settings.get("job") == "pixel_histogram":
        return _histogram(path)
    return _images(path)


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / RECORDS / "job.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _unfinished(path: Path) -> dict[str, Any]:
    folder = partial_path(path)
    settings = _settings(folder)
    found = {
        "kind": "unfinished",
        "path": str(path),
        "job": settings.get("job"),
        "shape": settings.get("shape"),
        "units_done": len(read_records(folder)),
        "bytes": _bytes(folder),
    }
    try:
        plan = json.loads((folder / RECORDS / "plan.json").read_text("utf-8"))
        found["units"] = plan["tasks"]
    except (OSError, ValueError, KeyError):
        found["units"] = None
    return found


def _histogram(path: Path) -> dict[str, Any]:
    """Return the facts of a histogram from its metadata, or by xarray where that is not plain."""
    attrs, counts = group_attributes(path), read_array(path / schema.COUNTS)
    ends = text_ends(path / schema.IMAGE_ID)
    plain = attrs is not None and attrs.get("pixtally_format") == schema.FORMAT
    if attrs is None or counts is None or ends is None or not plain or "axis" not in attrs:
        attrs, counts, ends = _opened_histogram(path)
    sizes = dict(zip(counts.dims, counts.shape, strict=True))
    axis = schema.check_attributes(attrs, sizes.get(schema.BIN), str(path))
    return {
        "kind": "histogram",
        "path": str(path),
        "n_images": int(attrs["n_images"]),
        "pixels": {d: n for d, n in sizes.items() if d != schema.BIN},
        "axis": axis.to_dict(),
        "axis_text": str(axis),
        "dtype": counts.dtype,
        "weighted": bool(attrs["weighted"]),
        "first_image": ends[0] if ends else None,
        "last_image": ends[1] if ends else None,
        "bytes": _bytes(path),
        "history": str(attrs.get("history") or ""),
    }


def _opened_histogram(
    path: Path,
) -> tuple[dict[str, Any], ArrayMetadata, tuple[str, str] | None]:
    from pixtally.store import open_histogram

    hist = open_histogram(path)
    counts = hist[schema.COUNTS]
    ids = schema.as_text(hist[schema.IMAGE_ID])
    dims = tuple(map(str, counts.dims))
    facts = ArrayMetadata(counts.shape, (), None, str(counts.dtype), dims)
    return dict(hist.attrs), facts, (str(ids[0]), str(ids[-1])) if ids.size else None


def _images(path: Path) -> dict[str, Any]:
    """Return the facts of a collection from its metadata, or by xarray where that is not plain."""
    attrs = group_attributes(path)
    known = (attrs or {}).get("pixtally_format", schema.IMAGES_FORMAT) == schema.IMAGES_FORMAT
    array = read_array(path / "images") if attrs is not None and known else None
    if array is None or "image" not in array.dims:
        array = _opened_images(path)
    sizes = dict(zip(array.dims, array.shape, strict=True))
    return {
        "kind": "images",
        "path": str(path),
        "n_images": sizes.get("image"),
        "sizes": sizes,
        "dtype": array.dtype,
        "chunks": _plain(array.chunks),
        "shards": _plain(array.shards),
        "left_out": left_out(path),
        "bytes": _bytes(path),
        "raw_bytes": math.prod(array.shape) * np.dtype(array.dtype).itemsize,
    }


def _opened_images(path: Path) -> ArrayMetadata:
    from pixtally.store import open_images

    images = open_images(path)
    chunks, shards = (images.encoding.get(name) for name in ("chunks", "shards"))
    dims = tuple(map(str, images.dims))
    return ArrayMetadata(images.shape, chunks or (), shards, str(images.dtype), dims)


def _plain(sizes: Any) -> list[int] | None:
    return [int(n) for n in sizes] if sizes else None


def left_out(path: Path) -> list[Any]:
    """Return the images that a collection was ingested without: ``image`` and ``reason``."""
    found = (group_attributes(path) or {}).get("left_out", [])
    listed = found if isinstance(found, list) else []
    return [bad for bad in listed if isinstance(bad, dict) and {"image", "reason"} <= set(bad)]


def _bytes(path: Path) -> int:
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def describe_text(found: dict[str, Any]) -> str:
    """Return the lines of `describe` as people read them."""
    rows = _TEXTS[found["kind"]](found)
    width = max(len(name) for name in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items())


def _sizes(sizes: dict[str, int]) -> str:
    return ", ".join(f"{d} {n}" for d, n in sizes.items())


def _images_text(found: dict[str, Any]) -> dict[str, str]:
    ratio = found["raw_bytes"] / max(found["bytes"], 1)
    chunks = "×".join(map(str, found["chunks"] or [])) or "none"
    shards = "×".join(map(str, found["shards"] or [])) or "none"
    return {
        "images": f"{_sizes(found['sizes'])}, {found['dtype']}",
        "stored": f"chunks {chunks}, shards {shards}",
        "on disk": f"{size_text(found['bytes'])} of {size_text(found['raw_bytes'])} "
        f"({ratio:.1f}× smaller)",
        "left out": ", ".join(str(bad["image"]) for bad in found["left_out"]) or "none",
    }


def _histogram_text(found: dict[str, Any]) -> dict[str, str]:
    return {
        "histogram": f"{found['axis_text']}, {found['dtype']} counters",
        "pixels": _sizes(found["pixels"]),
        "images": f"{found['n_images']}: {found['first_image']} … {found['last_image']}",
        "on disk": size_text(found["bytes"]),
        "history": found["history"].replace("\n", "\n           "),
    }


def _unfinished_text(found: dict[str, Any]) -> dict[str, str]:
    units = found["units"] or "?"
    return {
        "unfinished": f"{found['job'] or 'a job'}: {found['units_done']} of {units} units done",
        "so far": size_text(found["bytes"]),
        "go on": "run the same command again",
    }


_TEXTS = {
    "images": _images_text,
    "histogram": _histogram_text,
    "unfinished": _unfinished_text,
}
