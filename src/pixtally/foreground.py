"""What does not belong to the background of its pixel: a score and a mask for every sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.errors import PixtallyError

COMPONENT = "component"


def foreground(
    images: xr.DataArray | NDArray[Any],
    model: xr.Dataset,
    *,
    threshold: float = 4.0,
    background: float = 0.7,
    least_std: float | None = None,
) -> xr.Dataset:
    """Find the samples that do not belong to their pixel's background, lazily.

    Parameters
    ----------
    images : DataArray
        Images of the pixels that the model was fitted to; Dask arrays stay lazy.
    model : Dataset
        From `pixel_mixture`.
    threshold : float
        A sample farther than so many standard deviations from every background component is
        foreground.
    background : float
        The background of a pixel is those components, the most certain first (largest weight for
        their width), that together hold at least this share of its samples.
    least_std : float, optional
        A component counts as at least so wide; by default one bin, because a fixed camera's
        samples that never changed would else make any change an alarm.

    Returns
    -------
    Dataset
        ``score``, float32 of the images' shape without ``channel``: the distance to the nearest
        background component in standard deviations, the largest of the channels; NaN where the
        sample is not finite or the pixel was never seen. ``mask``: bool, ``score > threshold``.

    Raises
    ------
    PixtallyError
        When the model has pixel dimensions that the images lack, or of other sizes.

    References
    ----------
    The choice of background components is that of Stauffer and Grimson, "Adaptive background
    mixture models for real-time tracking", CVPR 1999.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> frames = np.full((40, 6, 8), 100, "uint8")
    >>> frames += np.random.default_rng(0).integers(0, 4, frames.shape, dtype="uint8")
    >>> frames[-1, 2:4, 3:5] = 220
    >>> model = pt.pixel_mixture(pt.pixel_histogram(frames), components=2)
    >>> int(pt.foreground(frames, model).mask[-1].sum())
    4
    """
    if not 0 < background <= 1:
        raise PixtallyError(f"background is {background}; it is a share of the samples, 0…1")
    named = _named(images, model)
    least = float(model.attrs.get("bin_width", 1.0)) if least_std is None else float(least_std)
    if not least > 0:
        raise PixtallyError(f"least_std is {least}; it is a standard deviation > 0")
    means, scales = _background(model, background, least)
    score = xr.apply_ufunc(
        _score,
        named,
        means,
        scales,
        input_core_dims=[[], [COMPONENT], [COMPONENT]],
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    if "channel" in score.dims:
        score = score.max("channel", skipna=False)
    score = score.rename("score").assign_attrs(
        long_name="distance to the background", units="standard deviations"
    )
    return xr.Dataset(
        {"score": score, "mask": (score > threshold).rename("mask")},
        attrs={"threshold": threshold, "background": background, "least_std": least},
    )


def _named(images: xr.DataArray | NDArray[Any], model: xr.Dataset) -> xr.DataArray:
    """Return images whose dimensions fit the model's."""
    needed = ("weights", "means", "stds")
    missing = [v for v in needed if v not in getattr(model, "data_vars", ())]
    if missing:
        raise PixtallyError(f"model has no {', '.join(missing)}; make one with pixel_mixture")
    pixel_dims = tuple(d for d in model["means"].dims if d != COMPONENT)
    if not isinstance(images, xr.DataArray):
        extra = np.ndim(images) - len(pixel_dims)
        dims = (("image",) if extra == 1 else ()) + pixel_dims
        if extra not in (0, 1):
            raise PixtallyError(
                f"images has shape {np.shape(images)}, the model's pixels {pixel_dims}; wrap it in "
                "xarray.DataArray with named dimensions"
            )
        images = xr.DataArray(images, dims=dims)
    for d in pixel_dims:
        if images.sizes.get(d) != model.sizes[d]:
            raise PixtallyError(
                f"the model has {model.sizes[d]} pixels along {d!r}, the images "
                f"{images.sizes.get(d, 'no such dimension')}; use the model of these images"
            )
    return images


def _background(
    model: xr.Dataset, share: float, least_std: float
) -> tuple[xr.DataArray, xr.DataArray]:
    """Means of the background components, NaN for the others, and one over their widths."""
    made = xr.apply_ufunc(
        _choose_background,
        model["weights"],
        model["means"],
        model["stds"],
        kwargs={"share": share, "least_std": least_std},
        input_core_dims=[[COMPONENT]] * 3,
        output_core_dims=[[COMPONENT]] * 2,
        dask="parallelized",
        output_dtypes=[np.float32] * 2,
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    means, scales = (each.drop_vars(list(each.coords)) for each in made)
    return means, scales


def _choose_background(
    weights: NDArray[Any], means: NDArray[Any], stds: NDArray[Any], share: float, least_std: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Keep the most certain components until they hold `share` of the samples."""
    present = np.nan_to_num(weights)
    # A component without samples has a std of NaN, which must not win.
    widths = np.fmax(stds, least_std)
    order = np.argsort(-present / widths, axis=-1, kind="stable")
    ordered = np.take_along_axis(present, order, axis=-1)
    before = np.cumsum(ordered, axis=-1) - ordered
    kept = np.empty(order.shape, bool)
    np.put_along_axis(kept, order, (before < share) & (ordered > 0), axis=-1)
    return (
        np.where(kept, means, np.nan).astype(np.float32),
        (1 / widths).astype(np.float32),
    )


def _score(
    images: NDArray[Any], means: NDArray[np.float32], scales: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Distance to the nearest component that is not NaN; NaN where there is none."""
    samples = images.astype(np.float32)
    nearest = np.full(np.broadcast_shapes(samples.shape, means.shape[:-1]), np.nan, np.float32)
    for k in range(means.shape[-1]):
        np.fmin(nearest, np.abs(samples - means[..., k]) * scales[..., k], out=nearest)
    nearest[~np.isfinite(np.broadcast_to(samples, nearest.shape))] = np.nan
    return nearest
