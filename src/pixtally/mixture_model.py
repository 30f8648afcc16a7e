"""A fitted mixture as a labelled Dataset, and back; also as scikit-learn's object."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally._version import __version__
from pixtally.errors import PixtallyError
from pixtally.kernels.mixture_fit import Fit, Recipe, aic, bic, n_parameters
from pixtally.kernels.mixture_start import Mixture

ORDER = "sum of the mean's features, then the features in turn, ascending"


def model_dataset(fit: Fit, recipe: Recipe, total: float, features: NDArray[Any]) -> xr.Dataset:
    """Label a fit.

    Parameters
    ----------
    fit : Fit
        From the kernels, sorted.
    recipe : Recipe
        How it was made.
    total : float
        Sum of the samples' weights.
    features : ndarray, shape (d,)
        Names of the features.

    Returns
    -------
    Dataset
        ``weights (component)``, ``means (component, feature)``, ``covariances (component,
        feature, feature_)`` and the scalars ``log_likelihood`` (mean over the samples),
        ``n_iter``, ``converged``, ``aic``, ``bic``.
    """
    k, d = fit.mixture.means.shape
    free = n_parameters(k, d, recipe.form)
    return xr.Dataset(
        {
            "weights": ("component", fit.mixture.weights),
            "means": (("component", "feature"), fit.mixture.means),
            "covariances": (("component", "feature", "feature_"), fit.mixture.covariances),
            "log_likelihood": ((), fit.log_likelihood, {"long_name": "mean log-likelihood"}),
            "n_iter": ((), fit.n_iter, {"long_name": "passes of EM over the data"}),
            "converged": ((), fit.converged),
            "aic": ((), aic(fit.log_likelihood, total, free)),
            "bic": ((), bic(fit.log_likelihood, total, free)),
        },
        coords={"component": np.arange(k), "feature": features, "feature_": features},
        attrs={
            "title": "Gaussian mixture",
            "covariance": recipe.covariance,
            "reg_covar": recipe.reg_covar,
            "tol": recipe.tol,
            "seed": recipe.seed,
            "n_samples": total,
            "order": ORDER,
            "pixtally_version": __version__,
        },
    )


def parameters(model: xr.Dataset, name: str = "model") -> Mixture:
    """Return the parameters of a model Dataset, checked."""
    needed = ("weights", "means", "covariances")
    missing = [v for v in needed if v not in getattr(model, "data_vars", ())]
    if missing:
        raise PixtallyError(
            f"{name} has no {', '.join(missing)}; it must be a Dataset from fit_mixture"
        )
    ordered = model[list(needed)].transpose("component", "feature", "feature_")
    found = Mixture(*(np.array(ordered[v].values, np.float64) for v in needed))
    k, d = found.means.shape
    if found.covariances.shape != (k, d, d):
        raise PixtallyError(
            f"{name} has covariances of shape {found.covariances.shape}, its means need {(k, d, d)}"
        )
    return found


def to_sklearn(model: xr.Dataset) -> Any:
    """Return a fitted `sklearn.mixture.GaussianMixture` with the same parameters.

    Parameters
    ----------
    model : Dataset
        From `fit_mixture`.

    Returns
    -------
    GaussianMixture
        Ready for ``predict``, ``score_samples`` and ``sample``. Give it float samples: for uint8
        scikit-learn answers differently.

    Raises
    ------
    PixtallyError
        When scikit-learn is not installed.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> photo = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype="uint8")
    >>> pt.to_sklearn(pt.fit_mixture(photo, 2)).predict([[0.0, 0.0, 0.0]]).shape
    (1,)
    """
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError:
        raise PixtallyError(
            "to_sklearn needs scikit-learn, which is not installed; pip install scikit-learn"
        ) from None
    found = parameters(model)
    form = str(model.attrs.get("covariance", "full"))
    mixture = GaussianMixture(
        found.weights.size, covariance_type=form, reg_covar=model.attrs.get("reg_covar", 1e-6)
    )
    mixture.weights_, mixture.means_ = found.weights, found.means
    mixture.covariances_ = _compact(found.covariances, form)
    precision = np.linalg.inv(found.covariances)
    mixture.precisions_ = _compact(precision, form)
    # cov = L Lᵀ gives the upper triangular factor L⁻ᵀ of the precision.
    factor = np.linalg.inv(np.linalg.cholesky(found.covariances)).transpose(0, 2, 1)
    mixture.precisions_cholesky_ = _compact(factor, form)
    mixture.converged_ = bool(model.get("converged", True))
    mixture.n_iter_ = int(model.get("n_iter", 0))
    mixture.lower_bound_ = float(model.get("log_likelihood", np.nan))
    mixture.n_features_in_ = found.means.shape[1]
    return mixture


def _compact(matrices: NDArray[Any], form: str) -> NDArray[np.float64]:
    """Keep of (K, d, d) matrices what scikit-learn keeps for a form of covariance."""
    diagonals = np.diagonal(matrices, axis1=1, axis2=2)
    kept = {
        "full": matrices,
        "tied": matrices[0],
        "diag": diagonals,
        "spherical": diagonals[:, 0],
    }
    return np.array(kept[form])
