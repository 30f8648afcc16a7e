"""The one error class that users see: a single line with what was found and the fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def one_line(message: str) -> str:
    """Spell line breaks, control characters and what is no UTF-8, which file names may hold."""
    plain = message.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)


class PixtallyError(ValueError):
    """Something a user can put right: the message is one line that says how.

    The command line prints the message without a traceback (``--debug`` shows it).
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


@contextmanager
def naming_damage(path: Any) -> Iterator[None]:
    """Name the store in whatever is raised because its metadata do not hold together."""
    try:
        yield
    except PixtallyError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PixtallyError(
            f"{path} cannot be understood ({reason}); its metadata is damaged: make it again"
        ) from error
