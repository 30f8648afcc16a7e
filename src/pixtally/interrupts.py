"""Ctrl-C is for the process that the user started, not for its workers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def interrupt_held_back() -> Iterator[None]:
    """Let Ctrl-C wait during a block; threads and processes that begin in it never get it.

    A terminal sends it to all processes at once. Workers would die in the middle of their units and
    print how, while the process that runs the job could still tell them to stop.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Its start, at the first process, would let the signals through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_interrupt() -> None:
    """Ignore Ctrl-C in this process from now on, where it is the main thread that asks."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
