"""Copies between arrays of one shape, written out.

numba compiles ``out[:] = values`` with the error message for other shapes, which takes it seconds.
"""

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True)
def copy_row(values, out):
    """Copy the elements of a row into another one, as its type."""
    for k in range(values.size):
        out[k] = values[k]
