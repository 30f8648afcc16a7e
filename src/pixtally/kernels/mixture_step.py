"""The M-step of Gaussian mixtures: new parameters from added statistics, and their factors."""

from __future__ import annotations

import numpy as np
from numba import njit

FULL, TIED, DIAG, SPHERICAL = 0, 1, 2, 3
COVARIANCES = {"full": FULL, "tied": TIED, "diag": DIAG, "spherical": SPHERICAL}

# A component with less than this share of the samples has vanished (scikit-learn adds as much).
VANISHED = 10 * np.finfo(np.float64).eps


@njit(nogil=True, cache=True, error_model="numpy")
def maximise(moments, form, regulariser, weights, means, covariances):
    """Replace the parameters by those of the largest expected likelihood.

    Parameters
    ----------
    moments : ndarray of float64, shape (K, 1 + d + d(d+1)/2)
        Added statistics, centred at ``means`` (see :func:`pixtally.kernels.mixture.expect`).
    form : int
        A value of ``COVARIANCES``.
    regulariser : ndarray of float64, shape (d, d)
        Added to every covariance: ``reg_covar`` on the diagonal, and on coarse data the scatter
        inside the cells.
    weights, means, covariances : ndarray of float64, shapes (K,), (K, d), (K, d, d)
        Present parameters, replaced. A vanished component gets weight 0 and keeps the rest.

    Returns
    -------
    int
        The number of vanished components.
    """
    n_components = means.shape[0]
    total = moments[:, 0].sum()
    vanished = 0
    for k in range(n_components):
        mass = moments[k, 0]
        if mass <= VANISHED * total:
            weights[k] = 0.0
            vanished += 1
            continue
        weights[k] = mass / total
        _centre(moments[k], means[k], covariances[k])
    if form == TIED:
        _tie(weights, covariances)
    for k in range(n_components):
        if weights[k] > 0.0 or form == TIED:
            if form in (DIAG, SPHERICAL):
                _keep_diagonal(covariances[k], form == SPHERICAL)
            covariances[k] += regulariser
    return vanished


@njit(nogil=True, cache=True, error_model="numpy")
def factorise(weights, covariances, factors, constants):
    """Triangular factors of the precisions and logs of weight times peak density.

    Parameters
    ----------
    weights, covariances : ndarray of float64, shapes (K,), (K, d, d)
        Parameters; a weight of 0 makes the constant -inf.
    factors, constants : ndarray of float64, shapes (K, d, d), (K,)
        Written: ``factors[k]`` is upper triangular with ``factors[k] @ factors[k].T`` the inverse
        of ``covariances[k]``.

    Returns
    -------
    int
        -1, or the first component whose covariance is not positive definite.
    """
    n_components, n_features = covariances.shape[:2]
    lower = np.zeros((n_features, n_features))
    for k in range(n_components):
        log_det = 0.0
        for j in range(n_features):
            pivot = covariances[k, j, j]
            for a in range(j):
                pivot -= lower[j, a] * lower[j, a]
            if not pivot > 0.0:
                return k
            lower[j, j] = np.sqrt(pivot)
            log_det += np.log(lower[j, j])
            for i in range(j + 1, n_features):
                s = covariances[k, i, j]
                for a in range(j):
                    s -= lower[i, a] * lower[j, a]
                lower[i, j] = s / lower[j, j]
        _invert_lower(lower, factors[k])
        log_weight = np.log(weights[k]) if weights[k] > 0.0 else -np.inf
        constants[k] = log_weight - log_det - 0.5 * n_features * np.log(2.0 * np.pi)
    return -1


@njit(nogil=True, cache=True, error_model="numpy")
def _centre(moments, mean, covariance):
    """Move a mean by its first moment and take the covariance about the new place."""
    n_features = mean.size
    mass = moments[0]
    at = 1 + n_features
    for a in range(n_features):
        for b in range(a, n_features):
            second = moments[at] / mass
            c = second - (moments[1 + a] / mass) * (moments[1 + b] / mass)
            # Rounding may leave a tiny negative variance where all samples are equal.
            covariance[a, b] = max(c, 0.0) if a == b else c
            covariance[b, a] = covariance[a, b]
            at += 1
    for a in range(n_features):
        mean[a] += moments[1 + a] / mass


@njit(nogil=True, cache=True, error_model="numpy")
def _tie(weights, covariances):
    """Give every component the weighted mean of the covariances."""
    shared = np.zeros(covariances.shape[1:])
    for k in range(weights.size):
        shared += weights[k] * covariances[k]
    for k in range(weights.size):
        covariances[k] = shared


@njit(nogil=True, cache=True, error_model="numpy")
def _keep_diagonal(covariance, spherical):
    """Clear what is off the diagonal; for a sphere also level the diagonal."""
    n_features = covariance.shape[0]
    mean_variance = 0.0
    for a in range(n_features):
        mean_variance += covariance[a, a] / n_features
        for b in range(n_features):
            if b != a:
                covariance[a, b] = 0.0
    if spherical:
        for a in range(n_features):
            covariance[a, a] = mean_variance


@njit(nogil=True, cache=True, error_model="numpy")
def _invert_lower(lower, factor):
    """Write the transposed inverse of a lower triangular matrix: an upper triangular one."""
    n_features = lower.shape[0]
    factor[:] = 0.0
    for j in range(n_features):
        factor[j, j] = 1.0 / lower[j, j]
        for i in range(j + 1, n_features):
            s = 0.0
            for a in range(j, i):
                s -= lower[i, a] * factor[j, a]
            factor[j, i] = s / lower[i, i]
