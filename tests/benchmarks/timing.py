"""How benchmarks measure: the best of several runs, in turn with the peer, printed as a ratio."""

from __future__ import annotations

import time
from collections.abc import Callable


def best(*functions: Callable[[], object], runs: int = 5) -> list[float]:
    """Return the shortest time of each function; they take turns, so that drift hits all alike."""
    for function in functions:
        function()
    times = [[] for _ in functions]
    for _ in range(runs):
        for function, found in zip(functions, times, strict=True):
            begin = time.perf_counter()
            function()
            found.append(time.perf_counter() - begin)
    return [min(found) for found in times]


def show(what: str, ours: float, peer: str, theirs: float, unit: float = 1.0) -> float:
    """Print one line and return theirs / ours."""
    ratio = theirs / ours
    print(f"\n{what}: ours {ours / unit:.3g}, {peer} {theirs / unit:.3g}, ratio {ratio:.3g}")
    return ratio
