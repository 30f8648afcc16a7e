"""Numbers of bytes, shapes and durations, and how people write them."""

from __future__ import annotations

MiB = 2**20
GiB = 2**30


def size_text(size: float) -> str:
    """Return a number of bytes as people write it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def shape_text(sizes: tuple[int, ...]) -> str:
    """Return a shape as people write it: 3×4."""
    return "×".join(map(str, sizes))


def duration_text(value: float) -> str:
    """Return a duration as people read it.

    Examples
    --------
    >>> [duration_text(s) for s in (0.0421, 3.14, 75, 7384)]
    ['42 ms', '3.1 s', '1 min 15 s', '2 h 3 min']
    """
    if value < 0.0995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
