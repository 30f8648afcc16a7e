"""Pictures: statistic images as PNG files."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.errors import PixtallyError


def as_bytes(image: NDArray[Any], low: float | None = None, high: float | None = None) -> Any:
    """Scale an image to bytes: `low` and below to 0, `high` and above to 255, NaN to 0.

    Parameters
    ----------
    image : ndarray, shape (y, x) or (channel, y, x)
        Real numbers.
    low, high : float, optional
        By default the smallest and largest finite value.

    Returns
    -------
    ndarray of uint8
        Same shape.
    """
    values = np.asarray(image, dtype=np.float64)
    finite = values[np.isfinite(values)]
    low = (finite.min() if finite.size else 0.0) if low is None else low
    high = (finite.max() if finite.size else 1.0) if high is None else high
    scaled = (values - low) / ((high - low) or 1.0) * 255
    return np.clip(np.rint(np.nan_to_num(scaled, nan=0.0)), 0, 255).astype(np.uint8)


def robust_span(image: NDArray[Any]) -> tuple[float, float]:
    """Return the quantiles 0.001 and 0.999 of the finite values of an image; 0…1 without any."""
    finite = np.asarray(image)[np.isfinite(image)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.quantile(finite, [0.001, 0.999])
    return float(low), float(high)


def save_png(image: xr.DataArray, path: str | PathLike[str], span: Any = None) -> Path:
    """Write an image of (y, x) or (channel, y, x) as PNG.

    Parameters
    ----------
    image : DataArray
        One number a pixel; 1, 3 or 4 channels.
    path : path
        The file.
    span : (float, float), optional
        What becomes black and white; by default the quantiles 0.001 and 0.999 of the finite
        values, so that a few hot pixels do not darken the rest.

    Raises
    ------
    PixtallyError
        When its dimensions are not those of a picture.
    """
    import imageio.v3 as iio

    picture = image.transpose(..., "channel") if "channel" in image.dims else image
    scaled = as_bytes(picture.values, *(span or robust_span(picture.values)))
    if scaled.ndim == 3 and scaled.shape[-1] == 1:
        scaled = scaled[..., 0]
    if scaled.ndim not in (2, 3) or (scaled.ndim == 3 and scaled.shape[-1] not in (3, 4)):
        raise PixtallyError(
            f"{image.name or 'image'} has dimensions {dict(image.sizes)}; a PNG is (y, x) with 1, "
            "3 or 4 channels"
        )
    iio.imwrite(path, scaled)
    return Path(path)


def save_pictures(statistics: xr.Dataset, folder: Path) -> None:
    """Write each statistic image as PNG; those of one variable share a scale, to compare."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in statistics.data_vars.items():
        dim = next((d for d in image.dims if d in ("quantile", "component")), None)
        if dim is None:
            save_png(image, folder / f"{name}.png")
            continue
        span = robust_span(image.values)
        called = "quantile" if dim == "quantile" else name
        for each in image[dim].values:
            save_png(image.sel({dim: each}), folder / f"{called}-{each:g}.png", span)
