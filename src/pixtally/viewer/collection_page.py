"""The page on a collection: frames with display limits, before and after a change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixtally.axis import BinAxis
from pixtally.browse.cut import Region, Window
from pixtally.browse.distribution import Distribution
from pixtally.browse.frames import Frames, changed, counted, picture
from pixtally.browse.view import EQUALIZERS, FILLERS, View
from pixtally.viewer.distributions import HistogramPlot, Scale
from pixtally.viewer.figures import ColourPicture
from pixtally.viewer.page import CMAP_NAMES, Page, resolution

STYLES = [
    ("minmax", "MATLAB imshow(x, [])"),
    ("matlab", "MATLAB imshow(x)"),
    ("imagesc", "MATLAB imagesc(x)"),
    ("matplotlib", "matplotlib imshow(x)"),
]


def _colours(view: View) -> str:
    return "gray" if view.cmap == "auto" else view.cmap


class CollectionPage(Page):
    """See the module."""

    kind = "collection"

    def build(self) -> None:
        """Make the figures."""
        self.before = ColourPicture.make("image")
        fig = self.before.fig
        self.after = ColourPicture.make("after", (fig.x_range, fig.y_range))
        self.plots = HistogramPlot("histogram"), HistogramPlot("cdf")
        self.result: tuple[tuple[Any, ...], NDArray[Any]] | None = None
        for root in (fig, self.after.fig, *(p.fig for p in self.plots)):
            self.doc.add_root(root)

    def models(self) -> dict[str, Any]:
        """Return what the script of the page works with."""
        pictures = [self.before.fig, self.after.fig]
        glyphs = [*self.plots[0].glyphs, *self.plots[1].glyphs]
        return {
            "image": pictures[0],
            "images": pictures,
            "figures": [*pictures, *(p.fig for p in self.plots)],
            "drags": [[fig.tools[0], fig.tools[2]] for fig in pictures],
            "coloured": [list(each) for each in glyphs],
            "source": self.before.source,
        }

    def config(self) -> dict[str, Any]:
        """Return further variables of the template."""
        changes = [("none", "none")]
        changes += [(f"equalize-{m}", f"equalize: {m}") for m in EQUALIZERS]
        changes += [("clahe", "clahe"), *((f"fill-{m}", f"fill: {m}") for m in FILLERS)]
        return {"changes": changes, "styles": STYLES, "cmaps": CMAP_NAMES}

    @property
    def _frames(self) -> Frames:
        frames = self.target.frames
        assert frames is not None  # noqa: S101 - a collection has frames
        return frames

    def update(self, before: View | None) -> None:
        """Show the view, given what was on the screen."""
        self.paint(partial(self._paint, self.view, self.window()))

    def _paint(self, view: View, window: Window) -> Iterator[Callable[[], None]]:
        frame = self._frames.frame(view.frame)
        shown = picture(frame, window, view.style, _colours(view))
        yield partial(self._show, 0, shown, frame, window, view)
        if view.change == "none":
            yield partial(self._show, 1, shown, frame, window, view)
            return
        key = (view.frame, view.change, view.where)
        if self.result is None or self.result[0] != key:
            self.result = key, changed(frame, view.change, view.where)
        after = self.result[1]
        yield partial(
            self._show, 1, picture(after, window, view.style, _colours(view)), after, window, view
        )

    def _show(
        self,
        which: int,
        shown: tuple[NDArray[np.uint32], tuple[float, float] | None],
        frame: NDArray[Any],
        window: Window,
        view: View,
    ) -> None:
        words, limits = shown
        rows, columns = window.region.slices
        step = window.stride
        plane = frame if frame.ndim == 2 else frame[0]
        values = plane[rows.start : rows.stop : step, columns.start : columns.stop : step]
        (self.before, self.after)[which].show(
            words, np.ascontiguousarray(values, np.float32), window
        )
        self._count(which, frame)
        place = min(view.frame, self._frames.number - 1)
        name = f"{place} of {self._frames.number} · {self._frames.name(place)}"
        text = "" if limits is None else f"black {limits[0]:.4g}, white {limits[1]:.4g}"
        kind = f", {frame.dtype}" if text else str(frame.dtype)
        self.say(
            status=resolution(window),
            **{"frame-name": name, ("before-limits", "after-limits")[which]: text + kind},
        )

    def _count(self, which: int, frame: NDArray[Any]) -> None:
        counts, edges = counted(frame)
        axis = BinAxis(
            "variable", counts.size, float(edges[0]), float(edges[-1]), "left", tuple(edges)
        )
        one = Distribution(Region(0, 1, 0, 1), axis, counts.astype(np.uint64))
        slot = ("a", "b")[which]
        self.plots[which].show({slot: one}, Scale(False, 1.0, "pixels"))
