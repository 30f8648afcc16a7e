"""A sheet of some images before and after, with both histograms, as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.errors import PixtallyError

PLOTTED_BINS = 128
MOST_PIXELS = 1024


def write_preview(
    before: xr.DataArray, after: xr.DataArray, path: Path, number: int, *, dim: str = "image"
) -> Path:
    """Draw evenly spaced images before and after, a row each, with both histograms.

    Parameters
    ----------
    before, after : DataArray, shape (image, ...)
        Lazy or not; only the images that are drawn are computed.
    path : Path
        The PNG to write.
    number : int
        How many images.
    dim : str
        Name of the image dimension.

    Returns
    -------
    Path

    Raises
    ------
    PixtallyError
        When `number` is below 1.
    """
    if number < 1:
        raise PixtallyError(
            f"preview is {number}; expected the number of images to draw, 1 or more"
        )
    from matplotlib.figure import Figure

    size = before.sizes[dim]
    chosen = np.unique(np.linspace(0, size - 1, min(number, size)).round().astype(int))
    figure = Figure(figsize=(11, 2.9 * len(chosen)), layout="constrained", dpi=80)
    rows = figure.subplots(len(chosen), 3, squeeze=False, width_ratios=(1, 1, 1.1))
    for place, row in zip(chosen, rows, strict=True):
        pair = [images.isel({dim: place}).compute() for images in (before, after)]
        _draw_row(row, pair, _name(before, dim, int(place)))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _name(images: xr.DataArray, dim: str, place: int) -> str:
    if "image_id" in images.coords:
        return str(images["image_id"].values[place]).rpartition("/")[2][-36:]
    return f"{dim} {place}"


def _draw_row(row: Any, pair: list[xr.DataArray], name: str) -> None:
    for axes, image, when in zip(row, pair, ("before", "after"), strict=False):
        low, high = _span(image)
        axes.imshow(_picture(image, low, high), cmap="gray", vmin=0, vmax=1)
        axes.set_title(f"{when}: {name}" if when == "before" else when, fontsize=9)
        axes.set_axis_off()
        values = _valid(image)
        counts, edges = np.histogram((values - low) / (high - low), PLOTTED_BINS, (0, 1))
        share = counts / max(values.size, 1)
        row[2].stairs(
            share, edges, fill=when == "before", alpha=0.6, label=f"{when} {_range(image)}"
        )
    row[2].legend(fontsize=7)
    row[2].set(xlabel="share of the span", ylabel="share of the samples")


def _valid(image: xr.DataArray) -> NDArray[np.float64]:
    values = image.values.astype(np.float64).ravel()
    return values[np.isfinite(values)]


def _span(image: xr.DataArray) -> tuple[float, float]:
    """Return what is drawn black and white: 8-bit images in full, others from end to end."""
    if image.dtype == np.uint8:
        return 0.0, 255.0
    values = _valid(image)
    low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def _range(image: xr.DataArray) -> str:
    low, high = _span(image)
    return f"({image.dtype}, {low:g} to {high:g})"


def _picture(image: xr.DataArray, low: float, high: float) -> NDArray[np.float64]:
    """Return (y, x) or (y, x, 3) between 0 and 1, thinned out where it is very large."""
    extra = [d for d in image.dims if d not in ("y", "x")][: image.ndim - 2]
    ordered = image.transpose(..., *extra).values
    step = max(1, -(-max(ordered.shape[:2]) // MOST_PIXELS))
    thin = (ordered[::step, ::step].astype(np.float64) - low) / (high - low)
    if thin.ndim == 3 and thin.shape[2] not in (3, 4):
        thin = thin[..., 0]
    return np.clip(np.nan_to_num(thin), 0, 1)
