"""Steady exposure: images of a camera that brightens and darkens, brought to one level."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.operands import ArrayLike, as_images

SAMPLED = 128
"""Rows and columns, at least, from which the median of an image is taken."""


def steady_exposure(images: ArrayLike, dim: Hashable = "image") -> xr.DataArray:
    """Scale each image so that its median is that of the collection, lazily.

    Parameters
    ----------
    images : DataArray, shape (image, ...)
        Of a fixed camera whose automatic exposure follows what passes.
    dim : hashable
        Name of the image dimension.

    Returns
    -------
    DataArray
        Same dtype; integers are rounded and clipped to their range. An image whose median is 0
        or NaN stays as it is.

    Notes
    -----
    Medians are taken on a regular grid of at least 128 × 128 pixels, the level is the median of
    them: the images are read once more. A mixture of every pixel, and what is foreground, mean
    little while the whole picture changes its brightness.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> images = np.array([[[10, 20]], [[20, 40]], [[10, 20]]], dtype="uint8")
    >>> pt.steady_exposure(images).values.tolist()
    [[[10, 20]], [[10, 20]], [[10, 20]]]
    """
    images = as_images(images, dim)
    pixels = [d for d in images.dims if d != dim]
    steps = {d: slice(None, None, max(images.sizes[d] // SAMPLED, 1)) for d in ("y", "x")}
    grid = images.drop_vars(list(images.coords)).isel(
        {d: step for d, step in steps.items() if d in pixels}
    )
    if grid.chunks is not None:
        grid = grid.chunk(dict.fromkeys(pixels, -1))
    medians = grid.astype(np.float64).median(pixels)
    whole = medians.chunk({dim: -1}) if medians.chunks is not None else medians
    # Dask takes medians along some dimensions only, never along all.
    level = whole.expand_dims("level").median([dim]).squeeze("level")
    factor = level / medians.where(medians != 0)
    scaled: xr.DataArray = xr.apply_ufunc(
        _scaled,
        images,
        factor.fillna(1.0),
        dask="parallelized",
        output_dtypes=[images.dtype],
        keep_attrs=True,
    )
    return scaled.rename(images.name)


def _scaled(block: NDArray[Any], factor: NDArray[np.float64]) -> NDArray[Any]:
    """Scale a block a slice at a time: as doubles, all of it would be many times as large."""
    factors = np.broadcast_to(factor, block.shape)
    made = np.empty_like(block)
    for k in range(len(block)):
        doubles = block[k] * factors[k]
        if block.dtype.kind in "iu":
            info = np.iinfo(block.dtype)
            doubles = doubles.round().clip(info.min, info.max)
        made[k] = doubles.astype(block.dtype)
    return made
