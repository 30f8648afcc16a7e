"""What a user asks of an equalization, checked and resolved."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from pixtally.errors import PixtallyError
from pixtally.kernels.recipe import Recipe

Method = Literal["interp", "cdf", "lut", "opencv", "rank", "matlab"]

METHODS = ("interp", "cdf", "lut", "opencv", "rank", "matlab")
UNSIGNED_ONLY = ("lut", "opencv")
DEFAULT_BINS = {"matlab": 64}


def make_recipe(
    source: np.dtype[Any],
    method: Method,
    bins: int | None = None,
    range: tuple[float, float] | None = None,
    *,
    dtype: DTypeLike | None = None,
    normalize: bool = False,
    fill: float | None = None,
) -> Recipe:
    """Resolve and check the settings of an equalization.

    Parameters
    ----------
    source : dtype
        Of the samples.
    method, bins, range, dtype, normalize, fill
        As for `equalize`.

    Returns
    -------
    Recipe

    Raises
    ------
    PixtallyError
        When they do not fit together.
    """
    if method not in METHODS:
        raise PixtallyError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    if method in UNSIGNED_ONLY and source.kind != "u":
        raise PixtallyError(
            f"method {method!r} maps the levels of uint8 and uint16, the images are {source}; use"
            " 'interp' or 'cdf', or convert the images first"
        )
    number = DEFAULT_BINS.get(method, 256) if bins is None else bins
    if number < 2 or int(number) != number:
        raise PixtallyError(f"bins is {bins}; expected a whole number of 2 or more")
    made = np.dtype(dtype) if dtype is not None else _natural_dtype(source, method, normalize)
    if made.kind not in "iuf" or made == np.float16:
        raise PixtallyError(f"dtype is {made}; expected integers, float32 or float64")
    ends = _check_range(range, source, method)
    if fill is not None and made.kind in "iu" and not _fits(fill, made):
        raise PixtallyError(f"fill={fill} does not fit into {made}; pass a value of its range")
    return Recipe(method, source, made, int(number), ends, normalize, fill)


def _fits(value: float, kind: np.dtype[Any]) -> bool:
    ends = np.iinfo(kind)
    return ends.min <= value <= ends.max and int(value) == value


def _natural_dtype(source: np.dtype[Any], method: str, normalize: bool) -> np.dtype[Any]:
    if method == "interp":
        return np.dtype(np.float64)
    if method == "cdf":
        return np.dtype(np.float32 if source == np.float32 else np.float64)
    if method == "rank":
        return np.dtype(np.float64 if source.kind == "f" or normalize else np.int64)
    return source


def _check_range(
    range: tuple[float, float] | None, source: np.dtype[Any], method: str
) -> tuple[float, float] | None:
    if range is None:
        return None
    if method not in ("interp", "cdf") or (method == "cdf" and source.kind in "iu"):
        raise PixtallyError(
            f"range= is for 'interp', and for 'cdf' on floats; method {method!r} on {source} takes"
            " every level: leave range out"
        )
    low, high = (float(v) for v in range)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise PixtallyError(f"range is ({low}, {high}); expected two finite numbers, rising")
    if source.kind in "iu" and (high < np.iinfo(source).min or low > np.iinfo(source).max):
        ends = np.iinfo(source)
        raise PixtallyError(
            f"range=({low:g}, {high:g}) holds no sample: {source} is within {ends.min} to"
            f" {ends.max}; pass a range within it"
        )
    return low, high
