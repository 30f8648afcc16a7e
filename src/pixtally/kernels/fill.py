"""Give the holes of one image values: from the nearest, from around, or from the whole image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pixtally.kernels.delaunay import linear_values
from pixtally.kernels.harmonic import harmonic_values
from pixtally.kernels.nearest import nearest_sources

Image = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
Filler = Callable[[Image, Mask], tuple[Places, Image]]


def _nearest(image: Image, invalid: Mask) -> tuple[Places, Image]:
    holes, sources, _ = nearest_sources(invalid)
    return holes, image.reshape(-1)[sources]


def _linear(image: Image, invalid: Mask) -> tuple[Places, Image]:
    found = linear_values(image.astype(np.float64), invalid)
    outside = np.isnan(found)
    if outside.any():
        found[outside] = _nearest(image, invalid)[1][outside]
    return np.flatnonzero(invalid), found


def _harmonic(image: Image, invalid: Mask) -> tuple[Places, Image]:
    return harmonic_values(image.astype(np.float64, copy=False), invalid)


def _median(image: Image, invalid: Mask) -> tuple[Places, Image]:
    holes = np.flatnonzero(invalid)
    return holes, np.full(len(holes), np.median(image[~invalid].astype(np.float64)))


def _mean(image: Image, invalid: Mask) -> tuple[Places, Image]:
    holes = np.flatnonzero(invalid)
    return holes, np.full(len(holes), np.mean(image[~invalid], dtype=np.float64))


METHODS: dict[str, Filler] = {
    "nearest": _nearest,
    "linear": _linear,
    "harmonic": _harmonic,
    "median": _median,
    "mean": _mean,
}


def round_to(values: Image, dtype: np.dtype[Any]) -> Image:
    """Convert to a dtype; integers are rounded half to even and clipped.

    Parameters
    ----------
    values : ndarray of any dtype
    dtype : dtype

    Returns
    -------
    ndarray of ``dtype``

    Examples
    --------
    >>> import numpy as np
    >>> round_to(np.array([2.5, 300.0]), np.dtype(np.uint8)).tolist()
    [2, 255]
    """
    if values.dtype == dtype:
        return values
    if dtype.kind in "iu" and values.dtype.kind == "f":
        info = np.iinfo(dtype)
        # A float above the largest integer would wrap: those places take the limits directly.
        rounded = np.rint(values)
        whole = np.where((rounded > info.min) & (rounded < info.max), rounded, 0).astype(dtype)
        whole = np.where(rounded >= info.max, info.max, whole)
        return np.where(rounded <= info.min, info.min, whole).astype(dtype)
    return values.astype(dtype)


def unusable_pixels(image: Image, invalid: Mask) -> Mask:
    """Mark what cannot serve as a source: the invalid pixels, NaN and infinity.

    Parameters
    ----------
    image : ndarray
    invalid : ndarray of bool, of the image's shape

    Returns
    -------
    ndarray of bool
        `invalid` itself where it is enough.
    """
    if image.dtype.kind in "fc":
        finite = np.isfinite(image)
        if not (finite | invalid).all():
            return invalid | ~finite
    return invalid


def far_pixels(unusable: Mask, max_distance: float) -> Mask:
    """Mark the pixels farther than `max_distance` from every usable one.

    Parameters
    ----------
    unusable : ndarray of bool, shape (y, x)
    max_distance : float
        Pixels.

    Returns
    -------
    ndarray of bool, shape (y, x)
    """
    far = unusable.copy()
    holes, _, squared = nearest_sources(unusable)
    far.reshape(-1)[holes] = squared > max_distance * max_distance
    return far


def fill_image(
    image: Image, invalid: Mask, method: str, max_distance: float = np.inf
) -> tuple[Image, int]:
    """Fill the holes of one image from its own valid pixels.

    Parameters
    ----------
    image : ndarray, shape (y, x)
    invalid : ndarray of bool, shape (y, x)
        True where a pixel is to be filled.
    method : {"nearest", "linear", "harmonic", "median", "mean"}
    max_distance : float
        Holes farther than this from every valid pixel (in pixels) stay as they are.

    Returns
    -------
    filled : ndarray, shape (y, x), of the image's dtype
        Valid pixels are untouched.
    left : int
        Pixels of ``invalid`` that were not filled: too far, or no pixel is valid.

    Notes
    -----
    NaN and infinite samples never serve as a source; they stay unless ``invalid`` marks them.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.array([[0, 7, 9]], np.uint8)
    >>> fill_image(image, image == 0, "nearest")
    (array([[7, 7, 9]], dtype=uint8), 0)
    """
    image = np.ascontiguousarray(image)
    unusable = unusable_pixels(image, invalid)
    asked = int(np.count_nonzero(invalid))
    if not asked or unusable.all():
        return image, asked
    holes, found = METHODS[method](image, unusable)
    wanted = invalid & ~far_pixels(unusable, max_distance) if max_distance < np.inf else invalid
    if wanted is not unusable:
        kept = wanted.reshape(-1)[holes]
        holes, found = holes[kept], found[kept]
    filled = image.copy()
    filled.reshape(-1)[holes] = round_to(found, image.dtype)
    return filled, asked - len(holes)


def median_over_images(images: Image, invalid: Mask) -> tuple[Image, Mask]:
    """Median of every pixel's valid samples over the images.

    Parameters
    ----------
    images : ndarray, shape (image, ...)
    invalid : ndarray of bool, shape (image, ...)

    Returns
    -------
    median : ndarray, shape (...), of the images' dtype
        NumPy's median, rounded half to even for integers.
    known : ndarray of bool, shape (...)
        False where a pixel has no valid sample.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.array([[1, 0], [9, 0], [4, 0]])
    >>> median_over_images(images, images == 0)[0].tolist()[0]
    4
    """
    if images.dtype.kind == "f":
        last: object = np.nan  # sorts last
        invalid = invalid | ~np.isfinite(images)
    else:
        last = np.iinfo(images.dtype).max
    # Invalid samples take the value that sorts last, so the valid ones come first in order.
    ordered = np.sort(np.where(invalid, np.asarray(last, images.dtype), images), axis=0)
    count = len(images) - invalid.sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.maximum(count, 1) // 2
    lower = np.take_along_axis(ordered, low[None], axis=0)[0]
    upper = np.take_along_axis(ordered, high[None], axis=0)[0]
    middle = lower.astype(np.float64) / 2 + upper.astype(np.float64) / 2
    # Equal middles are passed on as they are: float64 does not hold every 64-bit integer.
    return np.where(lower == upper, lower, round_to(middle, images.dtype)), count > 0
