"""The settings of one equalization, resolved, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


class UnfitError(ValueError):
    """Samples that the settings do not fit; the message is one line that says how to mend it."""


@dataclass(frozen=True)
class Recipe:
    """The resolved settings of one equalization.

    Attributes
    ----------
    method : str
        ``interp``, ``cdf``, ``lut``, ``opencv``, ``rank`` or ``matlab``.
    source : numpy.dtype
        Of the samples: 8- or 16-bit integers, float32 or float64.
    dtype : numpy.dtype
        Of the result.
    bins : int
        Bins of ``interp`` and of ``cdf`` on floats; output levels of ``matlab``.
    range : tuple of float, or None
        Ends of the bins; None takes each image's own smallest and largest sample.
    normalize : bool
        Divide ranks by the number of samples less one.
    fill : float or None
        What an invalid sample becomes; None keeps it as it is, NaN in float results.
    """

    method: str
    source: np.dtype[Any]
    dtype: np.dtype[Any]
    bins: int = 256
    range: tuple[float, float] | None = None
    normalize: bool = False
    fill: float | None = None

    @property
    def by_level(self) -> bool:
        """Whether every integer level has a counter of its own."""
        return self.source.kind in "iu"

    @property
    def road(self) -> str:
        """How images are read: ``level`` (integers), ``bin`` (floats) or ``sort`` (float ranks)."""
        if self.by_level:
            return "level"
        return "sort" if self.method == "rank" else "bin"

    @property
    def lowest(self) -> int:
        """The value of level 0."""
        return int(np.iinfo(self.source).min) if self.by_level else 0

    @property
    def levels(self) -> int:
        """Number of levels of the integer dtype."""
        return 1 << (8 * self.source.itemsize)

    @property
    def counters(self) -> int:
        """Number of counters of an image."""
        return self.levels if self.by_level else 256 if self.method == "matlab" else self.bins

    @property
    def unit(self) -> float:
        """Factor that carries shares in [0, 1] to the full range of an integer result."""
        shares = self.method == "cdf" or (self.method == "rank" and self.normalize)
        return float(np.iinfo(self.dtype).max) if shares and self.dtype.kind in "iu" else 1.0

    @property
    def needs_span(self) -> bool:
        """Whether the bins follow each image's own smallest and largest sample."""
        return not self.by_level and self.method in ("interp", "cdf") and self.range is None
