"""Mixtures of what a store holds, written beside it: what the command ``pixtally mixture`` does."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr

from pixtally.describe import describe
from pixtally.errors import PixtallyError
from pixtally.mixture import fit_mixture
from pixtally.pixel_models import pixel_mixture
from pixtally.store import open_histogram, open_images
from pixtally.zarr_io import write_small


def fit_store(
    store: str | PathLike[str],
    dest: str | PathLike[str],
    components: int | str = 3,
    *,
    covariance: str = "full",
    seed: int = 0,
) -> xr.Dataset:
    """Fit a mixture to the colours of a collection, or to every pixel of a histogram, and save it.

    Parameters
    ----------
    store : path
        A collection of images or a histogram.
    dest : path
        The Zarr store to make; one that is there already is replaced.
    components : int or "bic"
        How many Gaussians; "bic" (images only) chooses from 1 to 8.
    covariance : str
        Form of the covariances (images only).
    seed : int
        Of the random starts (images only).

    Returns
    -------
    Dataset
        The model, in memory: that of `fit_mixture` or `pixel_mixture`.

    Raises
    ------
    PixtallyError
        When the store holds neither, or dest is the store itself.
    """
    if Path(store).resolve() == Path(dest).resolve():
        raise PixtallyError(f"{dest} is what the mixture is fitted to; name another store")
    kind = describe(Path(store))["kind"]
    if kind == "histogram":
        if not isinstance(components, int):
            raise PixtallyError("a mixture of every pixel has a fixed number of components: 3")
        model = pixel_mixture(open_histogram(store), components).compute()
    elif kind == "images":
        number: Any = components
        form: Any = covariance
        model = fit_mixture(open_images(store), number, form, seed=seed)
    else:
        raise PixtallyError(f"{store} is not finished; run the job that makes it again")
    write_small(model, Path(dest))
    return model


def model_summary(model: xr.Dataset) -> dict[str, Any]:
    """Return what a model is, JSON-able."""
    if "covariances" not in model:
        seen = model["n_iter"].where(model["log_likelihood"].notnull())
        return {
            "kind": "pixel mixture",
            "components": model.sizes["component"],
            "pixels": int(model["n_iter"].size),
            "pixels_seen": int(seen.count()),
            "mean_log_likelihood": float(model["log_likelihood"].mean()),
        }
    scalars = ("log_likelihood", "n_iter", "converged", "aic", "bic")
    return {
        "kind": "mixture",
        "components": model.sizes["component"],
        **{name: model[name].item() for name in scalars},
        "weights": model["weights"].values.tolist(),
        "means": model["means"].values.tolist(),
        **({"note": model.attrs["note"]} if "note" in model.attrs else {}),
    }
