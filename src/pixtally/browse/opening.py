"""From a path to what can be looked at: a histogram with what lies beside it, or a collection."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally import schema
from pixtally.browse.counts import Counts, counts_of, open_counts
from pixtally.browse.cut import Region, window_of
from pixtally.browse.distribution import Distribution
from pixtally.browse.frames import Frames
from pixtally.browse.pictures import Pictures, What
from pixtally.browse.scores import Scores
from pixtally.browse.view import STATISTICS
from pixtally.errors import PixtallyError
from pixtally.jobs import partial_path
from pixtally.safe_yaml import read_yaml
from pixtally.store import open_images

USUAL_SCREEN = (560, 560)

IMAGE_STEPS = (
    *("equalize", "clahe", "match_histogram", "steady_exposure", "fill"),
    *("apply_colormap", "invert_colormap", "translate"),
)
"""Steps after which the images are no longer those that are stored."""


@dataclass
class Target:
    """What is looked at.

    Attributes
    ----------
    name : str
        Its path, or what it is called.
    pictures : Pictures or None
        Of a histogram.
    frames : Frames or None
        The collection, or the one that a histogram counted.
    scores : Scores or None
        Where there are both.
    note : str
        What a person should know.
    path : Path or None
        Of the store.
    version : int
        Rises when the store has changed.
    ready : Event
        Set by the first window that asks for a picture.
    """

    name: str
    pictures: Pictures | None = None
    frames: Frames | None = None
    scores: Scores | None = None
    note: str = ""
    path: Path | None = None
    stamp: tuple[Any, ...] = field(default=())
    version: int = 0
    ready: threading.Event = field(default_factory=threading.Event)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        if self.pictures is not None:
            return self.pictures.counts.shape
        assert self.frames is not None  # noqa: S101 - a target has one of them
        return self.frames.shape

    @property
    def progress(self) -> float:
        """Share of a histogram in the making that is complete."""
        return 1.0 if self.pictures is None else self.pictures.counts.progress

    def facts(self) -> str:
        """Return what is looked at, in one line."""
        h, w = self.shape
        if self.pictures is None:
            assert self.frames is not None  # noqa: S101
            colour = f" × {self.frames.channels} channels" if self.frames.channels > 1 else ""
            return f"{self.frames.number:,} images of {h} × {w}{colour}, {self.frames.dtype}"
        counts = self.pictures.counts
        return f"{counts.n_images:,} images, {h} × {w} pixels, {counts.axis}"

    def warm_up(self) -> None:
        """Begin with the picture that most windows open with, until one says what it wants."""
        if self.pictures is None:
            return
        window = window_of(self.shape, USUAL_SCREEN)
        for _ in self.pictures.paint(What("median"), window):
            if self.ready.is_set():
                break
        # Loads (in a new environment: compiles) what the first tap needs.
        counts = self.pictures.counts
        kind = np.float64 if counts.dtype.kind == "f" else np.uint64
        one = np.ones(counts.axis.bins, kind)
        Distribution(Region(0, 1, 0, 1), counts.axis, one).summary()

    def refresh(self) -> bool:
        """Look again at a store that is being written or was replaced; tell whether it changed."""
        if self.path is None or self.pictures is None:
            return False
        stamp = _stamp(self.path)
        if stamp == self.stamp:
            return False
        try:
            counts = open_counts(self.path)
        except (PixtallyError, OSError):
            return False  # between two renames; the next look finds it
        before, self.stamp = self.stamp, stamp
        self.version += 1
        if before[:1] == stamp[:1]:
            # The same store, with more of it complete: what was seen of it stays true.
            self.pictures.counts = counts
            return True
        known = _known_statistics(self.path, counts)
        self.pictures.close()
        self.pictures = Pictures(counts, known)
        self.scores = Scores(self.pictures) if self.frames is not None else None
        return True


def open_target(path: Path, images: Path | None = None) -> Target:
    """Open what a path names.

    Parameters
    ----------
    path : Path
        A histogram (also one that a job is writing) or a collection of images.
    images : Path, optional
        The collection that the histogram counted; by default the one that its pipeline left
        beside it.

    Raises
    ------
    PixtallyError
        When it is neither.
    """
    path = Path(str(path).removesuffix(".partial")) if path.name.endswith(".partial") else path
    if not (path.exists() or partial_path(path).exists()):
        raise PixtallyError(f"{path} does not exist; name a histogram or a collection of images")
    if not _is_histogram(path):
        if not path.exists():
            raise PixtallyError(f"{path} is still being written; wait for the job that makes it")
        return _open_collection(path)
    counts = open_counts(path)
    pictures = Pictures(counts, _known_statistics(path, counts))
    found, note = _sources(path, images)
    frames = _fitting(found, counts, images is not None)
    scores = None if frames is None else Scores(pictures)
    return Target(str(path), pictures, frames, scores, note if frames else "", path, _stamp(path))


def target_of(hist: xr.Dataset, images: xr.DataArray | None = None) -> Target:
    """Return a histogram in memory (or lazy) as something to look at.

    Parameters
    ----------
    hist : Dataset
        A histogram.
    images : DataArray, optional
        What it counted.
    """
    pictures = Pictures(counts_of(hist))
    frames = None if images is None else _fitting(images, pictures.counts, True)
    scores = None if frames is None else Scores(pictures)
    return Target("histogram in memory", pictures, frames, scores)


def _is_histogram(path: Path) -> bool:
    there = path if path.exists() else partial_path(path)
    return (there / schema.COUNTS).is_dir()


def _open_collection(path: Path) -> Target:
    try:
        images = open_images(path)
    except PixtallyError as error:
        hint = ""
        if path.name.endswith("-statistics.zarr"):
            hint = f" (view {path.name.removesuffix('-statistics.zarr')}.zarr instead)"
        raise PixtallyError(
            f"{path} is no histogram and no collection of images: {error}{hint}"
        ) from None
    return Target(str(path), frames=Frames(images), path=path)


def _stamp(path: Path) -> tuple[Any, ...]:
    """Return what changes when a store does: which one it is, then how much of it is complete."""
    unfinished = not path.exists()
    place = partial_path(path) if unfinished else path
    try:
        status = (place / "zarr.json").stat()
        inode = (place / schema.COUNTS / "zarr.json").stat().st_ino
        units = place / "pixtally" / "units"
        done = units.stat().st_mtime_ns if unfinished and units.exists() else 0
    except OSError:
        return ()
    return (unfinished, status.st_ino if not unfinished else 0, inode), done


def _known_statistics(path: Path, counts: Counts) -> dict[What, NDArray[Any]]:
    """Return the statistic images beside a histogram, if they are those of this very one."""
    beside = path.with_name(path.stem + "-statistics.zarr")
    if not beside.exists() or counts.done is not None:
        return {}
    try:
        found = xr.open_zarr(beside, consolidated=False)
        with xr.open_zarr(path, chunks=None) as hist:
            same = found.attrs.get("history") == hist.attrs.get("history")
    except (OSError, ValueError, KeyError):
        return {}
    known: dict[What, NDArray[Any]] = {}
    for name, variable in found.data_vars.items() if same else ():
        known |= _planes_of(str(name), variable, counts)
    return known


def _planes_of(name: str, variable: xr.DataArray, counts: Counts) -> dict[What, NDArray[Any]]:
    """Return the planes of one stored statistic."""
    quantiles = variable["quantile"].values if "quantile" in variable.dims else None
    if quantiles is None and name not in STATISTICS:
        return {}
    dims = [d for d in variable.dims if d != "quantile"]
    if tuple(dims) != counts.dims or not 0 < variable.size < 2**28:
        return {}
    stacked = variable.transpose(*(["quantile"] if quantiles is not None else []), *dims)
    values = stacked.values.astype(np.float32).reshape(-1, counts.planes, *counts.shape)
    found: dict[What, NDArray[Any]] = {}
    for k, q in enumerate(quantiles if quantiles is not None else [0.5]):
        kind = name if quantiles is None else "quantile"
        found |= {What(kind, float(q), p): values[k, p] for p in range(counts.planes)}
    return found


def _sources(path: Path, given: Path | None) -> tuple[xr.DataArray | None, str]:
    """Return the collection that a histogram counted, and what happened to it before."""
    if given is not None:
        return open_images(given), ""
    resolved = _resolved(path)
    named = (resolved.get("source") or {}).get("zarr")
    variable = (resolved.get("source") or {}).get("variable")
    place = Path(named) if named else path.with_name(path.stem + "-images.zarr")
    if not place.exists():
        return None, ""
    changes = [s for step in resolved.get("steps", []) for s in step if s in IMAGE_STEPS]
    note = f"frames are shown as they were before {', '.join(changes)}" if changes else ""
    try:
        return open_images(place, variable), note
    except PixtallyError:
        return None, ""


def _resolved(path: Path) -> dict[str, Any]:
    try:
        found = read_yaml(path.with_name(path.stem + "-resolved.yaml"))
    except PixtallyError:
        return {}
    return found if isinstance(found, dict) else {}


def _fitting(images: xr.DataArray | None, counts: Counts, asked: bool) -> Frames | None:
    """Return the frames if they are images of the histogram's pixels."""
    if images is None:
        return None
    sizes = tuple(int(images.sizes[d]) for d in images.dims if d != "image")
    if sizes != (*counts.lead, *counts.shape):
        if asked:
            raise PixtallyError(
                f"the images have {sizes} pixels, the histogram {(*counts.lead, *counts.shape)}; "
                "name the collection that was counted"
            )
        return None
    return Frames(images)
