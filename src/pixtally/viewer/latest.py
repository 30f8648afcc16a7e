"""Work beside the page: one thread a purpose, where a newer wish replaces an older one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pixtally.errors import PixtallyError

log = logging.getLogger("pixtally")

Steps = Callable[[], Iterator[Callable[[], None]]]
"""Makes results one after the other, each as what the page is to do with it."""


class Latest:
    """Carries out the newest wish; one that is under way stops at its next step.

    Parameters
    ----------
    hand_over : callable
        Takes a function to the thread of the page.
    complain : callable
        Told, on the page's thread, in one line, why a wish failed.
    """

    def __init__(
        self, hand_over: Callable[[Callable[[], None]], Any], complain: Callable[[str], None]
    ) -> None:
        self.hand_over = hand_over
        self.complain = complain
        self._wish: Steps | None = None
        self._closed = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True, name="pixtally-view")
        self._thread.start()

    def ask(self, steps: Steps) -> None:
        """Do this next, and nothing that was asked before."""
        with self._news:
            self._wish = steps
            self._news.notify()

    @property
    def wanted(self) -> bool:
        """Whether there is something newer to do, or nothing any more."""
        return self._wish is not None or self._closed

    def close(self) -> None:
        """End the thread at its next step."""
        with self._news:
            self._closed = True
            self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._wish is not None or self._closed)
                if self._closed:
                    return
                steps, self._wish = self._wish, None
            if steps is not None:
                self._carry_out(steps)

    def _carry_out(self, steps: Steps) -> None:
        try:
            made = steps()
            for show in made:
                if self.wanted:
                    close = getattr(made, "close", None)
                    if close is not None:
                        close()
                    return
                self.hand_over(show)
        except PixtallyError as error:
            self._tell(str(error))
        except Exception as error:
            log.exception("the view could not be drawn")
            self._tell(f"{' '.join(str(error).split())} ({type(error).__name__})")

    def _tell(self, text: str) -> None:
        if not self._closed:
            self.hand_over(lambda: self.complain(text))
