"""Figures with matplotlib: histograms of pixels and regions, statistic images."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally import charts
from pixtally.errors import PixtallyError
from pixtally.regions import pixel_list, select
from pixtally.schema import BIN, COUNTS, axis_of

MOST_PIXELS = 10
"""More histograms than this in one plot cannot be told apart."""


def plot_histogram(
    hist: xr.Dataset,
    place: dict[str, Any],
    *,
    ax: Any = None,
    log: bool = False,
    density: bool = False,
    zoom: bool = True,
) -> Any:
    """Draw the histogram of a pixel, a region or several pixels; see `TallyAccessor.plot`."""
    places = pixel_list(place)
    if not 1 <= len(places) <= MOST_PIXELS:
        raise PixtallyError(
            f"{len(places)} pixels; a plot shows 1…{MOST_PIXELS}, or a slice summed"
        )
    axis = axis_of(hist)
    ax = ax or _new_axes()
    chosen = [select(hist, each) for each in places]
    counts = [one[COUNTS].values for one, _ in chosen]
    for values, (_, name) in zip(counts, chosen, strict=True):
        draw_bars(ax, values, axis, density=density, fill=len(places) == 1, label=name)
    label = hist[COUNTS].attrs.get("long_name", "")
    ax.set_ylabel("probability density" if density else label)
    ax.set_xlabel(_value_label(hist))
    ax.set_title(chosen[0][1] if len(places) == 1 else "")
    if len(places) > 1:
        ax.legend()
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    if zoom:
        ax.set_xlim(charts.bars(np.sum(counts, axis=0), axis, zoom=True, most=axis.bins).span)
    return ax


def draw_bars(
    ax: Any,
    counts: NDArray[Any],
    axis: Any,
    *,
    density: bool = False,
    fill: bool = True,
    label: str | None = None,
) -> None:
    """Draw one histogram into axes, a bar a bin."""
    heights = np.asarray(counts, np.float64)
    if density:
        heights = heights / ((heights.sum() or 1.0) * axis.widths)
    ax.stairs(heights, charts.drawn_edges(axis), fill=fill, label=label)


def draw_image(ax: Any, image: NDArray[Any], span: tuple[float, float], cmap: str) -> Any:
    """Draw a statistic image into axes, with its colour bar."""
    shown = ax.imshow(image, cmap=cmap, vmin=span[0], vmax=span[1], interpolation="nearest")
    ax.set_axis_off()
    finite = image[np.isfinite(image)]
    below, above = bool((finite < span[0]).any()), bool((finite > span[1]).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}
    return ax.figure.colorbar(
        shown, ax=ax, extend=extend.get((below, above), "neither"), shrink=0.8
    )


def _value_label(hist: xr.Dataset) -> str:
    units = hist[BIN].attrs.get("units")
    return f"value [{units}]" if units else "value"


def _new_axes() -> Any:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7, 3.2), layout="constrained")[1]
