"""Statistic images of what is in view: from what is known at once, then tile by tile."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixtally.axis import BinAxis
from pixtally.browse.counts import Counts
from pixtally.browse.cut import Region, Window, samples
from pixtally.browse.shelf import Shelf
from pixtally.display import robust_span
from pixtally.kernels import answers
from pixtally.sizes import MiB

ROUGH_BYTES = 96 * MiB
"""Sampled counts of the whole image that stay in memory, for a first look at any statistic."""

TILE_CACHE, COUNT_CACHE = 384 * MiB, 192 * MiB
EVERY = 0.12
"""Seconds between two states of a picture that is being refined."""

VALUES = ("median", "mean", "mode", "quantile")
"""Statistics in the units of the samples: they share one scale, so that they compare."""


@dataclass(frozen=True)
class What:
    """Which statistic of which plane.

    Attributes
    ----------
    name : str
        ``median``, ``mean``, ``std``, ``mode``, ``entropy`` or ``quantile``.
    q : float
        Of the quantile, else 0.5.
    plane : int
        Of the counts.
    """

    name: str
    q: float = 0.5
    plane: int = 0


@dataclass(frozen=True)
class Picture:
    """A statistic as it is known by now.

    Attributes
    ----------
    values : ndarray of float32, shape ``window.shape``
        NaN where it is not known, not counted yet, or no sample fell into the bins.
    window : Window
        What it shows.
    done : float
        Share of it that is exact; 1 when nothing more will come.
    absent : float
        Share that is not counted yet.
    """

    values: NDArray[np.float32]
    window: Window
    done: float
    absent: float = 0.0


def statistic(what: What, counts: NDArray[Any], axis: BinAxis) -> NDArray[np.float64]:
    """Return a statistic of every pixel of ``(..., bins)`` counts."""
    return _STATISTICS[what.name](what, counts, axis)


def _quantile(what: What, counts: NDArray[Any], axis: BinAxis) -> NDArray[Any]:
    q = np.array([what.q if what.name == "quantile" else 0.5])
    return answers.quantiles(counts, q, axis.edges, axis.kind == "integer")[..., 0]


def _values(axis: BinAxis) -> NDArray[np.float64]:
    return axis.labels.astype(np.float64)


_STATISTICS: dict[str, Callable[[What, NDArray[Any], BinAxis], NDArray[Any]]] = {
    "median": _quantile,
    "quantile": _quantile,
    "mean": lambda _, counts, axis: answers.moments(counts, _values(axis))[0],
    "std": lambda _, counts, axis: np.sqrt(answers.moments(counts, _values(axis))[1]),
    "mode": lambda _, counts, axis: answers.modes(counts, _values(axis)),
    "entropy": lambda _, counts, axis: answers.entropies(counts),
}


class Canvas:
    """A picture in the making: tiles are put where they belong."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.values = np.full(window.shape, np.nan, np.float32)

    def _places(self, tile: Region) -> tuple[range, range, slice, slice]:
        """Return the sampled rows and columns of a tile in view, and where they go."""
        region, s = self.window.region, self.window.stride
        ys = samples(max(tile.y0, region.y0), min(tile.y1, region.y1), s)
        xs = samples(max(tile.x0, region.x0), min(tile.x1, region.x1), s)
        y, x = (samples(a, b, s) for a, b in ((region.y0, ys.start), (region.x0, xs.start)))
        return ys, xs, slice(len(y), len(y) + len(ys)), slice(len(x), len(x) + len(xs))

    def put(self, tile: Region, values: NDArray[Any]) -> None:
        """Put values that were sampled with the window's stride over the whole tile."""
        s = self.window.stride
        ys, xs, rows, columns = self._places(tile)
        y, x = (len(samples(a, b, s)) for a, b in ((tile.y0, ys.start), (tile.x0, xs.start)))
        self.values[rows, columns] = values[y : y + len(ys), x : x + len(xs)]

    def put_rough(self, tile: Region, values: NDArray[Any], stride: int) -> None:
        """Put values that were sampled with another stride, each where it is nearest."""
        ys, xs, rows, columns = self._places(tile)
        if not values.size or not len(ys) or not len(xs):
            return
        y = np.array(ys) // stride - samples(tile.y0, tile.y1, stride).start // stride
        x = np.array(xs) // stride - samples(tile.x0, tile.x1, stride).start // stride
        y, x = (np.clip(p, 0, n - 1) for p, n in ((y, values.shape[0]), (x, values.shape[1])))
        self.values[rows, columns] = values[np.ix_(y, x)]

    def put_plane(self, plane: NDArray[Any]) -> None:
        """Put a whole statistic image."""
        region, s = self.window.region, self.window.stride
        self.values[...] = plane[region.y0 : region.y1 : s, region.x0 : region.x1 : s]


def sampled(block: NDArray[Any], tile: Region, stride: int) -> NDArray[Any]:
    """Return every `stride`-th row and column of a tile, counted from the image's corner."""
    y = samples(tile.y0, tile.y1, stride).start - tile.y0
    x = samples(tile.x0, tile.x1, stride).start - tile.x0
    return block[y::stride, x::stride]


class Pictures:
    """Paints statistics of a histogram, and remembers what it has seen of the counts.

    Parameters
    ----------
    counts : Counts
        Of the histogram.
    known : dict of What to ndarray
        Statistic images that were computed before, shape (y, x).
    """

    def __init__(self, counts: Counts, known: dict[What, NDArray[Any]] | None = None) -> None:
        self.counts = counts
        self.known = known or {}
        self.tiles = counts.tiles
        self.computed = Shelf(TILE_CACHE)
        self.read = Shelf(COUNT_CACHE)
        pixel = counts.axis.bins * counts.dtype.itemsize
        whole = counts.shape[0] * counts.shape[1] * pixel
        self.rough_stride = max(1, int(np.ceil(np.sqrt(whole / ROUGH_BYTES))))
        self.rough: dict[tuple[int, Region], NDArray[Any]] = {}
        self.pool = ThreadPoolExecutor(os.cpu_count() or 1, "tiles", initializer=_step_back)
        self._spans: dict[Any, tuple[float, float]] = {}

    def block(self, plane: int, tile: Region) -> NDArray[Any]:
        """Return the counts of a tile, and remember a sample of them."""
        found = self.read.get((plane, tile))
        if found is not None:
            return found
        whole = self.counts.complete(plane, tile)
        found = self.counts.read_counted(plane, tile)
        if whole:
            self.read.put((plane, tile), found)
            if (plane, tile) not in self.rough:
                rough = sampled(found, tile, self.rough_stride)
                self.rough[plane, tile] = np.ascontiguousarray(rough)
        return found

    def paint(self, what: What, window: Window) -> Iterator[Picture]:
        """Yield a picture as soon as there is one, then better ones until it is exact.

        Parameters
        ----------
        what : What
            The statistic.
        window : Window
            The view.
        """
        canvas = Canvas(window)
        if what in self.known:
            canvas.put_plane(self.known[what])
            yield Picture(canvas.values, window, 1.0)
            return
        missing, absent, total = self._put_known(canvas, what)
        share = 1 / max(1, total)
        yield Picture(canvas.values.copy(), window, 1 - len(missing) * share, absent * share)
        told = time.monotonic()
        left = len(missing)
        for tile, values in self._compute(what, missing, window.stride):
            canvas.put(tile, values)
            left -= 1
            if time.monotonic() - told > EVERY or not left:
                picture = canvas.values.copy()
                yield Picture(picture, window, 1 - left * share, absent * share)
                told = time.monotonic()

    def _put_known(self, canvas: Canvas, what: What) -> tuple[list[Region], float, int]:
        """Put what is known; return the tiles to compute, how many are not counted, and all."""
        missing, absent, total = [], 0.0, 0
        stride = canvas.window.stride
        for tile in self.tiles.over(canvas.window.region):
            total += 1
            if not self.counts.complete(what.plane, tile):
                share = float(self.counts.counted(what.plane, tile).mean())
                absent += 1 - share
                if share:
                    missing.append(tile)
                continue
            values = self.computed.get((what, stride, tile))
            if values is not None:
                canvas.put(tile, values)
                continue
            missing.append(tile)
            rough = self.rough.get((what.plane, tile))
            if rough is not None:
                values = statistic(what, rough, self.counts.axis)
                canvas.put_rough(tile, values, self.rough_stride)
        return missing, absent, total

    def _compute(
        self, what: What, tiles: list[Region], stride: int
    ) -> Iterator[tuple[Region, NDArray[Any]]]:
        """Compute tiles on all cores, and yield them as they are ready."""
        waiting: dict[Future[NDArray[Any]], Region] = {
            self.pool.submit(self._tile, what, tile, stride): tile for tile in tiles
        }
        try:
            while waiting:
                ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield waiting.pop(future), future.result()
        finally:
            for future in waiting:
                future.cancel()

    def _tile(self, what: What, tile: Region, stride: int) -> NDArray[Any]:
        block = sampled(self.block(what.plane, tile), tile, stride)
        found = statistic(what, block, self.counts.axis).astype(np.float32)
        if self.counts.complete(what.plane, tile):
            return self.computed.put((what, stride, tile), found)
        counted = sampled(self.counts.counted(what.plane, tile), tile, stride)
        return np.where(counted, found, np.float32(np.nan))

    def span(self, what: What, picture: Picture, contrast: str) -> tuple[float, float]:
        """Return the values of the first and the last colour.

        Parameters
        ----------
        what : What
            The statistic.
        picture : Picture
            What is in view.
        contrast : {"robust", "full", "view"}
            The quantiles 0.001 and 0.999 of the whole image; all of its values; those in view.
            Statistics in the units of the samples share the scale of the median; quantiles
            stretch it where they reach beyond.
        """
        if contrast == "view":
            return robust_span(picture.values)
        own = self._whole_span(what, picture, contrast)
        if what.name not in VALUES:
            return own
        shared = self._whole_span(What("median", plane=what.plane), picture, contrast)
        if what.name != "quantile":
            return shared
        # Low and high quantiles reach beyond what the others share.
        return min(own[0], shared[0]), max(own[1], shared[1])

    def _whole_span(self, what: What, picture: Picture, contrast: str) -> tuple[float, float]:
        """Return the span of a statistic over the whole image, as far as it is known."""
        found = self._spans.get((what, contrast))
        if found is not None:
            return found
        overview = self._overview(what)
        if overview is None:
            return _span(picture.values, contrast)
        return self._spans.setdefault((what, contrast), _span(overview, contrast))

    def _overview(self, what: What) -> NDArray[Any] | None:
        """Return values of a statistic all over the image, or None while it is not known."""
        if what in self.known:
            return _thinned(self.known[what])
        blocks = self.sample(what.plane)
        if blocks is None:
            return None
        return np.concatenate([statistic(what, part, self.counts.axis) for part in blocks])

    def sample(self, plane: int) -> list[NDArray[Any]] | None:
        """Return counts of every `rough_stride`-th row and column, or None until all are read.

        Returns
        -------
        list of ndarray, shape (pixels, bins)
            Tile by tile.
        """
        blocks = [block for (p, _), block in list(self.rough.items()) if p == plane]
        grid = self.tiles.shape, self.tiles.tile
        if len(blocks) < np.prod([-(-n // t) for n, t in zip(*grid, strict=True)]):
            return None
        return [b.reshape(-1, b.shape[-1]) for b in blocks]

    def fill_rough(self, plane: int, stop: Callable[[], bool]) -> None:
        """Read every tile once, in the background, so that any statistic has a first look."""
        for tile in self.tiles.over(Region(0, self.counts.shape[0], 0, self.counts.shape[1])):
            if stop():
                return
            if (plane, tile) not in self.rough and self.counts.complete(plane, tile):
                self.block(plane, tile)

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)


def _step_back() -> None:
    """Let taps and the browser go first, where threads have a priority of their own (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 4)


def _thinned(plane: NDArray[Any]) -> NDArray[Any]:
    """Return at most about a million values of a plane."""
    step = max(1, int(np.sqrt(plane.size / 2**20)))
    return plane[::step, ::step]


def _span(values: NDArray[Any], contrast: str) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if contrast != "full" or not finite.size:
        return robust_span(values)
    return float(finite.min()), float(finite.max())
