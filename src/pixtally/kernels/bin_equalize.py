"""Whole float images through all passes of one kernel, while each is in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixtally.kernels.bin_segments import lay_edges, recipe_heights, share_heights
from pixtally.kernels.copying import copy_row
from pixtally.kernels.image_slots import count_slots, measure_edges
from pixtally.kernels.segments import halve_bins, map_slots, tabulate
from pixtally.kernels.table_rows import WIDTH


@njit(nogil=True, cache=True, error_model="numpy")
def _equalize(samples, span, own, counts, given, centred, slots, out):
    bins = counts.shape[1]
    step = 2 if centred else 1
    fine = np.empty((1, step * bins + 1), own.dtype)
    at = np.empty(fine.shape)
    frame = np.empty((1, 3), own.dtype)
    fine_counts = np.empty((1, step * bins), np.int64)
    heights = np.empty((1, bins))
    table = np.empty((1, step * bins + 2, WIDTH))
    for i in range(samples.shape[0]):
        image = samples[i : i + 1]
        count = counts[i : i + 1]
        lay_edges(span[i : i + 1], given, own)
        for b in range(bins):
            if not own[0, b] < own[0, b + 1]:
                return i
        if centred:
            halve_bins(own, fine)
        else:
            copy_row(own[0], fine[0])
        copy_row(fine[0], at[0])
        measure_edges(at, frame)
        fine_counts[:] = 0
        count_slots(image, at, frame, fine_counts, True, slots)
        if centred:
            for b in range(bins):
                count[0, b] = fine_counts[0, 2 * b] + fine_counts[0, 2 * b + 1]
            share_heights(count, own, heights)
        else:
            copy_row(fine_counts[0], count[0])
            recipe_heights(count, own, heights)
        tabulate(fine, heights, centred, table)
        map_slots(image, at, frame, table, True, slots, out[i : i + 1])
    return -1


def equalize_binned(
    samples: NDArray[Any],
    span: NDArray[np.float64],
    bins: int,
    out: NDArray[Any],
    *,
    centred: bool,
    given: bool = False,
) -> tuple[NDArray[np.int64], int]:
    """Equalize whole float images by ``bins`` bins over each image's span.

    Parameters
    ----------
    samples : ndarray (n, p), float32 or float64
        One image a row.
    span : ndarray (n, 2), float64
    bins : int
    out : ndarray (n, p), float32 or float64
        Filled here.
    centred : bool
        Interpolate the cumulative share between bin centres (scikit-image), in place of the
        recipe's CDF between left edges.
    given : bool
        Whether the spans are the user's range, in place of the samples' own.

    Returns
    -------
    counts : ndarray (n, bins), int64
    refused : int
        The first image whose span is too narrow for so many bins, or -1; ``out`` is whole only
        where it is -1.
    """
    counts = np.zeros((len(samples), bins), np.int64)
    own = np.empty((1, bins + 1), samples.dtype)
    slots = np.empty((1, samples.shape[1]), np.uint16 if bins < 32000 else np.uint32)
    rows = np.ascontiguousarray(samples)
    return counts, int(_equalize(rows, span, own, counts, given, centred, slots, out))
