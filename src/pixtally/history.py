"""The attribute ``history``: one dated line for everything that was done, the newest first."""

from __future__ import annotations

from datetime import UTC, datetime


def add_line(line: str, before: str | None = None) -> str:
    """Return a history with a new line, dated now in UTC, above what was there."""
    dated = f"{datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')} {line}"
    return f"{dated}\n{before}" if before else dated
