"""The steps of a pipeline that fit mixtures: to every pixel, to all colours, to photon peaks."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import Field

from pixtally.errors import PixtallyError
from pixtally.exposure import steady_exposure
from pixtally.foreground import foreground
from pixtally.mixture import fit_mixture, predict_mixture
from pixtally.montage import montage
from pixtally.pixel_models import fit_peaks, pixel_mixture
from pixtally.steps import AnswerStep, ImagesStep, PictureStep, register

MIXTURE = "mixture_"
"""Begins the names of a pixel mixture's variables among the statistic images."""


@register
class PixelMixture(AnswerStep):
    """A Gaussian mixture of every pixel."""

    name: ClassVar[str] = "pixel_mixture"

    components: int = Field(3, ge=1, description="Gaussians of each pixel.")
    tol: float = Field(3e-4, gt=0, description="Least change of the mean log-likelihood.")
    max_iter: int = Field(100, ge=1, description="Most iterations.")
    reg_covar: float = Field(1e-6, ge=0, description="Added to every variance.")

    def answer(self, hist: xr.Dataset) -> dict[str, xr.DataArray]:
        """Return the variables ``mixture_weights``, ``mixture_means`` and ``mixture_stds``."""
        model = pixel_mixture(hist, **self.model_dump())
        width = {"bin_width": model.attrs["bin_width"]}
        return {f"{MIXTURE}{v}": model[v].assign_attrs(width) for v in ("weights", "means", "stds")}


@register
class FitPeaks(AnswerStep):
    """Evenly spaced photon peaks of every pixel."""

    name: ClassVar[str] = "fit_peaks"

    peaks: int = Field(16, ge=2, description="Most peaks, that of no photon included.")
    gain: tuple[float, float] | None = Field(None, description="Least and largest spacing.")

    def answer(self, hist: xr.Dataset) -> dict[str, xr.DataArray]:
        """Return the variables ``offset``, ``gain``, ``noise`` and ``rate``."""
        found = fit_peaks(hist, **self.model_dump())
        return {v: found[v] for v in ("offset", "gain", "noise", "rate")}


@register
class SteadyExposure(ImagesStep):
    """Scale each image so that its median is that of the collection."""

    name: ClassVar[str] = "steady_exposure"

    def apply(self, images: xr.DataArray) -> xr.DataArray:
        """Return the scaled images, lazily."""
        return steady_exposure(images)


@register
class Segment(ImagesStep):
    """Fit one mixture to the colours of all images and say of each pixel which part it is."""

    name: ClassVar[str] = "segment"

    components: int | Literal["bic"] = Field(3, description="How many Gaussians, or 'bic'.")
    covariance: Literal["full", "tied", "diag", "spherical"] = Field(
        "full", description="Form of the covariances."
    )
    n_init: int = Field(5, ge=1, description="Random starts.")
    tol: float = Field(1e-3, gt=0, description="Least change of the mean log-likelihood.")
    max_iter: int = Field(100, ge=1, description="Most passes over the images.")
    seed: int = Field(0, ge=0, description="Of the random starts.")
    output: Literal["means", "labels"] = Field(
        "means", description="Each pixel becomes the mean colour of its part, or its number."
    )

    def apply(self, images: xr.DataArray) -> xr.DataArray:
        """Return the labels or the mean colours, lazily; the fit is done at once."""
        model = fit_mixture(images, **self.model_dump(exclude={"output"}))
        labels = predict_mixture(images, model)
        if self.output == "labels":
            return labels
        return paint(labels, model, images)


def paint(labels: xr.DataArray, model: xr.Dataset, images: xr.DataArray) -> xr.DataArray:
    """Give each label the mean of its component, in the images' dimensions and dtype."""
    means = model["means"].values
    if images.dtype.kind in "iu":
        means = np.rint(means)
    means = means.astype(images.dtype)
    colour = xr.apply_ufunc(
        _pick,
        labels,
        kwargs={"means": means},
        output_core_dims=[["channel"]],
        dask="parallelized",
        output_dtypes=[images.dtype],
        dask_gufunc_kwargs={"output_sizes": {"channel": means.shape[1]}},
    )
    if "channel" not in images.dims:
        colour = colour.isel(channel=0, drop=True)
    painted: xr.DataArray = colour.transpose(*images.dims).rename(images.name)
    return painted


def _pick(labels: Any, means: Any) -> Any:
    return means[labels]


@register
class Foreground(PictureStep):
    """A picture of some images with what does not belong to the background in red."""

    name: ClassVar[str] = "foreground"

    threshold: float = Field(4.0, gt=0, description="Standard deviations from the background.")
    background: float = Field(0.7, gt=0, le=1, description="Share of samples it must hold.")
    least_std: float | None = Field(None, gt=0, description="Least width of a component.")
    montage: int = Field(6, ge=1, le=64, description="How many images, evenly spread.")

    def pictures(self, images: xr.DataArray, statistics: xr.Dataset) -> dict[str, xr.DataArray]:
        """Return the picture ``foreground`` of (y, x, channel)."""
        needed = [f"{MIXTURE}{v}" for v in ("weights", "means", "stds")]
        if any(v not in statistics for v in needed):
            raise PixtallyError("foreground needs the step pixel_mixture before it")
        model = statistics[needed].rename({v: v.removeprefix(MIXTURE) for v in needed})
        model.attrs["bin_width"] = statistics[needed[0]].attrs["bin_width"]
        n = images.sizes["image"]
        chosen = np.unique(np.linspace(0, n - 1, self.montage + 2).round().astype(int)[1:-1])
        some = images.isel(image=chosen).compute()
        found = foreground(
            some,
            model,
            threshold=self.threshold,
            background=self.background,
            least_std=self.least_std,
        )
        return {"foreground": montage(some, found["mask"])}
