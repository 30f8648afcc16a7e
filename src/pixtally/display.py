"""Pictures: statistic images as PNG files, the histogram of a pixel as a plot."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.errors import PixtallyError
from pixtally.schema import BIN, COUNTS, axis_of


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


def select_pixel(hist: xr.Dataset, pixel: dict[str, Any]) -> xr.Dataset:
    """Return the histogram of one pixel, by nearest coordinate where there is one, else position.

    Raises
    ------
    PixtallyError
        When a dimension is missing, unknown, or out of range.
    """
    dims = [str(d) for d in hist[COUNTS].dims if d != BIN]
    given = {**{d: 0 for d in dims if hist.sizes[d] == 1}, **pixel}
    if set(given) != set(dims):
        raise PixtallyError(
            f"a pixel needs {', '.join(f'{d}=' for d in dims)}; got "
            f"{', '.join(f'{d}=' for d in pixel) or 'nothing'}"
        )
    for d, place in given.items():
        if d in hist.indexes:
            hist = hist.sel({d: place}, method="nearest" if hist[d].dtype.kind in "iuf" else None)
        elif not 0 <= place < hist.sizes[d]:
            raise PixtallyError(f"{d}={place} is outside the image; it has 0…{hist.sizes[d] - 1}")
        else:
            hist = hist.isel({d: place})
    return hist


def plot_pixel(hist: xr.Dataset, pixel: dict[str, Any], ax: Any = None) -> Any:
    """Draw the histogram of one pixel; see `TallyAccessor.plot`."""
    import matplotlib.pyplot as plt

    one = select_pixel(hist, pixel)
    edges = axis_of(hist).edges
    ax = ax or plt.subplots(figsize=(7, 3.2), layout="constrained")[1]
    ax.stairs(one[COUNTS].values, edges, fill=True)
    where = ", ".join(f"{d}={v}" for d, v in pixel.items())
    ax.set(title=f"pixel {where}", xlabel="value", ylabel=hist[COUNTS].attrs.get("long_name", ""))
    filled = np.flatnonzero(one[COUNTS].values)
    if filled.size:
        margin = max(1, (filled[-1] - filled[0]) // 10)
        ax.set_xlim(
            edges[max(0, filled[0] - margin)], edges[min(len(edges) - 1, filled[-1] + 1 + margin)]
        )
    return ax


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
