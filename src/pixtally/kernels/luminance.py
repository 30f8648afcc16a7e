"""Luminance of RGB samples, and the colours that go with a changed luminance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# OpenCV's fixed-point weights of RGB <-> YCrCb (ITU-R BT.601), in units of 2**-14.
_SHIFT = 14
_HALF = 1 << (_SHIFT - 1)


@njit(nogil=True, cache=True)
def _luminance(rgb, out):
    for n in range(rgb.shape[0]):
        for k in range(rgb.shape[2]):
            red, green, blue = (
                np.int64(rgb[n, 0, k]),
                np.int64(rgb[n, 1, k]),
                np.int64(rgb[n, 2, k]),
            )
            out[n, k] = (4899 * red + 9617 * green + 1868 * blue + _HALF) >> _SHIFT


@njit(nogil=True, cache=True)
def _recolour(rgb, old, new, top, out):
    middle = (top + 1) >> 1
    for n in range(rgb.shape[0]):
        for k in range(rgb.shape[2]):
            y = np.int64(old[n, k])
            # The chroma differences, rounded and clipped as stored in a YCrCb image.
            cr = ((np.int64(rgb[n, 0, k]) - y) * 11682 + (middle << _SHIFT) + _HALF) >> _SHIFT
            cb = ((np.int64(rgb[n, 2, k]) - y) * 9241 + (middle << _SHIFT) + _HALF) >> _SHIFT
            cr = min(max(cr, 0), top) - middle
            cb = min(max(cb, 0), top) - middle
            y = np.int64(new[n, k])
            red = y + ((cr * 22987 + _HALF) >> _SHIFT)
            green = y + ((cb * -5636 + cr * -11698 + _HALF) >> _SHIFT)
            blue = y + ((cb * 29049 + _HALF) >> _SHIFT)
            out[n, 0, k] = min(max(red, 0), top)
            out[n, 1, k] = min(max(green, 0), top)
            out[n, 2, k] = min(max(blue, 0), top)


def luminance(rgb: NDArray[Any]) -> NDArray[Any]:
    """Return the luminance of colours.

    Parameters
    ----------
    rgb : ndarray (n, 3, p)
        uint8 or uint16, where the result equals the first channel of ``cv2.cvtColor(...,
        cv2.COLOR_RGB2YCrCb)``, or floats, weighted by 0.299, 0.587 and 0.114.

    Returns
    -------
    ndarray (n, p)
        Of the same dtype.
    """
    if rgb.dtype.kind == "f":
        weights = np.array([0.299, 0.587, 0.114], rgb.dtype)
        return np.asarray(np.einsum("c,ncp->np", weights, rgb))
    out = np.empty((rgb.shape[0], rgb.shape[2]), rgb.dtype)
    _luminance(rgb, out)
    return out


def recolour(rgb: NDArray[Any], old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    """Give colours a new luminance and leave their chroma.

    Parameters
    ----------
    rgb : ndarray (n, 3, p)
    old : ndarray (n, p)
        Their luminance, from :func:`luminance`.
    new : ndarray (n, p)
        The luminance they get: of the colours' dtype, or floats in the colours' units.

    Returns
    -------
    ndarray (n, 3, p)
        Of the dtype of ``new``. Integers go through YCrCb as in OpenCV; floats are shifted by
        the difference and clipped to [0, white], white being the integer maximum or 1.
    """
    if new.dtype.kind == "f":
        white = 1.0 if rgb.dtype.kind == "f" else float(np.iinfo(rgb.dtype).max)
        shifted = rgb + (new - old)[:, None, :]
        return np.asarray(np.clip(shifted, 0, white), new.dtype)
    out = np.empty(rgb.shape, new.dtype)
    _recolour(rgb, old, new, int(np.iinfo(rgb.dtype).max), out)
    return out
