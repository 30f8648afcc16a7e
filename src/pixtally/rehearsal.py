"""Kernels are compiled before a job begins: once a node, on every worker that comes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from pixtally.jobs import current_client
from pixtally.node import rehearse, take_compile_seconds


@contextlib.contextmanager
def rehearsed(function: Callable[..., object], *arguments: Any) -> Iterator[float]:
    """Call a function on every worker, and on those that start during the block, before any task.

    Without a Dask client it is called here.

    Parameters
    ----------
    function : callable
        Top-level; compiles what the job needs on a few small arrays.
    *arguments
        Small and picklable.

    Yields
    ------
    float
        Seconds that the worker which compiled most spent on it.
    """
    client = current_client()
    if client is None:
        rehearse(function, *arguments)
        yield take_compile_seconds()
        return
    from pixtally.workers import Rehearsal, register

    plugin = Rehearsal(function, *arguments)
    register(client, plugin)
    try:
        # A worker that leaves now has nothing to tell.
        spent = client.run(take_compile_seconds, on_error="ignore")
        yield max(spent.values(), default=0.0)
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.unregister_worker_plugin(plugin.name)
