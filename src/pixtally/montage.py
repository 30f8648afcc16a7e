"""Several images in one picture, with a mask over them."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

TINT = np.array([255.0, 40.0, 30.0])
GAP = 4


def montage(images: xr.DataArray, mask: xr.DataArray) -> xr.DataArray:
    """Lay images out in rows of three, each above itself with the masked pixels in red.

    Parameters
    ----------
    images : DataArray, shape (image, y, x) with or without ``channel``
        A few images, in memory.
    mask : DataArray of bool, shape (image, y, x)
        Pixels to colour.

    Returns
    -------
    DataArray of uint8, shape (y, x, channel)
        One picture; the images share one scale.
    """
    colour = as_colour(images)
    tinted = colour.copy()
    chosen = mask.transpose("image", "y", "x").values
    tinted[chosen] = 0.35 * tinted[chosen] + 0.65 * TINT
    pairs = np.concatenate([colour, _gap(colour, 1), tinted], axis=1)
    columns = min(3, len(pairs))
    rows = [_row(pairs[i : i + columns], columns) for i in range(0, len(pairs), columns)]
    picture = np.concatenate(rows, axis=0)[: -2 * GAP].round().astype(np.uint8)
    return xr.DataArray(picture, dims=("y", "x", "channel"), name="montage")


def as_colour(images: xr.DataArray) -> NDArray[np.float64]:
    """Return images as (image, y, x, 3) of 0…255; other than 8 bits from their own extremes."""
    if "channel" in images.dims:
        values = images.transpose("image", "y", "x", "channel").values.astype(np.float64)
    else:
        values = images.transpose("image", "y", "x").values[..., None].astype(np.float64)
    if images.dtype != np.uint8:
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        values = np.nan_to_num((values - low) / ((high - low) or 1.0) * 255)
    kept = values[..., :3] if values.shape[-1] >= 3 else values[..., :1]
    return np.ascontiguousarray(np.broadcast_to(kept, (*kept.shape[:-1], 3)))


def _gap(images: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    shape = list(images.shape)
    shape[axis] = GAP
    return np.full(shape, 255.0)


def _row(images: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Lay images side by side, fill the row up with white, and leave a gap below."""
    n, height, width, channels = images.shape
    row = np.full((height + 2 * GAP, columns * (width + GAP) - GAP, channels), 255.0)
    for k in range(n):
        row[:height, k * (width + GAP) : k * (width + GAP) + width] = images[k]
    return row
