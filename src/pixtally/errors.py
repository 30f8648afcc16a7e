"""The one error class that users see: a single line with what was found and the fix."""

from __future__ import annotations


class PixtallyError(ValueError):
    """Something a user can put right: the message is one line that says how.

    The command line prints the message without a traceback (``--debug`` shows it).
    """
