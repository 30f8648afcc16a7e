"""Translation by whole and fractional pixels, lazily: `translate`."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, Literal, get_args

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.errors import PixtallyError
from pixtally.kernels.shift import shift_image
from pixtally.transforms.frames import as_frames, fits_dtype, real_samples, whole_frames

Method = Literal["nearest", "linear", "cubic"]
Output = Literal["same", "full"]
Edge = Literal["blend", "hard"]


def translate(
    images: Any,
    shift: Any,
    method: Method = "linear",
    *,
    output: Output = "same",
    fill: float = 0,
    edge: Edge = "blend",
    dim: Hashable = "image",
) -> xr.DataArray:
    """Move images right and down by whole or fractional pixels.

    Parameters
    ----------
    images : DataArray or array, shape (image, y, x), (image, channel, y, x) or (y, x)
    shift : (dx, dy) or array of shape (image, 2)
        Pixels to the right and down; one pair for all images or one an image.
    method : {"linear", "nearest", "cubic"}
        How a fraction of a pixel is interpolated; cubic is a B-spline.
    output : {"same", "full"}
        Keep the size, or grow by whole pixels on the sides moved to (all images alike) so that
        nothing is lost.
    fill : number
        What moves in from outside; NaN for floats if you like.
    edge : {"blend", "hard"}
        ``blend``: the border mixes with the fill, so half a pixel to the right makes
        [5 15 25 35] of [10 20 30 40]. ``hard``: what is sampled outside the centres of the
        border pixels is the fill, [0 15 25 35].
    dim : hashable
        The dimension of the images.

    Returns
    -------
    DataArray
        On Dask, of the same dtype and dimensions. Whole shifts are exact copies for every dtype;
        otherwise integers are rounded half away from zero.

    Raises
    ------
    PixtallyError
        When the shift is not finite or does not fit the images, or the dtype cannot be mixed.

    Notes
    -----
    Equal to ``scipy.ndimage.shift`` of order 0, 1 and 3 with ``mode="grid-constant"``, and
    ``mode="constant"`` for hard edges. NaN stays local: it reaches only the pixels that lean on
    it (2×2 for linear, 4×4 for cubic). A task holds whole frames, so results never depend on the
    chunks. Positive is right and down as in MATLAB; the vertical axis of Octave's ``imtranslate``
    points up.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> pt.translate(np.array([[10.0, 20, 30, 40]]), (0.5, 0)).values.tolist()
    [[5.0, 15.0, 25.0, 35.0]]
    """
    images = as_frames(images)
    for name, value, known in (
        ("method", method, Method),
        ("output", output, Output),
        ("edge", edge, Edge),
    ):
        if value not in get_args(known):
            raise PixtallyError(f"{name}={value!r}; use {' or '.join(get_args(known))}")
    shifts = _shifts(shift, images, dim)
    if method != "nearest" and not (shifts == np.round(shifts)).all():
        real_samples(images, f"method={method!r} with fractions", "use method='nearest'")
    fits_dtype(fill, images.dtype, "fill")
    frames = whole_frames(images)
    grown = _growth(shifts) if output == "full" else (0, 0, 0, 0)
    moved = _move(frames, shifts, grown, dim, method=method, fill=fill, hard=edge == "hard")
    coords = {n: c for n, c in frames.coords.items() if not {"x", "y"} & set(c.dims)}
    for d, before, after in (("x", *grown[:2]), ("y", *grown[2:])):
        coords |= _grown_coord(frames, d, before, after)
    result = xr.DataArray(moved, coords, frames.dims, frames.name, frames.attrs)
    return result.transpose(*images.dims)


def _shifts(shift: Any, images: xr.DataArray, dim: Hashable) -> NDArray[np.float64]:
    """Return the shifts as (1, 2), or (n, 2) with one row an image."""
    given = (
        shift.transpose(dim, ...) if isinstance(shift, xr.DataArray) and shift.ndim == 2 else shift
    )
    shifts = np.asarray(given, np.float64)
    n = images.sizes.get(dim, 1)
    if shifts.shape not in ((2,), (n, 2)):
        raise PixtallyError(
            f"shift has shape {shifts.shape}; it is (dx, dy), or one pair an image: ({n}, 2)"
        )
    if not np.isfinite(shifts).all():
        raise PixtallyError("shift holds NaN or infinity; every shift is a finite number of pixels")
    return shifts.reshape(-1, 2)


def _growth(shifts: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Return the whole pixels to add left, right, above and below."""
    (dx0, dy0), (dx1, dy1) = shifts.min(axis=0), shifts.max(axis=0)
    left, right, above, below = (max(0, math.ceil(s)) for s in (-dx0, dx1, -dy0, dy1))
    return left, right, above, below


def _grown_coord(
    frames: xr.DataArray, d: str, before: int, after: int
) -> dict[Hashable, xr.DataArray]:
    """Continue an evenly spaced coordinate over the added pixels; others are dropped."""
    same = {n: c for n, c in frames.coords.items() if d in c.dims}
    if not before and not after:
        return same
    if d not in same or frames.sizes[d] < 2 or same[d].dtype.kind not in "iuf":
        return {}
    values = same[d].values
    step = values[1] - values[0]
    if not np.allclose(np.diff(values), step):
        return {}
    grown = values[0] + step * np.arange(-before, len(values) + after)
    return {d: xr.DataArray(grown, dims=d, attrs=same[d].attrs)}


def _move(
    frames: xr.DataArray,
    shifts: NDArray[np.float64],
    grown: tuple[int, int, int, int],
    dim: Hashable,
    **options: Any,
) -> da.Array:
    left, right, above, below = grown
    data = frames.data
    size = (frames.sizes["y"] + above + below, frames.sizes["x"] + left + right)
    offsets = np.add(shifts, (left, above))
    shape = [1] * (frames.ndim - 2)
    chunks: list[Any] = [1] * (frames.ndim - 2)
    if len(offsets) > 1:
        axis = frames.get_axis_num(dim)
        shape[axis], chunks[axis] = len(offsets), data.chunks[axis]
    per_frame = da.from_array(offsets.reshape(*shape, 1, 2), chunks=(*chunks, 1, 2))
    return da.map_blocks(
        _shift_block,
        data,
        per_frame,
        size=size,
        dtype=data.dtype,
        chunks=(*data.chunks[:-2], (size[0],), (size[1],)),
        meta=np.empty((0,) * data.ndim, data.dtype),
        **options,
    )


def _shift_block(
    block: NDArray[Any],
    offsets: NDArray[np.float64],
    *,
    size: tuple[int, int],
    method: str,
    fill: float,
    hard: bool,
) -> NDArray[Any]:
    """Move every frame of a block of shape (..., y, x) by its own offset."""
    moved = np.empty((*block.shape[:-2], *size), block.dtype)
    each = np.broadcast_to(offsets, (*block.shape[:-2], 1, 2))
    for frame in np.ndindex(block.shape[:-2]):
        dx, dy = each[frame][0]
        shift_image(block[frame], float(dy), float(dx), moved[frame], method, fill, hard)
    return moved
