"""Move images by whole and fractional pixels; what moves in from outside is the fill value.

Pixel (y, x) of the output is the image's value at (y - dy, x - dx). Whole shifts copy. A
fraction of linear interpolation is four weights that are the same everywhere, so that a row
is two weighted sums without any lookup. Weights of zero are never multiplied: a NaN reaches
only the pixels that lean on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pixtally.kernels.nearest import nearest_sources

Image = npt.NDArray[Any]


@numba.njit(nogil=True, cache=True)
def _blend_rows(image, lower, fy, fill, row):
    """Mix rows ``lower`` and ``lower - 1``; a row outside the image is all fill.

    ``row`` is one longer than the image at both ends, where it holds the fill already.
    """
    height, width = image.shape
    for x in range(width):
        row[x + 1] = float(image[lower, x]) if lower < height else fill
    if fy != 0.0:
        for x in range(width):
            upper = float(image[lower - 1, x]) if lower > 0 else fill
            row[x + 1] = (1.0 - fy) * row[x + 1] + fy * upper


@numba.njit(nogil=True, cache=True)
def _blend_columns(row, first, last, ix, fx, line):
    """Write ``line[first:last]``, column ``x`` from columns ``x - ix`` and ``x - ix - 1``."""
    start = first - ix
    if fx == 0.0:
        for k in range(last - first):
            line[first + k] = row[start + k + 1]
    else:
        for k in range(last - first):
            line[first + k] = (1.0 - fx) * row[start + k + 1] + fx * row[start + k]


@numba.njit(nogil=True, cache=True)
def _store_real(line, low, high, out):
    for x in range(len(out)):
        out[x] = line[x]


@numba.njit(nogil=True, cache=True)
def _store_whole(line, low, high, out):
    """Round half away from zero and clip, as scipy and MATLAB do."""
    for x in range(len(out)):
        value = min(max(line[x], low), high)
        out[x] = np.floor(value + 0.5) if value > 0.0 else np.ceil(value - 0.5)


@numba.njit(nogil=True, cache=True)
def _reach(size, room, whole, fraction, hard):
    """Output positions that see the image: from the first to before the last."""
    first = whole + (1 if hard and fraction > 0.0 else 0)
    last = whole + size + (0 if hard else 1)
    return min(max(first, 0), room), min(max(last, 0), room)


@numba.njit(nogil=True, cache=True)
def _shift_linear(image, iy, fy, ix, fx, fill, hard, low, high, store, out):
    height, width = image.shape
    rows, columns = out.shape
    first_y, last_y = _reach(height, rows, iy, fy, hard)
    first_x, last_x = _reach(width, columns, ix, fx, hard)
    row, line = np.full(width + 2, fill), np.full(columns, fill)
    for y in range(rows):
        if first_y <= y < last_y and first_x < last_x:
            _blend_rows(image, y - iy, fy, fill, row)
            _blend_columns(row, first_x, last_x, ix, fx, line)
        else:
            line[:] = fill
        store(line, low, high, out[y])


def _split(shift: float) -> tuple[int, float]:
    whole = math.floor(shift)
    return whole, shift - whole


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Smallest and largest float that the type can take without wrapping."""
    if dtype.kind not in "iu":
        return -np.inf, np.inf
    info = np.iinfo(dtype)
    high = float(info.max)
    return float(info.min), high if high <= info.max else float(np.nextafter(high, 0))


def copy_shifted(image: Image, dy: int, dx: int, out: Image) -> None:
    """Copy an image to a whole-pixel offset; pixels of ``out`` beyond it are left as they are.

    Parameters
    ----------
    image, out : ndarray, two-dimensional, of one dtype
    dy, dx : int
        Rows down and columns right.
    """
    height, width = image.shape
    rows, columns = out.shape
    y0, y1 = max(dy, 0), min(dy + height, rows)
    x0, x1 = max(dx, 0), min(dx + width, columns)
    if y0 < y1 and x0 < x1:
        out[y0:y1, x0:x1] = image[y0 - dy : y1 - dy, x0 - dx : x1 - dx]


def _linear(image: Image, dy: float, dx: float, fill: float, hard: bool, out: Image) -> None:
    (iy, fy), (ix, fx) = _split(dy), _split(dx)
    low, high = _limits(out.dtype)
    store = _store_whole if out.dtype.kind in "iu" else _store_real
    _shift_linear(image, iy, fy, ix, fx, float(fill), hard, low, high, store, out)


def _nearest(image: Image, dy: float, dx: float, fill: float, hard: bool, out: Image) -> None:
    # The source of x is floor(x - dx + 1/2): halves go to the higher position, as in scipy.
    copy_shifted(image, -math.floor(0.5 - dy), -math.floor(0.5 - dx), out)
    if hard:
        for positions, shift, size in ((out, dy, image.shape[0]), (out.T, dx, image.shape[1])):
            positions[: max(math.ceil(shift), 0)] = fill
            positions[max(math.floor(shift) + size, 0) :] = fill


def _touched(marked: npt.NDArray[np.bool_], shift: float, room: int) -> npt.NDArray[np.bool_]:
    """Mark the output rows that lean on marked rows: four for a fraction, one for none."""
    whole, fraction = _split(shift)
    touched = np.zeros((room, marked.shape[1]), np.bool_)
    for offset in (-1, 0, 1, 2) if fraction else (0,):
        moved = np.zeros_like(touched)
        copy_shifted(marked, whole + offset, 0, moved)
        touched |= moved
    return touched


def _cubic(image: Image, dy: float, dx: float, fill: float, hard: bool, out: Image) -> None:
    source = image.astype(np.float64)
    # The spline's coefficients lean on all samples: bad ones are bridged, then put back.
    bad = ~np.isfinite(source)
    holes, sources, _ = nearest_sources(bad)
    source.flat[holes] = source.flat[sources] if len(holes) else fill
    mode = "constant" if hard else "grid-constant"
    shifted = ndimage.affine_transform(
        source, [1.0, 1.0], (-dy, -dx), out.shape, order=3, mode=mode, cval=fill
    )
    if bad.any():
        touched = _touched(bad, dy, out.shape[0])
        touched = _touched(np.ascontiguousarray(touched.T), dx, out.shape[1]).T
        shifted[touched] = np.nan
    low, high = _limits(out.dtype)
    store = _store_whole if out.dtype.kind in "iu" else _store_real
    for line, target in zip(shifted, out, strict=True):
        store(line, low, high, target)


METHODS: dict[str, Callable[[Image, float, float, float, bool, Image], None]] = {
    "nearest": _nearest,
    "linear": _linear,
    "cubic": _cubic,
}


def shift_image(
    image: Image,
    dy: float,
    dx: float,
    out: Image,
    method: str = "linear",
    fill: float = 0,
    hard: bool = False,
) -> None:
    """Write an image moved down by ``dy`` and right by ``dx`` into ``out``.

    Parameters
    ----------
    image : ndarray, shape (y, x)
    dy, dx : float
        Pixels.
    out : ndarray, two-dimensional, of the image's dtype
        Where the result goes; it may be larger or smaller than the image.
    method : {"nearest", "linear", "cubic"}
        Cubic is the B-spline of `scipy.ndimage`.
    fill : number
        What lies around the image.
    hard : bool
        False: the image's border blends with the fill. True: whatever is sampled outside the
        centres of the border pixels is the fill itself.

    Notes
    -----
    Whole shifts are copies for every dtype. Fractions equal ``scipy.ndimage.shift`` of order 0,
    1 and 3 with ``mode="grid-constant"``, or ``"constant"`` when ``hard``. Integers are rounded
    half away from zero.

    Examples
    --------
    >>> import numpy as np
    >>> out = np.empty((1, 4))
    >>> shift_image(np.array([[10.0, 20.0, 30.0, 40.0]]), 0, 0.5, out)
    >>> out.tolist()
    [[5.0, 15.0, 25.0, 35.0]]
    """
    out[...] = fill
    if float(dy).is_integer() and float(dx).is_integer():
        copy_shifted(image, int(dy), int(dx), out)
    else:
        METHODS[method](image, dy, dx, fill, hard, out)
