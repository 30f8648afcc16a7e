"""Pixels worth a look: the most varied, the most bimodal, dead, hot and saturated ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

REGIONS = 24
"""The image is cut into so many regions a side; each names its best pixel of a kind."""

APART = 0.06
"""Chosen pixels of a kind are at least this part of the longer side apart."""

BIMODAL = 0.85
SATURATED = 0.01
HOT = 8.0


@dataclass(frozen=True)
class Kind:
    """A way of being unusual.

    Attributes
    ----------
    name : str
    title : str
        For people.
    meaning : str
        The rule, in a sentence.
    least : float
        Score from which on a pixel is of this kind; the best are shown only above it.
    """

    name: str
    title: str
    meaning: str
    least: float


KINDS = (
    Kind("entropy", "Most varied", "The highest entropy: values spread over the most bins.", 1e-9),
    Kind(
        "bimodal",
        "Most bimodal",
        "Splitting the values into two groups, each at least 5 % of the samples, explains 85 % or "
        "more of their variance.",
        BIMODAL,
    ),
    Kind(
        "hot",
        "Hot",
        "The median is above that of all neighbours but one by more than 8 times the usual "
        "difference between neighbours.",
        HOT,
    ),
    Kind("dead", "Dead", "Every sample falls into one and the same bin.", 1.0),
    Kind(
        "saturated",
        "Saturated",
        "One sample in a hundred or more is in the highest bin or above it.",
        SATURATED,
    ),
)
"""In the order in which they are shown."""

RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)


@dataclass
class Best:
    """How many pixels are of a kind, and the best pixel of every region.

    Parts of an image are joined in any order with the same result.

    Attributes
    ----------
    shape : tuple of int
        Planes, rows and columns of the image.
    number : int
        Pixels that are of the kind.
    scores : ndarray of float64, shape (planes, REGIONS, REGIONS)
        The best of each region; -inf where there is none.
    places : ndarray of int64, same shape
        Its number, counting through planes, rows and columns.
    """

    shape: tuple[int, int, int]
    number: int = 0
    scores: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    places: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if not self.scores.size:
            regions = (self.shape[0], REGIONS, REGIONS)
            self.scores = np.full(regions, -np.inf)
            self.places = np.full(regions, -1, np.int64)

    def add(self, corner: tuple[int, int, int], scores: NDArray[Any], least: float) -> None:
        """Look over a part of the image, of shape (planes, rows, columns)."""
        scores = np.where(np.isfinite(scores) & (scores >= least), scores, -np.inf)
        self.number += int(np.count_nonzero(scores > -np.inf))
        rows = _region_parts(corner[1], scores.shape[1], self.shape[1])
        columns = _region_parts(corner[2], scores.shape[2], self.shape[2])
        for plane in range(scores.shape[0]):
            for r, y in rows:
                for c, x in columns:
                    self._offer((plane + corner[0], r, c), corner, scores[plane, y, x], (y, x))

    def _offer(
        self,
        region: tuple[int, int, int],
        corner: tuple[int, int, int],
        scores: NDArray[np.float64],
        at: tuple[slice, slice],
    ) -> None:
        """Keep the best pixel of a part of a region; of equals the first of the image."""
        y, x = np.unravel_index(int(np.argmax(scores)), scores.shape)
        score = scores[y, x]
        if score == -np.inf:
            return
        row, column = corner[1] + at[0].start + y, corner[2] + at[1].start + x
        place = (region[0] * self.shape[1] + row) * self.shape[2] + column
        there = self.scores[region]
        if score > there or (score == there and place < self.places[region]):
            self.scores[region], self.places[region] = score, place

    def join(self, other: Best) -> None:
        """Add what was found in another part of the image."""
        self.number += other.number
        better = (other.scores > self.scores) | (
            (other.scores == self.scores) & (other.places < self.places)
        )
        better &= other.places >= 0
        self.scores = np.where(better, other.scores, self.scores)
        self.places = np.where(better, other.places, self.places)

    def choose(self, most: int) -> list[tuple[tuple[int, int, int], float]]:
        """Return the best pixels that are well apart: ((plane, row, column), score)."""
        found = np.flatnonzero(self.places.ravel() >= 0)
        order = found[np.lexsort((self.places.ravel()[found], -self.scores.ravel()[found]))]
        apart = APART * max(self.shape[1:])
        chosen: list[tuple[tuple[int, int, int], float]] = []
        for k in order:
            place = np.unravel_index(int(self.places.ravel()[k]), self.shape)
            here = (int(place[0]), int(place[1]), int(place[2]))
            if all(_distance(here, other) >= apart for other, _ in chosen):
                chosen.append((here, float(self.scores.ravel()[k])))
            if len(chosen) == most:
                break
        return chosen


def _distance(a: Sequence[int], b: Sequence[int]) -> float:
    return float("inf") if a[0] != b[0] else float(np.hypot(a[1] - b[1], a[2] - b[2]))


def _region_parts(first: int, size: int, whole: int) -> list[tuple[int, slice]]:
    """Return the regions that a stretch of a side touches, each with its part of the stretch."""
    region = np.arange(first, first + size) * REGIONS // whole
    begins = np.flatnonzero(np.diff(region, prepend=-1))
    ends = [*begins[1:], size]
    return [(int(region[a]), slice(int(a), int(b))) for a, b in zip(begins, ends, strict=True)]


def heat(median: NDArray[Any], least_scale: float) -> NDArray[np.float64]:
    """Return by how much each pixel stands out above its neighbours, in usual differences.

    Parameters
    ----------
    median : ndarray, shape (rows, columns)
        The median image; NaN where a pixel was never seen.
    least_scale : float
        The usual difference is at least this: the width of a bin.

    Returns
    -------
    ndarray of float64
        ``(median - second highest of the eight neighbours) / usual difference``. The usual
        difference is 1.4826 times the median absolute difference of a pixel and the mean of its
        neighbours.
    """
    if min(median.shape) < 3 or not np.isfinite(median).any():
        return np.full(median.shape, -np.inf)
    filled = np.where(np.isfinite(median), median, np.nanmedian(median)).astype(np.float32)
    around = (ndimage.uniform_filter(filled, 3, mode="mirror") * 9 - filled) / 8
    usual = 1.4826 * float(np.median(np.abs(filled - around)))
    # One neighbour may be hot as well.
    highest = ndimage.rank_filter(filled, -2, footprint=RING, mode="mirror")
    above = (filled - highest).astype(np.float64) / max(usual, least_scale)
    return np.where(np.isfinite(median), above, -np.inf)
