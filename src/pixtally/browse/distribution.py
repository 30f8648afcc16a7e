"""The distribution of a selected pixel or box: counts, what follows from them, fitted models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally import schema
from pixtally.axis import FLOWS, BinAxis
from pixtally.browse.cut import Region, Tiles
from pixtally.browse.pictures import Pictures, What, statistic
from pixtally.pixel_models import fit_peaks, pixel_mixture


@dataclass(frozen=True)
class Distribution:
    """The samples of a pixel, or of all pixels of a box together.

    Attributes
    ----------
    region : Region
        Where.
    axis : BinAxis
        The bins.
    counts : ndarray, shape (bins,)
        uint64, or float64 sums of weights.
    flows : dict of str to int or float
        Samples in underflow, overflow and invalid.
    absent : int
        Pixels of the region that are not counted yet, and so are not in here.
    """

    region: Region
    axis: BinAxis
    counts: NDArray[Any]
    flows: dict[str, Any] = field(default_factory=dict)
    absent: int = 0

    @property
    def total(self) -> float:
        """Samples in the bins."""
        return float(self.counts.sum())

    def summary(self, q: float = 0.5) -> dict[str, float]:
        """Return the statistics of all samples together; NaN without any."""
        return {
            name: float(statistic(What(name, q), self.counts[None], self.axis)[0])
            for name in ("median", "mean", "std", "mode", "entropy", "quantile")
        }

    def cdf(self) -> NDArray[np.float64]:
        """Return the share of the samples up to each bin's upper edge, shape (bins,)."""
        running: NDArray[np.float64] = np.cumsum(self.counts, dtype=np.float64)
        return running / (running[-1] or 1.0)


def edges_shown(axis: BinAxis) -> NDArray[np.float64]:
    """Return where bars begin and end: a bin that is a whole number is drawn around it."""
    return axis.edges - 0.5 if axis.kind == "integer" else axis.edges


def distribution(pictures: Pictures, plane: int, region: Region) -> Distribution:
    """Add up the counts of a pixel or box.

    Parameters
    ----------
    pictures : Pictures
        Of a histogram; tiles that it has read are not read again.
    plane : int
        Of the counts.
    region : Region
        Clipped to the image.
    """
    counts = pictures.counts
    region = region.clip(counts.shape)
    kind = np.float64 if counts.dtype.kind == "f" else np.uint64
    sums = np.zeros(counts.axis.bins, kind)
    flows = np.zeros(len(FLOWS), kind)
    absent = 0
    for part, block in _parts(pictures, plane, region):
        if block is None:
            absent += part.pixels
            continue
        sums += block.reshape(-1, sums.size).sum(axis=0, dtype=kind)
        flows += counts.flows(plane, part).reshape(len(FLOWS), -1).sum(axis=1, dtype=kind)
    named = dict(zip(FLOWS, flows.tolist(), strict=True))
    return Distribution(region, counts.axis, sums, named, absent)


def sampled_distribution(pictures: Pictures, plane: int) -> Distribution | None:
    """Return the distribution of all pixels together, from a sample of them that is in memory.

    Parameters
    ----------
    pictures : Pictures
        Of a histogram.
    plane : int
        Of the counts.

    Returns
    -------
    Distribution or None
        Of every `rough_stride`-th row and column; None until these have been read.
    """
    blocks = pictures.sample(plane)
    if blocks is None:
        return None
    kind = np.float64 if pictures.counts.dtype.kind == "f" else np.uint64
    sums = np.zeros(pictures.counts.axis.bins, kind)
    for block in blocks:
        sums += block.sum(axis=0, dtype=kind)
    h, w = pictures.counts.shape
    return Distribution(Region(0, h, 0, w), pictures.counts.axis, sums)


def _parts(
    pictures: Pictures, plane: int, region: Region
) -> Iterator[tuple[Region, NDArray[Any] | None]]:
    """Yield the counts of a region tile by tile; None where they are not complete."""
    counts = pictures.counts
    for tile in pictures.tiles.over(region):
        part = tile.common(region)
        if not counts.complete(plane, part):
            yield from _counted(pictures, plane, part)
            continue
        held = pictures.read.get((plane, tile))
        if held is not None:
            yield part, held[part.within(tile)]
        elif part.pixels * 4 < tile.pixels:
            yield part, counts.read(plane, part)
        else:
            yield part, pictures.block(plane, tile)[part.within(tile)]


def _counted(
    pictures: Pictures, plane: int, part: Region
) -> Iterator[tuple[Region, NDArray[Any] | None]]:
    """Yield what is counted of a region chunk by chunk, None for the others."""
    counts = pictures.counts
    for chunk in Tiles(counts.shape, counts.chunk).over(part):
        cut = chunk.common(part)
        yield cut, counts.read(plane, cut) if counts.complete(plane, cut) else None


@dataclass(frozen=True)
class Fit:
    """A model over a histogram, ready to draw.

    Attributes
    ----------
    x : ndarray, shape (points,)
        Values.
    parts : ndarray, shape (components, points)
        Expected samples a bin of each component; their sum is the model.
    text : str
        The parameters, as people read them.
    """

    x: NDArray[np.float64]
    parts: NDArray[np.float64]
    text: str


def fit(found: Distribution, model: str) -> Fit | None:
    """Fit Gaussians or photon peaks to a distribution; None where there is nothing to fit.

    Parameters
    ----------
    found : Distribution
        Of a pixel or box.
    model : str
        The number of Gaussians, or ``peaks``.
    """
    if model == "none" or not found.total:
        return None
    hist = _as_histogram(found)
    if model == "peaks":
        return _peaks(found, fit_peaks(hist).isel(y=0, x=0))
    return _gaussians(found, pixel_mixture(hist, int(model)).isel(y=0, x=0))


def _as_histogram(found: Distribution) -> xr.Dataset:
    counts = xr.Variable(("y", "x", schema.BIN), found.counts[None, None])
    return xr.Dataset({schema.COUNTS: counts}, coords=schema.bin_coords(found.axis))


def _gaussians(found: Distribution, model: xr.Dataset) -> Fit | None:
    present = np.flatnonzero(np.nan_to_num(model["weights"].values) > 0)
    if not present.size:
        return None
    weights, means, stds = (model[n].values[present] for n in ("weights", "means", "stds"))
    rows = zip(weights, means, stds, strict=True)
    text = "; ".join(f"{w:.0%} at {m:.4g} ± {s:.3g}" for w, m, s in rows)
    return _curves(found, weights, means, stds, text)


def _peaks(found: Distribution, model: xr.Dataset) -> Fit | None:
    offset, gain, noise, rate = (float(model[n]) for n in ("offset", "gain", "noise", "rate"))
    if not np.isfinite(gain):
        return None
    n = np.arange(16)
    logs = n * np.log(max(rate, 1e-12)) - rate - np.cumsum(np.log(np.maximum(n, 1)))
    weights = np.exp(logs)
    kept = weights > 1e-4
    text = f"offset {offset:.4g}, gain {gain:.4g}, noise {noise:.3g}, {rate:.3g} photons a sample"
    means = offset + n * gain
    return _curves(found, weights[kept], means[kept], np.full(kept.sum(), noise), text)


def _curves(
    found: Distribution,
    weights: NDArray[Any],
    means: NDArray[Any],
    stds: NDArray[Any],
    text: str,
) -> Fit:
    """Return densities times samples times bin width, on points that no peak slips through."""
    axis = found.axis
    width = float(np.median(axis.widths))
    wide = np.maximum(stds, width / 3)
    even = np.linspace(axis.start, axis.stop, 257)
    near = (means[:, None] + wide[:, None] * np.linspace(-4, 4, 41)).ravel()
    x = np.unique(np.clip(np.concatenate([even, near]), axis.start, axis.stop))
    away = (x[None, :] - means[:, None]) / wide[:, None]
    density = np.exp(-0.5 * away**2) / (wide[:, None] * np.sqrt(2 * np.pi))
    return Fit(x, weights[:, None] * density * found.total * width, text)
