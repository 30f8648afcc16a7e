"""Look-up: every integer sample of an image becomes the entry of that image's table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_CONTAINERS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


@njit(nogil=True, cache=True)
def _apply(samples, tables, out):
    rows = tables.shape[0]
    for i in range(samples.shape[0]):
        table = tables[i % rows]
        source = samples[i]
        target = out[i]
        for k in range(source.size):
            target[k] = table[source[k]]


def apply_lut(samples: NDArray[Any], tables: NDArray[Any], out: NDArray[Any]) -> None:
    """Replace each sample by its image's table entry.

    Parameters
    ----------
    samples : ndarray (n, p), uint8 or uint16
        One image a row.
    tables : ndarray (n or 1, levels)
        One table a row; a single row serves every image. ``levels`` exceeds the largest sample.
    out : ndarray (n, p)
        Of the tables' dtype; filled here.
    """
    # Only the width of an entry matters: viewing it as unsigned compiles one kernel a width.
    bits = _CONTAINERS[tables.dtype.itemsize]
    _apply(np.ascontiguousarray(samples), np.ascontiguousarray(tables).view(bits), out.view(bits))
