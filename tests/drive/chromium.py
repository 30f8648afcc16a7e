"""A real browser for tests: Debian's Chromium, driven by Playwright; tests skip where it is not."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def chromium_path() -> str:
    """Return where Chromium is, or skip the test."""
    named = os.environ.get("PIXTALLY_CHROMIUM") or shutil.which("chromium")
    if not named or not Path(named).exists():
        pytest.skip("no Chromium: apt-get install chromium, or set PIXTALLY_CHROMIUM to its path")
    return named


@contextlib.contextmanager
def open_browser() -> Iterator[Any]:
    """Start Chromium for a block."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        yield browser
        browser.close()


class Window:
    """A browser window on a page of ours, which fails on any error in its console.

    Parameters
    ----------
    browser : playwright Browser
        From `open_browser`.
    url : str
        With the query of a view.
    width, theme : int, str
        Of the window; ``light`` or ``dark``.
    """

    def __init__(self, browser: Any, url: str, width: int = 1280, theme: str = "light") -> None:
        self.page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
        )
        self.errors: list[str] = []
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.set_default_timeout(15_000)
        self.page.goto(url)
        try:
            self.until("window.pixtally?.first > 0")
        except Exception as error:
            raise AssertionError(f"no picture: {error}; console: {self.errors}") from None

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def until(self, condition: str, argument: Any = None) -> None:
        """Wait for a condition in JavaScript."""
        self.page.wait_for_function(condition, arg=argument)

    def text(self, name: str) -> str:
        """Return the text of an element."""
        return self.page.locator(f"#{name}").inner_text()

    def says(self, name: str, part: str) -> None:
        """Wait until an element has a text in it."""
        found = "([n, t]) => document.getElementById(n).textContent.includes(t)"
        try:
            self.until(found, [name, part])
        except Exception:
            raise AssertionError(f"#{name} says {self.text(name)!r}, not {part!r}") from None

    def place(self, y: float, x: float) -> tuple[float, float]:
        """Return where on the screen a point of the picture is."""
        found = self.page.evaluate(
            """([y, x]) => {
              const view = Bokeh.index.find_one(window.pixtally.models.image);
              const box = view.el.getBoundingClientRect();
              return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)];
            }""",
            [y, x],
        )
        return found[0], found[1]

    def tap(self, y: int, x: int, **options: Any) -> None:
        """Tap a pixel in its middle."""
        self.page.mouse.click(*self.place(y + 0.5, x + 0.5), **options)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from one point of the picture to another."""
        self.page.mouse.move(*self.place(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(*end), steps=6)
        self.page.mouse.up()

    def values(self) -> Any:
        """Return the picture's values as nested lists."""
        return self.page.evaluate(
            """() => { const image = window.pixtally.models.source.data.values[0];
              const [h, w] = image.shape, flat = Array.from(image);
              return Array.from({length: h}, (_, k) => flat.slice(k * w, (k + 1) * w)); }"""
        )

    def close(self) -> None:
        """Close the window; anything in the console fails the test."""
        self.page.close()
        assert self.errors == []


@contextlib.contextmanager
def window(browser: Any, url: str, **options: Any) -> Iterator[Window]:
    """Open a window for a block."""
    made = Window(browser, url, **options)
    try:
        yield made
    except BaseException:
        made.page.close()
        raise
    made.close()
