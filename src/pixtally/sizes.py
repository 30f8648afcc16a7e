"""Numbers of bytes, and how people write them."""

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
