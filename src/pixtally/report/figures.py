"""The figures of a report as PNG files, drawn with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pixtally import charts
from pixtally.axis import BinAxis
from pixtally.overview import SHOWN
from pixtally.plots import draw_bars, draw_image
from pixtally.report.gather import Gathered, ShownPixel
from pixtally.report.page import LEVELS, MEANINGS, level_span, pictures_of
from pixtally.report.pictures import CMAPS, shared_span

COLUMNS = 3
DPI = 120


def write_figures(found: Gathered, folder: Path) -> list[Path]:
    """Write the statistic images, the collection's histogram and the pixels.

    Parameters
    ----------
    found : Gathered
    folder : Path
        Made where it is missing.

    Returns
    -------
    list of Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = [_statistic(found, name, folder / f"{name}.png") for name in SHOWN]
    made.append(_collection(found, folder / "collection.png"))
    made.append(_pixels(found, folder / "pixels.png"))
    return made


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=DPI)


def _statistic(found: Gathered, name: str, path: Path) -> Path:
    seen = found.overview
    span = level_span(seen) if name in LEVELS else shared_span([seen.images[name]])
    planes = seen.images[name][: len(pictures_of(seen, name, span))]
    rows, columns = planes[0].shape
    figure = _figure(7 * len(planes), max(2.0, min(7 * 0.85 * rows / columns + 0.6, 10)))
    for ax, plane in zip(figure.subplots(1, len(planes), squeeze=False)[0], planes, strict=True):
        bar = draw_image(ax, plane, span, CMAPS[name])
        bar.set_label("bit" if name == "entropy" else found.units or "value")
    small = f", each dot {seen.step} × {seen.step} pixels" if seen.step > 1 else ""
    figure.suptitle(f"{MEANINGS[name][0]} of {found.path.name}{small}")
    figure.savefig(path)
    return path


def _collection(found: Gathered, path: Path) -> Path:
    figure = _figure(9, 3.4)
    ax = figure.subplots()
    draw_bars(ax, found.overview.histogram, found.overview.axis)
    ax.set(
        title=f"All samples of {found.path.name}", xlabel=found.units or "value", ylabel="samples"
    )
    figure.savefig(path)
    return path


def _pixels(found: Gathered, path: Path) -> Path:
    rows = -(-len(found.pixels) // COLUMNS)
    figure = _figure(11, 2.2 * rows)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for ax, pixel in zip(axes, found.pixels, strict=False):
        _pixel(ax, pixel, found.overview.axis)
    for ax in axes[len(found.pixels) :]:
        ax.set_axis_off()
    figure.savefig(path)
    return path


def _pixel(ax: Any, pixel: ShownPixel, axis: BinAxis) -> None:
    draw_bars(ax, pixel.counts, axis)
    low, high = charts.bars(pixel.counts, axis, zoom=True).span
    ax.set_xlim(low, high)
    where = ", ".join(f"{d} {n}" for d, n in pixel.place.items())
    ax.set_title(f"{pixel.kind}: {where}", fontsize=9)
    if pixel.mixture and np.count_nonzero(pixel.counts) > 1:
        values = np.linspace(low, high, 200)
        width = float(np.median(axis.widths))
        weights, means, stds = (pixel.mixture[v] for v in ("weights", "means", "stds"))
        for density in charts.gaussians(values, weights, means, stds, width / 2):
            ax.plot(values, density * pixel.counts.sum() * width, color="C1", linewidth=1)
