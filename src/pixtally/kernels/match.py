"""Histogram matching: each sample takes the reference's value at its own cumulative share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixtally.kernels.rank import float_ranks


class Reference(NamedTuple):
    """The values that occur in a reference, ascending, and the share at or below each."""

    values: NDArray[np.float64]
    shares: NDArray[np.float64]


def reference_from_counts(counts: NDArray[Any], values: NDArray[Any]) -> Reference:
    """Describe a reference by how often each value occurs.

    Parameters
    ----------
    counts : ndarray (k,), int
    values : ndarray (k,)
        Ascending.

    Returns
    -------
    Reference
        Without the values that do not occur.
    """
    present = counts > 0
    return Reference(
        np.asarray(values[present], np.float64), counts[present].cumsum() / counts.sum()
    )


def reference_from_samples(samples: NDArray[Any]) -> Reference:
    """Describe a reference by its samples; NaN is left out.

    Parameters
    ----------
    samples : ndarray

    Returns
    -------
    Reference
    """
    values, counts = np.unique(samples[samples == samples], return_counts=True)
    return reference_from_counts(counts, values)


def match_table(counts: NDArray[np.int64], reference: Reference) -> NDArray[np.float64]:
    """Map integer levels so that each image's histogram matches the reference's.

    Parameters
    ----------
    counts : ndarray (n, levels), int64
    reference : Reference

    Returns
    -------
    ndarray (n, levels), float64
        ``skimage.exposure.match_histograms`` on the levels that occur.
    """
    below = counts.cumsum(axis=1)
    shares = below / np.maximum(below[:, -1:], 1)
    return np.asarray(np.interp(shares, reference.shares, reference.values))


def match_floats(image: NDArray[Any], reference: Reference) -> NDArray[np.float64]:
    """Match one image of floats to the reference.

    Parameters
    ----------
    image : ndarray (p,), float32 or float64
        NaN stays NaN.
    reference : Reference

    Returns
    -------
    ndarray (p,), float64
    """
    ranks, valid = float_ranks(image, right=True)
    if not valid:
        return np.full(image.shape, np.nan)
    by_rank = np.interp(np.arange(1, valid + 1) / valid, reference.shares, reference.values)
    gone = np.isnan(image)
    ranks[gone] = 1
    matched = by_rank[ranks - 1]
    matched[gone] = np.nan
    return matched
