"""Statistic images made small enough for a screen: the mean of equal squares of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SCREEN_SIDE = 1024
"""An image with a longer side is shown smaller."""


def screen_step(shape: tuple[int, ...], most: int = SCREEN_SIDE) -> int:
    """Return how many pixels along a side become one on the screen.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    most : int
        Longest side on the screen.

    Examples
    --------
    >>> screen_step((1500, 1500)), screen_step((432, 768))
    (2, 1)
    """
    return max(1, -(-max(shape, default=1) // most))


class ScreenImage:
    """The small image of a large one that is given part by part, in any order.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the large image.
    step : int
        From `screen_step`: each small pixel is the mean of a square of so many on a side. At the
        border the square is cut off; invalid (NaN) pixels are left out.

    Examples
    --------
    >>> import numpy as np
    >>> small = ScreenImage((2, 4), 2)
    >>> small.add((0, 0), np.array([[1.0, 2, 3, 4], [1, 2, 3, np.nan]]))
    >>> small.mean().tolist()
    [[1.5, 3.3333333333333335]]
    """

    def __init__(self, shape: tuple[int, int], step: int) -> None:
        self.step = step
        small = tuple(-(-size // step) for size in shape)
        self.sums = np.zeros(small)
        self.numbers = np.zeros(small, np.int64)

    def add(self, corner: tuple[int, int], part: NDArray[Any]) -> None:
        """Add a part whose first pixel is at `corner`."""
        self.join(*squares(corner, part, self.step))

    def join(
        self, at: tuple[slice, slice], sums: NDArray[np.float64], numbers: NDArray[np.int64]
    ) -> None:
        """Add what `squares` made of a part."""
        self.sums[at] += sums
        self.numbers[at] += numbers

    def mean(self) -> NDArray[np.float64]:
        """Return the small image; NaN where a square holds no valid pixel."""
        with np.errstate(invalid="ignore"):
            return np.where(self.numbers > 0, self.sums / np.maximum(self.numbers, 1), np.nan)


def squares(
    corner: tuple[int, int], part: NDArray[Any], step: int
) -> tuple[tuple[slice, slice], NDArray[np.float64], NDArray[np.int64]]:
    """Return which squares a part touches, and their sums and numbers of valid pixels.

    Parameters
    ----------
    corner : (int, int)
        Row and column of the part's first pixel in the whole image.
    part : ndarray, shape (y, x)
        Real numbers.
    step : int
        Side of a square.
    """
    valid = np.isfinite(part)
    sums = np.where(valid, part, 0.0)
    numbers = valid.astype(np.int64)
    at = []
    for axis, (first, size) in enumerate(zip(corner, part.shape, strict=True)):
        square = np.arange(first, first + size) // step
        begins = np.flatnonzero(np.diff(square, prepend=square[0] - 1))
        sums = np.add.reduceat(sums, begins, axis=axis)
        numbers = np.add.reduceat(numbers, begins, axis=axis)
        at.append(slice(int(square[0]), int(square[-1]) + 1))
    return (at[0], at[1]), sums, numbers
