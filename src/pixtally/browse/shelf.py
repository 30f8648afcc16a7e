"""A cache of arrays that holds so many bytes and lets go of what was used longest ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any

from numpy.typing import NDArray


class Shelf:
    """Arrays by key, for several threads.

    Parameters
    ----------
    most : int
        Bytes to keep.

    Examples
    --------
    >>> import numpy as np
    >>> shelf = Shelf(20)
    >>> for k in range(3):
    ...     _ = shelf.put(k, np.zeros(8, "u1"))
    >>> shelf.get(0) is None, shelf.get(2) is None
    (True, False)
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Return an array, or None where it is not here (any more)."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
            return self._arrays.get(key)

    def put(self, key: Hashable, array: NDArray[Any]) -> NDArray[Any]:
        """Keep an array, and return it."""
        with self._lock:
            old = self._arrays.pop(key, None)
            self.bytes += array.nbytes - (0 if old is None else old.nbytes)
            self._arrays[key] = array
            while self.bytes > self.most and self._arrays:
                self.bytes -= self._arrays.popitem(last=False)[1].nbytes
        return array

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._arrays.clear()
            self.bytes = 0
