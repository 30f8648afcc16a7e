"""Histograms and CDFs of the pixels that are selected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import (
    ColumnDataSource,
    CustomJSTickFormatter,
    FixedTicker,
    Range1d,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from pixtally.browse.distribution import Distribution, Fit, edges_shown
from pixtally.viewer.figures import SLOTS, Coloured, plain_axes


@dataclass
class Scale:
    """The axis of counts: as counts or shares, linear or logarithmic with a place for zero."""

    log: bool
    unit: float
    label: str

    def place(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return where values lie on the axis."""
        scaled = np.asarray(values, np.float64)
        return np.log10(1 + scaled / self.unit) if self.log else scaled


class CountAxis:
    """Ticks and numbers of an axis of counts, linear or logarithmic.

    Parameters
    ----------
    axis : LinearAxis
        Of a figure.
    """

    def __init__(self, axis: Any) -> None:
        self.axis = axis
        self.linear = {"ticker": axis.ticker, "formatter": axis.formatter}
        axis.formatter.power_limit_high = 7
        self.decades = FixedTicker(ticks=[0])
        self.powers = CustomJSTickFormatter(args={"unit": 1.0}, code=_POWER)
        self.log = False

    def show(self, scale: Scale, most: float) -> None:
        """Change what has to: another ticker costs Bokeh a walk over the whole document."""
        self.axis.axis_label = scale.label
        if scale.log:
            decades = np.arange(0, np.ceil(np.log10(max(most / scale.unit, 10))) + 1)
            self.decades.ticks = [0.0, *np.log10(1 + 10.0**decades).tolist()]
            self.powers.args = {"unit": scale.unit}
        if scale.log != self.log:
            self.log = scale.log
            made = {"ticker": self.decades, "formatter": self.powers}
            self.axis.update(**(made if scale.log else self.linear))


_POWER = """
const v = (Math.pow(10, tick) - 1) * unit, r = Number(v.toPrecision(1));
if (r < 1e5 && (r >= 1e-3 || r == 0)) return String(r);
return r.toExponential(0).replace("e+", "e");
"""


def scale_for(found: list[Distribution], log: bool, weighted: bool) -> Scale:
    """Return the axis on which distributions compare: shares where their totals differ."""
    totals = {d.total for d in found if d.total}
    if len(totals) > 1:
        unit = 10.0 ** np.floor(-np.log10(max(totals)))
        return Scale(log, unit, "share of samples")
    return Scale(log, 1.0, "sum of weights" if weighted else "samples")


class HistogramPlot:
    """Histograms of up to two selections, with a model over the first.

    Parameters
    ----------
    name : str
        By which the page finds the figure.
    """

    def __init__(self, name: str) -> None:
        self.fig = _plot(name, "value")
        self.axis = CountAxis(self.fig.yaxis[0])
        self.glyphs: list[Coloured] = []
        self.bars = {slot: self._bars(slot) for slot in SLOTS}
        self.parts = ColumnDataSource({"x": [], "y": []})
        self.whole = ColumnDataSource({"x": [], "y": []})
        self.lines = {name: ColumnDataSource({"x": [], "y": []}) for name in ("q", "frame")}
        self._curves()

    def _bars(self, slot: str) -> ColumnDataSource:
        source = ColumnDataSource({"left": [], "right": [], "top": [], "bottom": []})
        drawn = self.fig.quad(
            left="left",
            right="right",
            top="top",
            bottom="bottom",
            source=source,
            fill_alpha=0.75 if slot == "a" else 0.45,
            line_alpha=0.9,
            line_width=0.5,
        )
        self.glyphs.append((drawn.glyph, slot, "line_color", "fill_color"))
        return source

    def _curves(self) -> None:
        parts = self.fig.multi_line("x", "y", source=self.parts, line_width=1.5, line_dash=[5, 3])
        whole = self.fig.line("x", "y", source=self.whole, line_width=2)
        self.glyphs += [(g.glyph, "ink", "line_color") for g in (parts, whole)]
        for name, dash in (("q", [2, 3]), ("frame", [])):
            line = self.fig.line("x", "y", source=self.lines[name], line_width=2, line_dash=dash)
            self.glyphs.append((line.glyph, "ink", "line_color"))

    def show(
        self,
        found: dict[str, Distribution],
        scale: Scale,
        model: Fit | None = None,
        lines: dict[str, float | None] | None = None,
    ) -> None:
        """Show other distributions.

        Parameters
        ----------
        found : dict
            By slot, ``a`` and ``b``.
        scale : Scale
            From `scale_for`.
        model : Fit, optional
            Of ``a``.
        lines : dict, optional
            Values to mark: ``q`` and ``frame``.
        """
        most = 0.0
        for slot, source in self.bars.items():
            columns, top = _bar_columns(found.get(slot), scale)
            source.data = columns
            most = max(most, top)
        self._show_model(found.get("a"), model, scale)
        top = float(scale.place(np.array(most or 1.0)))
        for name, source in self.lines.items():
            value = (lines or {}).get(name)
            known = value is not None and np.isfinite(value)
            source.data = {"x": [value] * 2, "y": [0, top]} if known else {"x": [], "y": []}
        self.fig.y_range.update(start=0, end=top * 1.06)
        self.axis.show(scale, most)
        first, last = _reach(list(found.values()))
        self.fig.x_range.update(start=first, end=last)

    def _show_model(self, of: Distribution | None, model: Fit | None, scale: Scale) -> None:
        if model is None or of is None:
            self.parts.data = self.whole.data = {"x": [], "y": []}
            return
        share = 1 / of.total if scale.label.startswith("share") else 1.0
        parts = scale.place(model.parts * share)
        self.parts.data = {"x": [model.x] * len(parts), "y": list(parts)}
        self.whole.data = {"x": model.x, "y": scale.place(model.parts.sum(axis=0) * share)}


def _plot(name: str, label: str) -> Any:
    fig = figure(
        name=name,
        x_range=Range1d(0, 1),
        y_range=Range1d(0, 1),
        tools="",
        toolbar_location=None,
        sizing_mode="stretch_both",
        min_border=4,
        border_fill_color=None,
        min_border_left=66,
    )
    plain_axes(fig)
    fig.xaxis.axis_label = label
    fig.xgrid.visible = False
    return fig


def _bar_columns(
    found: Distribution | None, scale: Scale
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Return the bars that are not empty, and the highest value."""
    if found is None or not found.total:
        none = np.empty(0)
        return {"left": none, "right": none, "top": none, "bottom": none}, 0.0
    edges, bins = edges_shown(found.axis), np.flatnonzero(found.counts)
    values = found.counts[bins].astype(np.float64)
    if scale.label.startswith("share"):
        values = values / found.total
    columns = {"left": edges[bins], "right": edges[bins + 1], "top": scale.place(values)}
    return {**columns, "bottom": np.zeros(bins.size)}, float(values.max())


def _reach(found: list[Distribution]) -> tuple[float, float]:
    """Return the values between which samples lie, with a margin."""
    ends = []
    for each in found:
        edges, bins = edges_shown(each.axis), np.flatnonzero(each.counts)
        if bins.size:
            ends += [edges[bins[0]], edges[bins[-1] + 1]]
    if not ends:
        return 0.0, 1.0
    margin = 0.06 * (max(ends) - min(ends))
    return float(min(ends) - margin), float(max(ends) + margin)


class CdfPlot:
    """Cumulative distributions of up to two selections, on the values of a histogram.

    Parameters
    ----------
    name : str
        By which the page finds the figure.
    x_range : Range1d
        Of the histogram above it.
    """

    def __init__(self, name: str, x_range: Range1d) -> None:
        self.fig = _plot(name, "value")
        self.fig.x_range = x_range
        self.fig.yaxis.axis_label = "share up to value"
        self.fig.y_range.update(start=0, end=1.04)
        self.lines = {slot: ColumnDataSource({"x": [], "y": []}) for slot in SLOTS}
        self.guide = ColumnDataSource({"x": [], "y": []})
        self.glyphs: list[Coloured] = []
        guide = self.fig.line("x", "y", source=self.guide, line_width=1.5, line_dash=[2, 3])
        self.glyphs.append((guide.glyph, "ink", "line_color"))
        for slot, source in self.lines.items():
            drawn = self.fig.line("x", "y", source=source, line_width=2.2)
            self.glyphs.append((drawn.glyph, slot, "line_color"))

    def show(
        self, found: dict[str, Distribution], q: float | None = None, value: float | None = None
    ) -> None:
        """Show other distributions, and where the quantile `q` of the first lies."""
        for slot, source in self.lines.items():
            each = found.get(slot)
            source.data = {"x": [], "y": []} if each is None else _cdf_points(each)
        known = q is not None and value is not None and np.isfinite(value)
        low = self.fig.x_range.start
        self.guide.data = (
            {"x": [low, value, value], "y": [q, q, 0]} if known else {"x": [], "y": []}
        )


def _cdf_points(found: Distribution) -> dict[str, NDArray[np.float64]]:
    """Return a staircase for whole numbers, else the piecewise-linear CDF."""
    bins = np.flatnonzero(found.counts)
    if not bins.size:
        return {"x": np.empty(0), "y": np.empty(0)}
    share = found.cdf()
    if found.axis.kind != "integer":
        first, last = bins[0], bins[-1] + 1
        return {"x": found.axis.edges[first : last + 1], "y": np.r_[0, share[first:last]]}
    values, steps = found.axis.labels[bins].astype(np.float64), share[bins]
    ends = values[0] - 1e9, values[-1] + 1e9
    x = np.r_[ends[0], np.repeat(values, 2), ends[1]]
    return {"x": x, "y": np.r_[0, 0, np.repeat(steps, 2)]}
