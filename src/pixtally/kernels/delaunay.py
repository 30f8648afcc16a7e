"""Linear interpolation across holes on the Delaunay triangles of the valid pixels.

A valid pixel whose four neighbours are valid only takes part in triangles between pixels next
to each other, which hold no hole. So the triangles that matter are those of the valid pixels
with a hole beside them, and only these are triangulated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import Delaunay, QhullError

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


def _beside(mask: Mask) -> Mask:
    """Mark the pixels that have a marked pixel left, right, above or below."""
    beside = np.zeros_like(mask)
    beside[1:] |= mask[:-1]
    beside[:-1] |= mask[1:]
    beside[:, 1:] |= mask[:, :-1]
    beside[:, :-1] |= mask[:, 1:]
    return beside


def _bridge(values: Values, ys: npt.NDArray[np.int64], xs: npt.NDArray[np.int64]) -> Values:
    """Interpolate at holes whose neighbours are all valid; NaN at the image's corners.

    Inside the image the four neighbours are the corners of one square without a hole in its
    circle but this one: either diagonal is a Delaunay edge, and the mean of both is taken.
    """
    height, width = values.shape
    upright, flat = (ys > 0) & (ys < height - 1), (xs > 0) & (xs < width - 1)
    total, count = np.zeros(len(ys)), np.zeros(len(ys))
    for inside, step_y, step_x in ((upright, 1, 0), (flat, 0, 1)):
        y, x = ys[inside], xs[inside]
        ends = values[y - step_y, x - step_x] + values[y + step_y, x + step_x]
        total[inside] += ends
        count[inside] += 2
    with np.errstate(invalid="ignore"):
        return total / count


def _triangulate(values: Values, rim: Mask, holes: npt.NDArray[np.int64]) -> Values:
    """Interpolate between rim pixels; NaN outside their hull, or where they span no area."""
    points = np.argwhere(rim)
    if len(points) < 3:
        return np.full(len(holes), np.nan)
    try:
        triangles = Delaunay(points)
    except QhullError:  # all on one line
        return np.full(len(holes), np.nan)
    found: Values = LinearNDInterpolator(triangles, values[rim])(holes)
    return found


def linear_values(values: Values, invalid: Mask) -> Values:
    """Interpolate every hole linearly between the valid pixels around it.

    Parameters
    ----------
    values : ndarray of float64, shape (y, x)
    invalid : ndarray of bool, shape (y, x)
        True where ``values`` is to be interpolated.

    Returns
    -------
    ndarray of float64, shape (n,)
        The holes in pixel order; NaN outside the convex hull of the valid pixels.

    Notes
    -----
    Equal to ``scipy.interpolate.griddata(method="linear")`` up to rounding, but for holes
    inside four or more pixels on one empty circle: there Delaunay's triangles are not unique.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([[1.0, 2.0, 3.0], [2.0, np.nan, 4.0], [3.0, 4.0, 5.0]])
    >>> linear_values(values, np.isnan(values)).tolist()
    [3.0]
    """
    joined = invalid & _beside(invalid)
    out = np.empty(invalid.shape)
    ys, xs = np.nonzero(invalid & ~joined)
    out[ys, xs] = _bridge(values, ys, xs)
    if joined.any():
        rim = _beside(joined) & ~invalid
        out[joined] = _triangulate(values, rim, np.argwhere(joined))
    result: Values = out[invalid]
    return result
