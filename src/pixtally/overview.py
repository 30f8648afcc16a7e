"""A histogram looked over once, block by block: images for the screen, sums, unusual pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally import schema
from pixtally.axis import FLOWS, BinAxis
from pixtally.kernels import answers as kernels
from pixtally.kernels.bimodality import bimodalities
from pixtally.screen import SCREEN_SIDE, ScreenImage, screen_step, squares
from pixtally.unusual import KINDS, Best, heat

SHOWN = ("median", "mean", "std", "mode", "entropy")
"""The statistic images."""

LEAST = {kind.name: kind.least for kind in KINDS}

BLOCK_BYTES = 64 * 2**20
"""Counts of a histogram in memory are looked over in pieces of this size."""


@dataclass
class Found:
    """What one block of pixels holds."""

    corner: tuple[int, int, int]
    medians: NDArray[np.float32]
    small: dict[str, list[Any]]
    extremes: dict[str, tuple[float, float]]
    histogram: NDArray[Any]
    flows: dict[str, Any]
    best: dict[str, Best]
    unseen: int


@dataclass
class Overview:
    """What a histogram looks like as a whole.

    Attributes
    ----------
    pixel_dims : tuple of str
        Dimensions of the pixels; the last two are rows and columns, those before make planes.
    shape : (int, int, int)
        Planes, rows, columns.
    step : int
        Pixels along the side of a square that is one pixel of the small images.
    images : dict
        For each of `SHOWN` the small images, float64, shape (planes, rows, columns).
    extremes : dict
        Least and largest value of each statistic over all pixels.
    histogram : ndarray, shape (bins,)
        Counts of all pixels together.
    flows : dict
        Samples in underflow, overflow and invalid, all pixels together.
    best : dict
        `Best` by the name of a kind of unusual pixel.
    unseen : int
        Pixels without a sample in the bins.
    """

    pixel_dims: tuple[str, ...]
    axis: BinAxis
    shape: tuple[int, int, int]
    step: int
    images: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    extremes: dict[str, tuple[float, float]] = field(default_factory=dict)
    histogram: NDArray[Any] = field(default_factory=lambda: np.empty(0))
    flows: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Best] = field(default_factory=dict)
    unseen: int = 0

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape))

    @property
    def samples(self) -> Any:
        """Samples in the bins, or the sum of their weights."""
        return self.histogram.sum()


def look_over(hist: xr.Dataset, most: int = SCREEN_SIDE) -> Overview:
    """Go over a histogram once, a block of pixels at a time.

    Parameters
    ----------
    hist : Dataset
        From `pixel_histogram` or `open_histogram`; blocks are computed by Dask, a few at a time.
    most : int
        Longest side of the small images.

    Returns
    -------
    Overview

    Raises
    ------
    PixtallyError
        When it is no histogram.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> frames = np.random.default_rng(0).integers(0, 256, (50, 6, 8), "uint8")
    >>> look_over(pt.pixel_histogram(frames)).images["median"].shape
    (1, 6, 8)
    """
    axis = schema.axis_of(hist)
    counts, flows, dims = _as_planes(hist)
    rows, columns = counts.shape[1:3]
    shape = (int(counts.shape[0]), int(rows), int(columns))
    made = Overview(dims, axis, shape, screen_step(shape[1:], most))
    found = dask.compute(
        *(
            dask.delayed(_look)(block, beside, corner, shape, axis, made.step)
            for corner, block, beside in _blocks(counts, flows)
        )
    )
    _join(made, found)
    return made


def _as_planes(hist: xr.Dataset) -> tuple[da.Array, da.Array, tuple[str, ...]]:
    """Return counts (plane, row, column, bin) and flows (plane, row, column, 3), on Dask."""
    dims = tuple(str(d) for d in hist[schema.COUNTS].dims if d != schema.BIN)
    counts = _lazy(hist[schema.COUNTS].transpose(*dims, schema.BIN))
    flows = da.stack([_lazy(hist[name].transpose(*dims)) for name in FLOWS], axis=-1)
    counts = counts.rechunk({counts.ndim - 1: -1})
    flows = flows.rechunk((*counts.chunks[:-1], -1))
    return _three(counts), _three(flows), dims


def _lazy(array: xr.DataArray) -> da.Array:
    if isinstance(array.data, da.Array):
        return array.data
    chunks = da.core.normalize_chunks(
        ("auto",) * array.ndim, array.shape, limit=BLOCK_BYTES, dtype=array.dtype
    )
    return da.from_array(array.data, chunks=chunks, name=False)


def _three(array: da.Array) -> da.Array:
    """Give an array (..., last) two pixel dimensions and planes before them."""
    while array.ndim < 4:
        array = array[None]
    if array.ndim > 4:
        array = array.reshape(-1, *array.shape[-3:], merge_chunks=False)
    return array


def _blocks(counts: da.Array, flows: da.Array) -> Iterator[tuple[tuple[int, int, int], Any, Any]]:
    """Yield the corner, the counts and the flows of every block."""
    starts = [np.cumsum([0, *c[:-1]]) for c in counts.chunks[:3]]
    blocks, beside = counts.to_delayed(), flows.to_delayed()
    for place in product(*(range(len(s)) for s in starts)):
        p, y, x = (int(s[k]) for s, k in zip(starts, place, strict=True))
        yield (p, y, x), blocks[(*place, 0)], beside[(*place, 0)]


def _look(
    counts: NDArray[Any],
    flows: NDArray[Any],
    corner: tuple[int, int, int],
    shape: tuple[int, int, int],
    axis: BinAxis,
    step: int,
) -> Found:
    """Look over one block of shape (planes, rows, columns, bins)."""
    statistics, scores = _statistics(counts, flows, axis)
    best = {}
    for name, found in scores.items():
        best[name] = Best(shape)
        best[name].add(corner, found, LEAST[name])
    total = np.uint64 if counts.dtype.kind != "f" else np.float64
    return Found(
        corner=corner,
        medians=statistics["median"].astype(np.float32),
        small={
            name: [squares(corner[1:], plane, step) for plane in image]
            for name, image in statistics.items()
        },
        extremes={name: _extremes(image) for name, image in statistics.items()},
        histogram=counts.sum(axis=(0, 1, 2), dtype=total),
        flows={name: flows[..., k].sum(dtype=total) for k, name in enumerate(FLOWS)},
        best=best,
        unseen=int(np.count_nonzero(np.isnan(statistics["median"]))),
    )


def _statistics(
    counts: NDArray[Any], flows: NDArray[Any], axis: BinAxis
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Return the statistic images of a block, and the scores of unusual pixels."""
    values = axis.labels.astype(np.float64)
    exact = axis.kind == "integer"
    mean, variance = kernels.moments(counts, values)
    statistics = {
        "median": kernels.quantiles(counts, np.array([0.5]), axis.edges, exact)[..., 0],
        "mean": mean,
        "std": np.sqrt(variance),
        "mode": kernels.modes(counts, values),
        "entropy": kernels.entropies(counts),
    }
    above = flows[..., FLOWS.index("overflow")].astype(np.float64)
    top = counts[..., -1] + above
    seen = counts.sum(axis=-1, dtype=np.float64) + above
    outside = above + flows[..., FLOWS.index("underflow")]
    scores = {
        "entropy": statistics["entropy"],
        "bimodal": bimodalities(counts, values, float(np.median(axis.widths))),
        # A sample outside the bins is another value than those inside.
        "dead": np.where((statistics["entropy"] == 0) & (outside == 0), 1.0, 0.0),
        "saturated": np.divide(top, seen, out=np.zeros_like(seen), where=seen > 0),
    }
    return statistics, scores


def _extremes(image: NDArray[np.float64]) -> tuple[float, float]:
    finite = image[np.isfinite(image)]
    return (float(finite.min()), float(finite.max())) if finite.size else (np.inf, -np.inf)


def _join(made: Overview, parts: tuple[Found, ...]) -> None:
    """Add up what was found in the blocks."""
    planes, rows, columns = made.shape
    medians = np.full(made.shape, np.nan, np.float32)
    small = {
        name: [ScreenImage((rows, columns), made.step) for _ in range(planes)] for name in SHOWN
    }
    made.histogram = np.zeros(made.axis.bins, parts[0].histogram.dtype)
    made.flows = {name: part * 0 for name, part in parts[0].flows.items()}
    made.extremes = dict.fromkeys(SHOWN, (np.inf, -np.inf))
    made.best = {kind.name: Best(made.shape) for kind in KINDS}
    for part in parts:
        p, y, x = part.corner
        a, b, c = part.medians.shape
        medians[p : p + a, y : y + b, x : x + c] = part.medians
        for name, planes_of in part.small.items():
            for k, square in enumerate(planes_of):
                small[name][p + k].join(*square)
            low, high = part.extremes[name]
            before = made.extremes[name]
            made.extremes[name] = (min(low, before[0]), max(high, before[1]))
        made.histogram += part.histogram
        for name, number in part.flows.items():
            made.flows[name] += number
        for name, best in part.best.items():
            made.best[name].join(best)
        made.unseen += part.unseen
    made.images = {name: np.stack([s.mean() for s in each]) for name, each in small.items()}
    width = float(np.median(made.axis.widths))
    for plane in range(planes):
        scores = heat(medians[plane], width)[None]
        made.best["hot"].add((plane, 0, 0), scores, LEAST["hot"])
