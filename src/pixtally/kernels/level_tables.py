"""Equalization tables of integer images: from the counts of the levels to the new levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def cdf_table(counts: Counts) -> NDArray[np.float64]:
    """Map each level to the share of samples at or below it (scikit-image's ``equalize_hist``).

    Parameters
    ----------
    counts : ndarray (n, levels), int64

    Returns
    -------
    ndarray (n, levels), float64
        Zeros for an image without samples.
    """
    below = counts.cumsum(axis=1)
    return np.asarray(below / np.maximum(below[:, -1:], 1).astype(np.float64))


def floor_table(counts: Counts, top: int) -> NDArray[np.int64]:
    """Map each level to ``floor(top * cumsum / n)``, the classic look-up table.

    Parameters
    ----------
    counts : ndarray (n, levels), int64
    top : int
        The largest level of the type: 255 or 65535.

    Returns
    -------
    ndarray (n, levels), int64
    """
    below = counts.cumsum(axis=1)
    return np.asarray(top * below // np.maximum(below[:, -1:], 1))


def opencv_table(counts: Counts, first: int, top: int) -> NDArray[np.int64]:
    """Map levels as ``cv2.equalizeHist`` does, on 8 bits and extended to 16.

    The first level that occurs becomes 0; the products are float32 and round half to even;
    an image of one level stays as it is.

    Parameters
    ----------
    counts : ndarray (n, levels), int64
    first : int
        The level that is counted first.
    top : int
        The largest level of the type: 255 or 65535.

    Returns
    -------
    ndarray (n, levels), int64
    """
    n, levels = counts.shape
    below = counts.cumsum(axis=1)
    total = below[:, -1]
    lowest = counts[np.arange(n), (counts > 0).argmax(axis=1)]
    spread = total > lowest
    rest = np.where(spread, total - lowest, 1).astype(np.float32)
    scale = np.float32(top) / rest
    above = (below - lowest[:, None]).astype(np.float32)
    table = np.clip(np.rint(above * scale[:, None]), 0, top).astype(np.int64)
    table[~spread] = np.arange(first, first + levels)
    return np.asarray(table)


def rank_table(counts: Counts) -> NDArray[np.int64]:
    """Map each level to the number of samples below it.

    Parameters
    ----------
    counts : ndarray (n, levels), int64

    Returns
    -------
    ndarray (n, levels), int64
    """
    return counts.cumsum(axis=1) - counts


def matlab_levels(counts: Counts, levels: int) -> NDArray[np.float64]:
    """Choose MATLAB's ``histeq`` output level for each of 256 input bins.

    The flat histogram of ``levels`` bins has the cumulative counts ``N/levels * (j + 1)``.
    Each input bin takes the first of them that is not below its own cumulative count, less
    half of the bin's own count (the outermost bins have no such tolerance).

    Parameters
    ----------
    counts : ndarray (n, 256), int64
    levels : int
        Number of output levels, MATLAB's ``n`` (64).

    Returns
    -------
    ndarray (n, 256), float64
        Output levels as a share of the full range, in [0, 1].

    References
    ----------
    MATLAB documentation of ``histeq``: the grey-level transformation is chosen to bring the
    cumulative histogram nearest to the wanted one.
    """
    tolerance = counts / 2.0
    tolerance[:, [0, -1]] = 0
    below = counts.cumsum(axis=1)
    total = np.maximum(below[:, -1:], 1)
    share = (below - tolerance) / total - np.sqrt(np.finfo(float).eps)
    chosen = np.ceil(share * levels) - 1
    return np.asarray(np.clip(chosen, 0, levels - 1) / (levels - 1))


def matlab_table(counts: Counts, levels: int, first: int, top: int) -> NDArray[np.int64]:
    """Map integer levels as MATLAB's ``histeq`` does, rounding half up.

    Parameters
    ----------
    counts : ndarray (n, k), int64
    levels : int
        Number of output levels.
    first : int
        The level that is counted first.
    top : int
        The largest level of the type: 255 or 65535.

    Returns
    -------
    ndarray (n, k), int64
    """
    step = top // 255
    # 256 bins centred on k * step: level v of 16 bits falls into bin round(v / 257).
    bins = (np.arange(first, first + counts.shape[1]) + step // 2) // step
    used = np.unique(bins)
    binned = np.zeros((len(counts), 256), np.int64)
    binned[:, used] = np.add.reduceat(counts, np.searchsorted(bins, used), axis=1)
    chosen = matlab_levels(binned, levels)
    return np.floor(top * chosen + 0.5).astype(np.int64)[:, bins]


def narrow(table: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Round and clip a table of values into an integer dtype; floats are only cast."""
    kind = np.dtype(dtype)
    if kind.kind in "iu" and table.dtype.kind == "f":
        ends = np.iinfo(kind)
        # float64 cannot hold the ends of 64-bit integers; ranks never come near them.
        return np.asarray(np.clip(np.rint(table), float(ends.min), float(ends.max)), kind)
    return table.astype(kind)
