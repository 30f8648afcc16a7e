"""Plugins of Dask workers: they reach every worker, wherever and whenever it starts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from dask.base import tokenize
from distributed.diagnostics.plugin import WorkerPlugin

from pixtally.interrupts import ignore_interrupt
from pixtally.node import rehearse, set_up


class WorkerSetup(WorkerPlugin):
    """Makes a worker single-threaded below Dask, and keeps compiled kernels on its own disk."""

    name = "pixtally-setup"

    async def setup(self, worker: Any) -> None:
        """Run when the worker starts, and on workers that run when it is registered."""
        if worker.nanny is not None:
            # Who started the worker can stop it through its nanny.
            ignore_interrupt()
        await asyncio.to_thread(set_up)


class Rehearsal(WorkerPlugin):
    """Calls a function on every worker before its first task, so that what it needs is compiled."""

    def __init__(self, function: Callable[..., object], *arguments: Any) -> None:
        self.name = f"pixtally-rehearsal-{tokenize(function, arguments)}"
        self.function = function
        self.arguments = arguments

    async def setup(self, worker: Any) -> None:
        """Run when the worker starts, and on workers that run when it is registered."""
        await asyncio.to_thread(rehearse, self.function, *self.arguments)


ATTEMPTS = 8


def register(client: Any, plugin: WorkerPlugin) -> None:
    """Register a plugin on all workers, also while some of them are leaving.

    An adaptive cluster closes idle workers at any moment; one that closes while it is told makes
    the whole registration fail. The scheduler has the plugin by then: tell those that are left.
    """
    for attempt in range(ATTEMPTS):
        try:
            client.register_plugin(plugin)
        except OSError:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.25 * (attempt + 1))
        else:
            return
