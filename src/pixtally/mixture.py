"""Gaussian mixtures of the colours of images: of one photograph or of a whole collection."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.errors import PixtallyError
from pixtally.kernels.colours import count_colours, decode_colours, lookup_colours
from pixtally.kernels.mixture import respond
from pixtally.kernels.mixture_fit import (
    Fit,
    Recipe,
    Samples,
    SingularCovarianceError,
    best_start,
    choose_by_bic,
    colour_levels,
    factors_of,
    polish,
    refine,
)
from pixtally.kernels.mixture_start import Mixture
from pixtally.kernels.mixture_step import COVARIANCES
from pixtally.mixture_data import FEATURES, Pixels, as_pixels, name_dimensions
from pixtally.mixture_model import model_dataset, parameters

log = logging.getLogger("pixtally")

Covariance = Literal["full", "tied", "diag", "spherical"]

BIC_RANGE = range(1, 9)
"""Numbers of components that ``components="bic"`` compares."""


def fit_mixture(
    images: Any,
    components: int | Literal["bic"] | Sequence[int] | None = None,
    covariance: Covariance = "full",
    init: str | xr.Dataset | NDArray[Any] = "kmeans",
    n_init: int = 5,
    tol: float = 1e-3,
    max_iter: int = 100,
    reg_covar: float = 1e-6,
    seed: int = 0,
    mask: Any = None,
    weights: Any = None,
) -> xr.Dataset:
    """Fit a Gaussian mixture to the colours of one image or of all images of a collection.

    Parameters
    ----------
    images : DataArray or array
        Integers or floats of any dimensions. Colours lie along the dimension ``channel``,
        wherever it stands; without it the samples have one feature. A plain array whose last axis
        has at most four entries has its channels there.
    components : int, "bic" or sequence of int
        How many Gaussians; ``"bic"`` takes the number from 1 to 8 of least Bayesian information
        criterion, a sequence such as ``range(2, 6)`` the best of its own. Default: 2, or as many
        as `init` has.
    covariance : {"full", "tied", "diag", "spherical"}
        Form of the covariances, as in scikit-learn.
    init : {"kmeans", "k-means++"}, model or ndarray of shape (components, channel)
        Where to begin: centres drawn by k-means++ and moved by k-means, or only drawn; a model
        fitted before, such as that of the previous frame of a video; or the means.
    n_init : int
        Random starts, of which the likeliest goes on. They run on pooled data and cost little.
    tol : float
        EM has converged when the mean log-likelihood of the data changes by less.
    max_iter : int
        Most passes over the data.
    reg_covar : float
        Added to every variance, ≥ 0.
    seed : int
        Of the random starts.
    mask : DataArray of bool, optional
        True: leave the sample out. Of the images' dimensions or some of them.
    weights : DataArray, optional
        Weight ≥ 0 of each sample or of each image.

    Returns
    -------
    Dataset
        ``weights (component)``, ``means (component, feature)``, ``covariances (component,
        feature, feature_)``, ``log_likelihood`` (mean over the samples, of exactly these
        parameters), ``n_iter``, ``converged``, ``aic``, ``bic``. Components are sorted by the sum
        of their mean's features.

    Raises
    ------
    PixtallyError
        When there are fewer distinct samples than components, NaN that is not masked, a negative
        weight, or an `init` of other dimensions.

    Notes
    -----
    Images of 8 bits and up to 4 channels are fitted on their distinct colours with counts, which
    is exact and, for a collection, one histogram reduced in a tree. Other data stay where they
    are: each pass adds the statistics of the chunks in a tree (persist them where they fit). Most
    steps of EM happen on pooled colours, or on a sample, whose statistics are corrected by what
    they lack against the data; where that stands still, plain EM on the data does.

    References
    ----------
    Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM algorithm",
    J. R. Stat. Soc. B 39, 1977. The meaning is that of `sklearn.mixture.GaussianMixture`.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> photo = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype="uint8")
    >>> model = pt.fit_mixture(photo, components=2)
    >>> model.means.dims, round(float(model.weights.sum()), 6)
    (('component', 'feature'), 1.0)
    """
    recipe = _recipe(covariance, init, n_init, tol, max_iter, reg_covar, seed)
    pixels = as_pixels(images, mask, weights)
    start = _start(init, pixels.values.shape[-1], recipe)
    candidates = _candidates(components, start)
    try:
        fit, total = (_fit_colours if pixels.few_values else _fit_samples)(
            pixels, candidates, recipe, start
        )
    except SingularCovarianceError as error:
        raise PixtallyError(
            f"component {error.component} has no spread in some direction and "
            f"reg_covar={reg_covar:g} does not give it any; pass reg_covar=1e-6 or more"
        ) from None
    model = model_dataset(fit, recipe, total, pixels.features)
    return _with_notes(model, fit, recipe)


def predict_mixture(
    images: Any, model: xr.Dataset, output: Literal["labels", "responsibilities"] = "labels"
) -> xr.DataArray:
    """Tell to which component of a mixture each pixel belongs, lazily.

    Parameters
    ----------
    images : DataArray or array
        As for `fit_mixture`; Dask arrays stay lazy.
    model : Dataset
        From `fit_mixture`.
    output : {"labels", "responsibilities"}
        The likeliest component, or the probability of each.

    Returns
    -------
    DataArray
        ``labels``: int8 (int16 for 128 components and more), the images' dimensions without
        ``channel``; -1 where a sample is not finite. ``responsibilities``: float32, with
        ``component`` as last dimension; NaN there.

    Raises
    ------
    PixtallyError
        When the model has another number of features.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> photo = np.zeros((4, 6, 3), "uint8")
    >>> photo[:, 3:] = 200
    >>> pt.predict_mixture(photo, pt.fit_mixture(photo, 2)).values[0].tolist()
    [0, 0, 0, 1, 1, 1]
    """
    if output not in ("labels", "responsibilities"):
        raise PixtallyError(f"output is {output!r}; it is 'labels' or 'responsibilities'")
    named = name_dimensions(images)
    pixels = as_pixels(images)
    mixture = parameters(model)
    _check_features(mixture, pixels.values.shape[-1], "model")
    labels = output == "labels"
    k = mixture.weights.size
    label_type = np.dtype(np.int8 if k < 128 else np.int16)
    dtype = label_type if labels else np.dtype(np.float32)
    wanted = dtype if labels else None
    if isinstance(pixels.values, da.Array):
        chunks = pixels.values.chunks[:-1]
        # Compiled here, so that not all workers do it at once.
        _assign(np.zeros((1, mixture.means.shape[1]), pixels.values.dtype), mixture, wanted)
        made = da.map_blocks(
            _assign,
            pixels.values,
            mixture=mixture,
            dtype_of_labels=wanted,
            drop_axis=[pixels.values.ndim - 1] if labels else [],
            chunks=chunks if labels else (*chunks, (k,)),
            dtype=dtype,
            meta=np.empty((0,), dtype),
        )
    else:
        made = _assign(pixels.values, mixture, wanted)
    dims = tuple(d for d in named.dims if d != FEATURES)
    coords = {n: c for n, c in named.coords.items() if FEATURES not in c.dims}
    if labels:
        return xr.DataArray(made, coords, dims, "labels")
    coords["component"] = model["component"]
    return xr.DataArray(made, coords, (*dims, "component"), "responsibilities")


def _assign(
    values: NDArray[Any], mixture: Mixture, dtype_of_labels: np.dtype[Any] | None
) -> NDArray[Any]:
    """Labels of a block, or responsibilities where no dtype of labels is given."""
    d, dtype = values.shape[-1], dtype_of_labels
    flat: NDArray[Any] = values.reshape(-1, d)
    if values.dtype == np.uint8 and d <= 4:
        found = count_colours(flat)
        shares = _responsibilities(decode_colours(found.codes, d).astype(np.float64), mixture)
        answer = shares.argmax(axis=0).astype(dtype) if dtype else shares.T.astype(np.float32)
        picked = answer[lookup_colours(flat, found)]
    else:
        planes = np.ascontiguousarray(flat.T, np.float64)
        finite = np.isfinite(planes).all(axis=0)
        shares = _responsibilities(np.where(finite, planes, 0.0), mixture)
        picked = shares.argmax(axis=0).astype(dtype) if dtype else shares.T.astype(np.float32)
        picked[~finite] = -1 if dtype else np.nan
    picked = np.asarray(picked)
    return picked.reshape(values.shape[:-1] + picked.shape[1:])


def _responsibilities(samples: NDArray[np.float64], mixture: Mixture) -> NDArray[np.float64]:
    shares = np.empty((mixture.weights.size, samples.shape[1]))
    respond(samples, mixture.means, *factors_of(mixture), shares)
    return shares


def _recipe(
    covariance: str, init: Any, n_init: int, tol: float, max_iter: int, reg_covar: float, seed: int
) -> Recipe:
    if covariance not in COVARIANCES:
        raise PixtallyError(f"covariance is {covariance!r}; it is one of {', '.join(COVARIANCES)}")
    if isinstance(init, str) and init not in ("kmeans", "k-means++"):
        raise PixtallyError(
            f"init is {init!r}; it is 'kmeans', 'k-means++', a model or an array of means"
        )
    if not reg_covar >= 0:
        raise PixtallyError(f"reg_covar is {reg_covar}; it is a variance ≥ 0, such as 1e-6")
    for name, number in (("n_init", n_init), ("max_iter", max_iter)):
        if number < 1:
            raise PixtallyError(f"{name} is {number}; it is at least 1")
    lloyd = not (isinstance(init, str) and init == "k-means++")
    return Recipe(covariance, n_init, float(tol), max_iter, float(reg_covar), seed, lloyd)


def _candidates(components: Any, start: Mixture | None) -> list[int]:
    if components is None:
        return [2 if start is None else start.weights.size]
    if isinstance(components, str):
        if components != "bic":
            raise PixtallyError(f"components is {components!r}; it is a number or 'bic'")
        numbers = list(BIC_RANGE)
    else:
        numbers = [int(n) for n in np.atleast_1d(np.asarray(components))]
    if not numbers or min(numbers) < 1:
        raise PixtallyError(f"components is {components!r}; a mixture has at least 1")
    if start is not None and numbers != [start.weights.size]:
        raise PixtallyError(
            f"components is {components!r}, init has {start.weights.size}; "
            "leave components out to go on from init"
        )
    return numbers


def _start(init: Any, n_features: int, recipe: Recipe) -> Mixture | None:
    """Return the mixture to begin with, where one is given."""
    if isinstance(init, str):
        return None
    if isinstance(init, xr.Dataset):
        start = parameters(init, "init")
        _check_features(start, n_features, "init")
        return start
    means = np.asarray(init, np.float64)
    if means.ndim != 2 or means.shape[1] != n_features or not np.isfinite(means).all():
        raise PixtallyError(
            f"init has shape {means.shape}; means are finite, of shape (components, {n_features})"
        )
    # Spheres that just about touch: the squared distance to the nearest other mean.
    k = len(means)
    distances = np.sum((means[:, None] - means[None]) ** 2, axis=-1) + np.diag(np.full(k, np.inf))
    nearest = np.min(distances, axis=1, initial=np.inf) / 4
    sizes = np.where(np.isfinite(nearest) & (nearest > 0), nearest, 1.0) + recipe.reg_covar
    return Mixture(np.full(k, 1 / k), means, sizes[:, None, None] * np.eye(n_features))


def _check_features(mixture: Mixture, n_features: int, name: str) -> None:
    if mixture.means.shape[1] != n_features:
        raise PixtallyError(
            f"{name} has {mixture.means.shape[1]} features, the images have {n_features}; "
            "fit one to images with the same channels"
        )


def _fit_colours(
    pixels: Pixels, candidates: list[int], recipe: Recipe, start: Mixture | None
) -> tuple[Fit, float]:
    """Fit to distinct colours and their counts."""
    found = pixels.colours()
    _check_distinct(found.codes.size, candidates)
    levels = colour_levels(found)
    start = _choose(levels, candidates, recipe, start)
    return refine(levels, start, recipe), float(found.counts.sum())


def _fit_samples(
    pixels: Pixels, candidates: list[int], recipe: Recipe, start: Mixture | None
) -> tuple[Fit, float]:
    """Fit to samples that stay in their chunks, from a sample of them."""
    gathered = pixels.gather()
    if gathered.not_finite:
        raise PixtallyError(
            f"images has {gathered.not_finite} samples that are NaN or infinite; leave them out "
            "with mask=~numpy.isfinite(images)"
        )
    if gathered.negative:
        raise PixtallyError(
            f"weights has {gathered.negative} negative numbers or NaN; every weight is ≥ 0"
        )
    _check_distinct(len(np.unique(gathered.values, axis=1).T), candidates)
    d = gathered.values.shape[0]
    sample = Samples(gathered.values, gathered.weights, np.zeros((d, d)))
    start = _choose([sample, sample], candidates, recipe, start)
    return polish(pixels.statistics, gathered.total, sample, start, recipe), gathered.total


def _choose(
    levels: list[Samples], candidates: list[int], recipe: Recipe, start: Mixture | None
) -> Mixture:
    if start is not None:
        return start
    if len(candidates) == 1:
        return best_start(levels[0], candidates[0], recipe).mixture
    number, start = choose_by_bic(levels, candidates, recipe)
    log.info("BIC chooses %d components from %s", number, candidates)
    return start


def _check_distinct(found: int, candidates: list[int]) -> None:
    """Drop numbers of components that the samples cannot fill; none left is an error."""
    if found < min(candidates):
        raise PixtallyError(
            f"images has {found} distinct samples, fewer than {min(candidates)} components; "
            f"pass components={max(found, 1)} or less"
        )
    candidates[:] = [n for n in candidates if n <= found]


def _with_notes(model: xr.Dataset, fit: Fit, recipe: Recipe) -> xr.Dataset:
    """Drop vanished components, and say what a user should know."""
    notes = []
    if fit.lost:
        kept = np.flatnonzero(fit.mixture.weights > 0)
        model = model.isel(component=kept).assign_coords(component=np.arange(kept.size))
        notes.append(f"{len(fit.lost)} components vanished and were dropped")
    smallest = np.linalg.eigvalsh(fit.mixture.covariances).min(axis=1)
    flat = np.flatnonzero((smallest < 2 * recipe.reg_covar) & (fit.mixture.weights > 0))
    if flat.size:
        notes.append(
            f"components {flat.tolist()} have no spread of their own in some direction: "
            f"reg_covar={recipe.reg_covar:g} holds them up"
        )
    if not fit.converged:
        notes.append(f"EM has not converged in {recipe.max_iter} passes; raise max_iter or tol")
    for note in notes:
        log.warning("fit_mixture: %s", note)
    return model.assign_attrs(note="; ".join(notes)) if notes else model
