"""The page on a histogram: statistic images, the selected pixels' distributions, frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from pixtally.browse.cut import Window
from pixtally.browse.distribution import (
    Distribution,
    Fit,
    distribution,
    fit,
    sampled_distribution,
)
from pixtally.browse.pictures import Picture, Pictures, What
from pixtally.browse.view import STATISTICS, View
from pixtally.display import robust_span
from pixtally.sizes import GiB
from pixtally.viewer.distributions import CdfPlot, HistogramPlot, Scale, scale_for
from pixtally.viewer.figures import Marks, ValuePicture
from pixtally.viewer.page import CMAP_NAMES, NAMES, Page, resolution

SCORE_SPAN = (0.0, 10.0)
"""Standard deviations that the colours of a foreground score span."""

READ_AHEAD = 4 * GiB
"""Counts up to this size are read in the background before they are asked for."""

PICTURE_FIELDS = ("show", "q", "frame", "plane", "at", "cmap", "contrast")
SELECTION_FIELDS = ("show", "q", "frame", "plane", "a", "b", "log", "model")
COLUMNS = ("median", "mean", "std", "mode", "entropy")


class HistogramPage(Page):
    """See the module."""

    kind = "histogram"

    def build(self) -> None:
        """Make the figures."""
        self.picture = ValuePicture.make("image")
        self.marks = Marks.make(self.picture.fig)
        self.histogram = HistogramPlot("histogram")
        self.cdf = CdfPlot("cdf", self.histogram.fig.x_range)
        for fig in (self.picture.fig, self.histogram.fig, self.cdf.fig):
            self.doc.add_root(fig)

    def models(self) -> dict[str, Any]:
        """Return what the script of the page works with."""
        fig = self.picture.fig
        glyphs = [*self.marks.glyphs, *self.histogram.glyphs, *self.cdf.glyphs]
        return {
            "image": fig,
            "images": [fig],
            "figures": [fig, self.histogram.fig, self.cdf.fig],
            "drags": [[fig.tools[0], fig.tools[2]]],
            "coloured": [list(each) for each in glyphs],
            "source": self.picture.source,
        }

    def config(self) -> dict[str, Any]:
        """Return further variables of the template."""
        counts = self._pictures.counts
        shows = [(name, NAMES[name]) for name in STATISTICS]
        if self.target.frames is not None:
            shows += [("frame", NAMES["frame"]), ("score", NAMES["score"])]
        models = [("none", "none"), ("1", "1 Gaussian")]
        models += [(str(k), f"{k} Gaussians") for k in range(2, 6)]
        return {
            "shows": shows,
            "planes": [(k, counts.plane_name(k)) for k in range(counts.planes)],
            "cmaps": CMAP_NAMES,
            "contrasts": [("robust", "99.8 %"), ("full", "all values"), ("view", "in view")],
            "models": [*models, ("peaks", "photon peaks")],
        }

    @property
    def _pictures(self) -> Pictures:
        pictures = self.target.pictures
        assert pictures is not None  # noqa: S101 - a histogram has pictures
        return pictures

    @property
    def _plane(self) -> int:
        return min(self.view.plane, self._pictures.counts.planes - 1)

    def update(self, before: View | None) -> None:
        """Show the view, given what was on the screen."""

        def differs(names: tuple[str, ...]) -> bool:
            return before is None or any(getattr(before, n) != getattr(self.view, n) for n in names)

        if differs(("a", "b")):
            for slot in ("a", "b"):
                self.marks.show(slot, getattr(self.view, slot))
        if differs(SELECTION_FIELDS):
            self.tell(partial(self._select, self.view))
        if differs(PICTURE_FIELDS):
            self.paint(partial(self._paint, self.view, self.window()))

    # --- the picture -----------------------------------------------------------------------

    def _paint(self, view: View, window: Window) -> Iterator[Callable[[], None]]:
        if view.show in ("frame", "score") and self.target.frames is not None:
            yield from self._paint_frame(view, window)
            return
        self.target.ready.set()
        name = view.show if view.show in STATISTICS else "median"
        what = What(name, view.q if name == "quantile" else 0.5, self._plane)
        for made in self._pictures.paint(what, window):
            span = self._pictures.span(what, made, view.contrast)
            yield partial(self._show, made, span, view, self._title(view))
        # Every other statistic then has a first look at once.
        if self._pictures.counts.nbytes <= READ_AHEAD:
            self._pictures.fill_rough(self._plane, lambda: self.painter.wanted)
            if not _selects(view):
                yield lambda: self.tell(partial(self._select, self.view))

    def _paint_frame(self, view: View, window: Window) -> Iterator[Callable[[], None]]:
        frames = self.target.frames
        assert frames is not None  # noqa: S101 - asked before
        frame = frames.frame(view.frame)
        plane = frame.reshape(-1, *frames.shape)[self._plane]
        title = self._title(view)
        if view.show == "score" and self.target.scores is not None:
            for made in self.target.scores.paint(self._plane, plane, window):
                yield partial(self._show, made, SCORE_SPAN, view, title)
            return
        rows, columns = window.region.slices
        step = window.stride
        values = plane[rows.start : rows.stop : step, columns.start : columns.stop : step]
        shown = values if view.contrast == "view" else plane[::step, ::step]
        made = Picture(np.ascontiguousarray(values, np.float32), window, 1.0)
        full = view.contrast == "full"
        span = (float(np.nanmin(plane)), float(np.nanmax(plane))) if full else robust_span(shown)
        yield partial(self._show, made, span, view, title)

    def _title(self, view: View) -> str:
        name = NAMES[view.show]
        if view.show == "quantile":
            return f"Quantile {view.q:g}"
        if view.show in ("frame", "score") and self.target.frames is not None:
            place = min(view.frame, self.target.frames.number - 1)
            return f"{name} {place}" if view.show == "frame" else f"{name} of frame {place}"
        return name

    def _show(self, made: Picture, span: tuple[float, float], view: View, title: str) -> None:
        self.picture.show(made.values, made.window, span, view.colours())
        texts = [f"{title}.", resolution(made.window)]
        if made.absent > 0:
            texts.append(f"{made.absent:.0%} of it is not counted yet.")
        if made.done < 0.999:
            texts.append(f"Refining… {made.done:.0%}")
        place = {}
        if self.target.frames is not None:
            place = {"frame-name": self._frame_name(view)}
        self.say(status=" ".join(texts), **place)

    def _frame_name(self, view: View) -> str:
        frames = self.target.frames
        assert frames is not None  # noqa: S101
        place = min(view.frame, frames.number - 1)
        return f"{place} of {frames.number} · {frames.name(place)}"

    # --- the selection ---------------------------------------------------------------------

    def _select(self, view: View) -> Iterator[Callable[[], None]]:
        found: dict[str, Distribution] = {}
        for slot in ("a", "b"):
            region = getattr(view, slot)
            if region is not None:
                found[slot] = distribution(self._pictures, self._plane, region)
        if not found:
            every = sampled_distribution(self._pictures, self._plane)
            found = {} if every is None else {"a": every}
        weighted = self._pictures.counts.dtype.kind == "f"
        scale = scale_for(list(found.values()), view.log, weighted)
        summary = self._summary(found, view)
        yield partial(self._tell, found, scale, None, view, summary)
        if "a" in found and view.model != "none":
            model = fit(found["a"], view.model)
            yield partial(self._tell, found, scale, model, view, summary)

    def _summary(self, found: dict[str, Distribution], view: View) -> dict[str, Any]:
        columns = ["n", *COLUMNS]
        if view.show == "quantile":
            columns.append(f"q {view.q:g}")
        outside = any(sum(d.flows.values()) for d in found.values())
        columns += ["below", "above", "invalid"] if outside else []
        rows = []
        for slot, each in found.items():
            numbers = each.summary(view.q)
            cells = [_number(each.total), *(_number(numbers[n]) for n in COLUMNS)]
            cells += [_number(numbers["quantile"])] if view.show == "quantile" else []
            cells += [_number(v) for v in each.flows.values()] if outside else []
            name = self._place(each) if _selects(view) else self._all_pixels()
            rows.append({"slot": slot, "name": name, "cells": cells})
        corner = "pixel" if _selects(view) else "Tap a pixel"
        return {"corner": corner, "columns": columns if found else [], "rows": rows}

    def _all_pixels(self) -> str:
        stride = self._pictures.rough_stride
        return "all pixels" if stride == 1 else f"all pixels (1 of {stride**2})"

    def _place(self, found: Distribution) -> str:
        region, counts = found.region, self._pictures.counts
        if region.pixels > 1:
            text = f"y {region.y0}–{region.y1 - 1}, x {region.x0}–{region.x1 - 1}"
        else:
            text = f"y {region.y0}, x {region.x0}"
        labels = [counts.coordinate(k, p) for k, p in enumerate((region.y0, region.x0))]
        if region.pixels == 1 and all(v is not None for v in labels):
            text += f" ({labels[0]:.6g}, {labels[1]:.6g})"
        if found.absent:
            text += " (not counted yet)" if found.absent == region.pixels else " (in part)"
        return text

    def _tell(
        self,
        found: dict[str, Distribution],
        scale: Scale,
        model: Fit | None,
        view: View,
        summary: dict[str, Any],
    ) -> None:
        quantile = None
        if view.show == "quantile" and "a" in found:
            quantile = found["a"].summary(view.q)["quantile"]
        lines = {"q": quantile, "frame": self._sample(view)}
        self.histogram.show(found, scale, model, lines)
        self.cdf.show(found, view.q if quantile is not None else None, quantile)
        text = "" if model is None else f"Model of A: {model.text}"
        if view.model != "none" and model is None and found:
            text = "No such model fits these counts." if view.model == "peaks" else "Fitting…"
        self.say(summary=summary, **{"model-text": text})

    def _sample(self, view: View) -> float | None:
        """Return the value of pixel A in the frame that is shown."""
        if view.show != "frame" or view.a is None or self.target.frames is None:
            return None
        region = view.a.clip(self.target.shape)
        if region.pixels > 1:
            return None
        frame = self.target.frames.frame(view.frame)
        return float(frame.reshape(-1, *self.target.shape)[self._plane][region.y0, region.x0])


def _selects(view: View) -> bool:
    return view.a is not None or view.b is not None


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    if 1e6 <= abs(value) < 1e15:
        size, letter = (1e9, "G") if abs(value) >= 1e9 else (1e6, "M")
        return f"{value / size:.4g} {letter}"
    return f"{value:.4g}"
