"""Pictures with pan and zoom, and what is marked on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import (
    BoxSelectTool,
    ColorBar,
    ColumnDataSource,
    CustomJS,
    LinearColorMapper,
    PanTool,
    Range1d,
    WheelZoomTool,
)
from bokeh.palettes import Cividis256, Greys256, Magma256, Turbo256, Viridis256
from bokeh.plotting import figure
from numpy.typing import NDArray

from pixtally.browse.cut import Region, Window

PALETTES: dict[str, tuple[str, ...]] = {
    "gray": Greys256,
    "viridis": Viridis256,
    "magma": Magma256,
    "cividis": Cividis256,
    "turbo": Turbo256,
}
FONT = "system-ui"
SLOTS = ("a", "b")
EVENTS = {
    "tap": "tap",
    "doubletap": "tap",  # a second tap soon after the first, on another pixel
    "selectiongeometry": "box",
    "mousemove": "hover",
    "rangesupdate": "moved",
}
"""What happens to a picture, and the function of the page's script that is told."""

Coloured = tuple[Any, ...]
"""A glyph, the colour of the theme (``a``, ``b``, ``ink``), and the properties that get it."""


def plain_axes(fig: Any) -> None:
    """Give the axes of a figure the page's type."""
    for axis in (*fig.xaxis, *fig.yaxis):
        axis.update(
            major_label_text_font=FONT,
            major_label_text_font_size="12px",
            axis_label_text_font=FONT,
            axis_label_text_font_style="normal",
            axis_label_text_font_size="13px",
            minor_tick_line_color=None,
        )


def image_figure(name: str, ranges: tuple[Range1d, Range1d] | None = None) -> Any:
    """Return an empty figure for a picture, whose row 0 is on top.

    Parameters
    ----------
    name : str
        By which the page finds it.
    ranges : tuple of Range1d, optional
        Those of another picture, which moves with this one.
    """
    x, y = ranges or (Range1d(0, 1), Range1d(1, 0))
    fig = figure(
        name=name,
        x_range=x,
        y_range=y,
        tools=[PanTool(), WheelZoomTool(), BoxSelectTool(renderers=[])],
        toolbar_location=None,
        sizing_mode="stretch_both",
        min_border=4,
        border_fill_color=None,
        output_backend="canvas",
    )
    fig.toolbar.active_scroll = fig.tools[1]
    fig.grid.visible = False
    plain_axes(fig)
    for event, called in EVENTS.items():
        fig.js_on_event(event, CustomJS(code=f"window.pixtally.{called}(cb_obj)"))
    return fig


def _empty_picture(**columns: Any) -> ColumnDataSource:
    return ColumnDataSource({"x": [], "y": [], "dw": [], "dh": [], "values": [], **columns})


def extent(window: Window) -> dict[str, list[float]]:
    """Return where the sampled rows and columns of a window lie; each stands for its stride."""
    rows, columns = window.shape
    s, region = window.stride, window.region
    return {"x": [region.x0], "y": [region.y0], "dw": [columns * s], "dh": [rows * s]}


@dataclass
class ValuePicture:
    """One number a pixel, shown through a colormap with a colour bar."""

    fig: Any
    source: ColumnDataSource
    mapper: LinearColorMapper
    bar: ColorBar

    @classmethod
    def make(cls, name: str) -> ValuePicture:
        """Return an empty one."""
        fig, source = image_figure(name), _empty_picture()
        mapper = LinearColorMapper(palette=Viridis256, low=0, high=1, nan_color="rgba(0, 0, 0, 0)")
        fig.image(
            image="values", x="x", y="y", dw="dw", dh="dh", source=source, color_mapper=mapper
        )
        bar = ColorBar(
            color_mapper=mapper,
            width=14,
            background_fill_color=None,
            padding=8,
            title_text_font=FONT,
            major_label_text_font=FONT,
            major_label_text_font_size="12px",
        )
        fig.add_layout(bar, "right")
        return cls(fig, source, mapper, bar)

    def show(
        self, values: NDArray[np.float32], window: Window, span: tuple[float, float], cmap: str
    ) -> None:
        """Show other values."""
        low, high = span
        self.mapper.update(palette=PALETTES[cmap], low=low, high=high if high > low else low + 1)
        self.source.data = {**extent(window), "values": [values]}


@dataclass
class ColourPicture:
    """A picture of RGBA words, with the values that they stand for."""

    fig: Any
    source: ColumnDataSource

    @classmethod
    def make(cls, name: str, ranges: tuple[Range1d, Range1d] | None = None) -> ColourPicture:
        """Return an empty one."""
        fig, source = image_figure(name, ranges), _empty_picture(words=[])
        fig.image_rgba(image="words", x="x", y="y", dw="dw", dh="dh", source=source)
        return cls(fig, source)

    def show(self, words: NDArray[np.uint32], values: NDArray[Any], window: Window) -> None:
        """Show another picture."""
        self.source.data = {**extent(window), "words": [words], "values": [values]}


@dataclass
class Marks:
    """Where the selected pixels and boxes are on a picture."""

    sources: dict[str, ColumnDataSource]
    glyphs: list[Coloured]

    @classmethod
    def make(cls, fig: Any) -> Marks:
        """Return marks on a figure."""
        sources, glyphs = {}, []
        for slot in SLOTS:
            source = ColumnDataSource({n: [] for n in ("left", "right", "top", "bottom", "x", "y")})
            ends = {"left": "left", "right": "right", "top": "top", "bottom": "bottom"}
            fig.quad(**ends, source=source, fill_color=None, line_color="white", line_width=4)
            box = fig.quad(**ends, source=source, fill_color=None, line_width=2)
            ring = {"source": source, "size": 15, "marker": "circle", "fill_color": None}
            fig.scatter("x", "y", line_color="white", line_width=5, **ring)
            dot = fig.scatter("x", "y", line_width=2.5, **ring)
            sources[slot] = source
            glyphs += [(box.glyph, slot, "line_color"), (dot.glyph, slot, "line_color")]
        return cls(sources, glyphs)

    def show(self, slot: str, region: Region | None) -> None:
        """Mark a region, or nothing."""
        if region is None:
            self.sources[slot].data = {name: [] for name in self.sources[slot].data}
            return
        single = region.pixels == 1
        self.sources[slot].data = {
            "left": [region.x0],
            "right": [region.x1],
            "top": [region.y0],
            "bottom": [region.y1],
            "x": [(region.x0 + region.x1) / 2 if single else np.nan],
            "y": [(region.y0 + region.y1) / 2 if single else np.nan],
        }
