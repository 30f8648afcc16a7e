"""What both kinds of page share: the template, the link to the browser, work beside it."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from bokeh.core.properties import String
from bokeh.document import Document
from bokeh.model import DataModel
from bokeh.models import CustomJS
from jinja2 import Environment, Template

from pixtally.browse.cut import Window, window_of
from pixtally.browse.opening import Target
from pixtally.browse.view import COLOURS, View
from pixtally.errors import PixtallyError
from pixtally.viewer.latest import Latest, Steps

log = logging.getLogger("pixtally")

LOOK_AGAIN = 2000
"""Milliseconds between two looks at a store that may change."""

NAMES = {
    "median": "Median",
    "mean": "Mean",
    "std": "Standard deviation",
    "mode": "Mode",
    "entropy": "Entropy",
    "quantile": "Quantile",
    "frame": "Frame",
    "score": "Foreground score",
}
CMAP_NAMES = [(c, c) for c in COLOURS]


class Link(DataModel):  # type: ignore[misc]  # bokeh is not read by mypy
    """What the browser wants and what Python has to say, as JSON texts."""

    wanted = String(default="")
    shown = String(default="{}")


@cache
def template() -> Template:
    """Return the page's HTML, with its style and script in it."""
    assets = files("pixtally.viewer") / "assets"
    page, css, js = ((assets / f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    # Bokeh gives values that are HTML already; what is ours is escaped where it is used.
    made = Environment(autoescape=False).from_string(page)  # noqa: S701  # nosec B701
    made.globals.update(css=css, js=js)
    return made


class Page(ABC):
    """A page on a target, for one browser window.

    Parameters
    ----------
    doc : Document
        Of Bokeh.
    target : Target
        What is looked at; shared by all windows.
    query : mapping
        Of the link by which the window was opened.
    """

    kind = ""

    def __init__(self, doc: Document, target: Target, query: Mapping[str, str]) -> None:
        self.doc = doc
        self.target = target
        self.view = View.of(query)
        self.screen = (640, 640)
        self.link = Link(name="link")
        self.says: dict[str, Any] = {}
        self.version = target.version
        self.painter = self._latest()
        self.teller = self._latest()
        self.watcher = self._latest()
        # Bokeh else walks over all models after every change of what belongs to the page.
        with doc.models.freeze():
            self.build()
            self._publish()

    def _latest(self) -> Latest:
        return Latest(self._hand_over, lambda text: self.say(status=text))

    def _hand_over(self, show: Callable[[], None]) -> None:
        try:
            self.doc.add_next_tick_callback(show)
        except RuntimeError:  # the window has gone
            self.close()

    def close(self) -> None:
        """End the work beside the page."""
        for each in (self.painter, self.teller, self.watcher):
            each.close()

    @abstractmethod
    def build(self) -> None:
        """Make the figures."""

    @abstractmethod
    def models(self) -> dict[str, Any]:
        """Return what the script of the page works with."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return further variables of the template."""

    @abstractmethod
    def update(self, before: View | None) -> None:
        """Show the view, given what was on the screen."""

    def _publish(self) -> None:
        # Only what a root refers to is kept equal on both sides.
        self.doc.roots[0].tags = [self.link]
        self.doc.title = f"{self.target.name} · pixtally"
        self.doc.template = template()
        frames = self.target.frames
        config = {
            "kind": self.kind,
            "shape": list(self.target.shape),
            "frames": frames.number if frames else 0,
            "usual": _texts(View()),
            "view": _texts(self.view),
        }
        self.doc.template_variables.update(
            name=_escaped(self.target.name),
            facts=_escaped(self.target.facts()),
            kind=self.kind,
            frames=config["frames"],
            config=json.dumps(config).replace("</", "<\\/"),
            bokeh_scripts='<script src="static/js/bokeh.min.js"></script>',
            **self.config(),
        )
        self.doc.js_on_event(
            "document_ready",
            CustomJS(args={"link": self.link, **self.models()}, code=_START),
        )
        self.link.on_change("wanted", self._wanted)
        self.doc.add_periodic_callback(self._look_again, LOOK_AGAIN)
        self.say(banner=self.banner())

    def banner(self) -> str:
        """Return what stands over the page: how much of a store is there."""
        if self.target.progress < 1:
            done = self.target.progress
            far = f"{done:.0%} of the pixels are complete" if done else "no pixel is complete yet"
            return f"This histogram is being written: {far}, the rest is blank. The page follows."
        return self.target.note

    def say(self, banner: str | None = None, summary: Any = None, **texts: str) -> None:
        """Change texts of the page."""
        if banner is not None:
            self.says["banner"] = banner
        if summary is not None:
            self.says["summary"] = summary
        self.says["texts"] = {**self.says.get("texts", {}), **texts}
        self.link.shown = json.dumps(self.says)

    def _wanted(self, attr: str, old: str, new: str) -> None:
        found = json.loads(new)
        first = not old
        before, screen = self.view, self.screen
        self.view = View.of({k: v for k, v in found["view"].items() if v != ""})
        w, h = found["screen"]
        ratio = min(2.0, max(1.0, float(found.get("ratio", 1))))
        self.screen = max(64, min(4096, int(w * ratio))), max(64, min(4096, int(h * ratio)))
        if first or self.view != before or self.screen != screen:
            self.update(None if first or screen != self.screen else before)

    def window(self) -> Window:
        """Return what is in view."""
        at = self.view.at
        centre, width = ((at[0], at[1]), at[2]) if at else (None, None)
        return window_of(self.target.shape, self.screen, centre, width)

    def _look_again(self) -> None:
        def look() -> Iterator[Callable[[], None]]:
            self.target.refresh()
            if self.target.version != self.version:
                yield self._changed

        self.watcher.ask(look)

    def _changed(self) -> None:
        self.version = self.target.version
        self.say(banner=self.banner(), facts=self.target.facts())
        self.update(None)

    def paint(self, steps: Steps) -> None:
        """Draw the picture beside the page."""
        self.painter.ask(steps)

    def tell(self, steps: Steps) -> None:
        """Work on the selection beside the page."""
        self.teller.ask(steps)


def _texts(view: View) -> dict[str, str]:
    """Return every field as the text that a link and the controls use."""
    from dataclasses import fields

    full = {f.name: "" for f in fields(view)}
    for name in full:
        value = getattr(view, name)
        if isinstance(value, bool):
            full[name] = str(int(value))
        elif value is not None:
            full[name] = f"{value:.6g}" if isinstance(value, float) else str(value)
    return {**full, **view.query()}


def _escaped(text: str) -> str:
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    )


def resolution(window: Window) -> str:
    """Say what of the pixels in view is shown."""
    s = window.stride
    if s == 1:
        return "Every pixel in view is shown."
    ordinal = {2: "2nd", 3: "3rd"}.get(s, f"{s}th")
    return f"Every {ordinal} row and column is shown; zoom in for all."


_START = """
const value = (x, y) => {
  const d = source.data;
  if (!d.x.length) return null;
  const image = d.values[0], [h, w] = image.shape;
  const column = Math.floor((x - d.x[0]) / d.dw[0] * w);
  const row = Math.floor((y - d.y[0]) / d.dh[0] * h);
  if (row < 0 || column < 0 || row >= h || column >= w) return null;
  const found = image[row * w + column];
  return Number.isNaN(found) ? "none" : String(Number(found.toPrecision(5)));
};
window.pixtally.start({link, image, images, figures, drags, coloured, source, value});
"""

__all__ = ["Link", "Page", "PixtallyError", "resolution", "template"]
