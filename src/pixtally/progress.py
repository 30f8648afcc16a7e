"""Progress on the terminal: one rich bar a stage on stderr, silent where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int, int], None]
"""Called with (units done, units in all) as a stage goes on."""


@contextmanager
def stage(label: str, show: bool | None = None) -> Iterator[Advance]:
    """Show one stage of a job while it runs.

    Parameters
    ----------
    label : str
        What is being done, in two or three words.
    show : bool, optional
        Draw a bar; by default only where stderr is a terminal.

    Yields
    ------
    Advance
        Call it with (done, total).
    """
    if show is None:
        show = sys.stderr.isatty()
    if not show:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
