"""Progress on the terminal: one line a stage on stderr, silent where there is no terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pixtally.sizes import duration_text, size_text

log = logging.getLogger("pixtally")

Advance = Callable[[int, int], None]
"""Called with (units done, units in all) as a stage goes on."""

PREPARING = "preparing workers"

NOTICEABLE = 0.1
"""Seconds from which on compiling is worth a word."""


@dataclass
class Stage:
    """A stage that is under way; called with (done, total) it moves its bar.

    Attributes
    ----------
    label : str
        What is being done.
    images, size : float
        Images and bytes that the units of this run go through, 0 where it is not known.
    before : int
        Units that earlier runs completed.
    spent : dict
        Seconds that the finished units took, by what they were spent on.
    """

    label: str
    images: float = 0
    size: float = 0
    before: int = 0
    begin: float = field(default_factory=time.perf_counter)
    done: int = 0
    total: int = 0
    spent: dict[str, float] = field(default_factory=dict)
    show: Callable[[Stage], None] = lambda stage: None

    def __call__(self, done: int, total: int) -> None:
        """Take note of how far it is."""
        self.done, self.total = done, total
        self.show(self)

    def add(self, spent: Mapping[str, float]) -> None:
        """Add what a unit spent its time on."""
        for name, seconds in spent.items():
            self.spent[name] = self.spent.get(name, 0.0) + seconds

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.begin

    def how_far(self) -> str:
        """Return what is complete, in words."""
        if not self.total:
            return f"{self.label}, what was complete before is kept"
        done, total = self.before + self.done, self.before + self.total
        return f"{self.label}, {done} of {total} units are complete and kept"

    def text(self) -> str:
        """Return how far it is, the time left, and the rates.

        Examples
        --------
        >>> stage = Stage("counting", before=2)
        >>> stage(0, 8)
        >>> stage.text()
        '2 of 10'
        """
        if not self.total:
            return ""
        words = [f"{self.before + self.done} of {self.before + self.total}"]
        if 0 < self.done < self.total:
            left = self.elapsed / self.done * (self.total - self.done)
            words.append(f"{duration_text(left)} left")
        return " · ".join(filter(None, [*words, self.rate_text()]))

    def rate_text(self) -> str:
        """Return images and bytes a second, and what takes longest.

        Examples
        --------
        >>> stage = Stage("counting", images=100, size=2**20, done=1, total=2)
        >>> stage.add({"decoding": 3.0, "counting": 1.0})
        >>> stage.rate_text().split("·")[-1]
        ' mostly decoding (75 %)'
        """
        if not self.done or not self.total:
            return ""
        part = self.done / self.total / max(self.elapsed, 1e-9)
        words = []
        if self.images:
            words.append(f"{_rate(self.images * part)} images/s")
        if self.size:
            words.append(f"{size_text(self.size * part)}/s")
        if self.spent:
            name, longest = max(self.spent.items(), key=lambda pair: pair[1])
            share = longest / (sum(self.spent.values()) or 1.0)
            words.append(f"mostly {name} ({100 * share:.0f} %)")
        return " · ".join(words)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


class Interrupted:
    """What was going on when the user pressed Ctrl-C."""

    stage: Stage | None = None


@contextmanager
def stage(
    label: str,
    show: bool | None = None,
    *,
    images: float = 0,
    size: float = 0,
    before: int = 0,
) -> Iterator[Stage]:
    """Show one stage of a job while it runs.

    Parameters
    ----------
    label : str
        What is being done, in two or three words.
    show : bool, optional
        Draw a bar; by default only where stderr is a terminal.
    images, size : float
        Images and bytes that the stage goes through, for the rates.
    before : int
        Units that earlier runs completed.

    Yields
    ------
    Stage
        Call it with (done, total).
    """
    made = Stage(label, images, size, before)
    try:
        if sys.stderr.isatty() if show is None else show:
            with _bar(made):
                yield made
        else:
            yield made
    except KeyboardInterrupt:
        Interrupted.stage = made
        raise
    log.info("%s: %.1f s%s", label, made.elapsed, f", {t}" if (t := made.rate_text()) else "")


@dataclass
class Prepared:
    """What preparing workers took: seconds of compiling, None where it is not known."""

    compiled: float | None = None


@contextmanager
def preparing(show: bool | None = None) -> Iterator[Prepared]:
    """Show that workers are prepared, and afterwards say how long kernels compiled, if any did."""
    made = Prepared()
    with stage(PREPARING, show):
        yield made
    if made.compiled is not None and made.compiled >= NOTICEABLE:
        words = f"compiled kernels, once: {made.compiled:.1f} s"
        log.info(words)
        if sys.stderr.isatty() if show is None else show:
            sys.stderr.write(words + "\n")


@contextmanager
def _bar(made: Stage) -> Iterator[None]:
    """Draw the bar of a stage until it ends."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns: tuple[Any, ...] = (
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}"),
    )
    passing = made.label == PREPARING
    with Progress(*columns, console=Console(stderr=True), transient=passing) as bars:
        bar = bars.add_task(made.label, total=None, completed=made.before, text="")

        def show(now: Stage) -> None:
            done, total = now.before + now.done, now.before + now.total
            bars.update(bar, completed=done, total=total, text=now.text())

        made.show = show
        yield
