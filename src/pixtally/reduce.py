"""The one tree that is built by hand: partial results, added a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from dask._task_spec import List, Task, TaskRef
from numpy.typing import DTypeLike, NDArray

from pixtally.plan import SPLIT_EVERY

Graph = dict[Hashable, Any]


def tree_reduce(
    name: str,
    index: tuple[int, ...],
    partials: Sequence[Hashable],
    combine: Callable[..., Any],
    split_every: int = SPLIT_EVERY,
    **settings: Any,
) -> tuple[Graph, Hashable]:
    """Return the tasks of a tree that combines partial results, and the key of its root.

    Parameters
    ----------
    name : str
        Prefix of the keys.
    index : tuple of int
        Which tree this is among those of `name`; its root has the key ``(name, *index)``.
    partials : sequence of keys
        The leaves, in order.
    combine : callable
        ``combine(list of partials, **settings)``; top-level, associative, and it must not write
        into its inputs: a task that is run again would count them twice.
    split_every : int
        Leaves of one node.

    Returns
    -------
    graph : dict
        Tasks.
    root : key

    Examples
    --------
    >>> graph, root = tree_reduce("total", (0,), ["a", "b", "c", "d", "e"], sum)
    >>> len(graph), root
    (3, ('total', 0))
    """
    graph: Graph = {}
    level = list(partials)
    depth = 0
    while True:
        groups = [level[i : i + split_every] for i in range(0, len(level), split_every)]
        last = len(groups) == 1
        names = [
            (name, *index) if last else (f"{name}-{depth}", *index, k) for k in range(len(groups))
        ]
        for key, group in zip(names, groups, strict=True):
            graph[key] = Task(key, combine, List(*(TaskRef(k) for k in group)), **settings)
        if last:
            return graph, names[0]
        level = list(names)
        depth += 1


def add_counts(partials: Sequence[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
    """Return the sum of partial counts in a new array of `dtype`; the partials stay as they are."""
    total = partials[0].astype(dtype)
    for partial in partials[1:]:
        np.add(total, partial, out=total, casting="unsafe")
    return total
