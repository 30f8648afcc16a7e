"""EM to convergence on samples in memory, from coarse cells of the data to the data itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixtally.kernels.colour_cells import cells_by_side, pool_cells, pool_colours
from pixtally.kernels.colours import ColourCounts, decode_colours
from pixtally.kernels.mixture import accumulate, expect, n_moments
from pixtally.kernels.mixture_start import Mixture, reseed, start_kmeans
from pixtally.kernels.mixture_step import COVARIANCES, DIAG, FULL, SPHERICAL, factorise, maximise

Floats = NDArray[np.float64]

# Cells on which restarts run, and on which the chosen one converges before the exact data.
_RESTART_CELLS = 1500
_REFINE_CELLS = 8000
_RESTART_TOL = 1e-4
_REFINE_TOL = 1e-5
_COARSE_ITERATIONS = 300


class Samples(NamedTuple):
    """Weighted samples: (d, n) values, (n,) counts, and the (d, d) scatter that pooling hid."""

    values: NDArray[np.uint8] | Floats
    counts: Floats
    scatter: Floats


class Fit(NamedTuple):
    """A fitted mixture with how it went.

    ``log_likelihood`` is the mean over the samples under exactly these parameters; ``lost``
    names components without samples; ``singular`` the first covariance that could not be
    factorised, or -1.
    """

    mixture: Mixture
    log_likelihood: float
    n_iter: int
    converged: bool
    lost: tuple[int, ...] = ()
    singular: int = -1


class SingularCovarianceError(ValueError):
    """A covariance is not positive definite: ``component`` says whose."""

    def __init__(self, component: int) -> None:
        super().__init__(f"the covariance of component {component} is not positive definite")
        self.component = component


@dataclass(frozen=True)
class Recipe:
    """How to fit: the arguments of ``pixtally.fit_mixture`` that EM needs.

    Attributes
    ----------
    covariance : str
        "full", "tied", "diag" or "spherical".
    n_init : int
        Restarts on the coarsest data; the likeliest goes on.
    tol : float
        EM has converged when the mean log-likelihood changes by less.
    max_iter : int
        Most iterations on the data itself.
    reg_covar : float
        Added to every variance.
    seed : int
        Of the random starts.
    lloyd : bool
        Move the k-means++ centres by Lloyd's iterations.
    """

    covariance: str = "full"
    n_init: int = 5
    tol: float = 1e-3
    max_iter: int = 100
    reg_covar: float = 1e-6
    seed: int = 0
    lloyd: bool = True

    @property
    def form(self) -> int:
        """The number of the covariance's form."""
        return COVARIANCES[self.covariance]

    def regulariser(self, scatter: Floats) -> Floats:
        """Return the matrix that is added to every covariance."""
        return np.asarray(scatter + self.reg_covar * np.eye(scatter.shape[0]))


def colour_levels(found: ColourCounts) -> list[Samples]:
    """Distinct colours at up to three grains: coarse for restarts, finer, and the exact colours."""
    d = found.channels
    exact = Samples(decode_colours(found.codes, d), found.counts, np.zeros((d, d)))
    number = cells_by_side(found)
    fine, rough = (int(np.argmax(number <= limit)) for limit in (_REFINE_CELLS, _RESTART_CELLS))
    if rough == 0:  # few colours: the restarts, which take doubles, run on all of them
        return [exact._replace(values=exact.values.astype(np.float64)), exact]
    cells = pool_colours(found, fine or rough)
    coarse = [cells] if fine in (0, rough) else [pool_cells(cells, rough - fine), cells]
    return [*(Samples(c.centroids, c.counts, c.scatter) for c in coarse), exact]


def fit_levels(
    levels: Sequence[Samples], n_components: int, recipe: Recipe, start: Mixture | None = None
) -> Fit:
    """Fit a mixture to the last level, using the others only to get near.

    Parameters
    ----------
    levels : sequence of Samples
        The same data at finer and finer grain; the last is the data.
    n_components : int
        K.
    recipe : Recipe
        How to fit.
    start : Mixture, optional
        Where to begin; the restarts are then left out.

    Returns
    -------
    Fit
        Sorted components; the log-likelihood and the convergence are those of the last level.

    Raises
    ------
    SingularCovarianceError
        When ``reg_covar`` does not keep a covariance positive definite.
    """
    rough = start if start is not None else best_start(levels[0], n_components, recipe).mixture
    return refine(levels, rough, recipe)


def best_start(level: Samples, n_components: int, recipe: Recipe) -> Fit:
    """Run the restarts on coarse samples and return the likeliest."""
    rng = np.random.default_rng(recipe.seed)
    regulariser = recipe.regulariser(level.scatter)
    values = level.values.astype(np.float64)
    trials = []
    for _ in range(recipe.n_init):
        start = start_kmeans(
            values, level.counts, n_components, recipe.form, regulariser, rng, recipe.lloyd
        )
        trials.append(run_em(level, start, recipe, _RESTART_TOL))
    return max(trials, key=lambda trial: trial.log_likelihood)


def refine(levels: Sequence[Samples], start: Mixture, recipe: Recipe) -> Fit:
    """Converge on the coarse levels, then polish on the last."""
    exact = levels[-1]
    mixture = start
    for level in levels[:-1]:
        mixture = run_em(level, mixture, recipe, _REFINE_TOL).mixture

    def collect(present: Mixture) -> tuple[Floats, float]:
        return expect(exact.values, exact.counts, present.means, *factors_of(present))

    return polish(collect, float(exact.counts.sum()), levels[-2], mixture, recipe)


def polish(
    collect: Callable[[Mixture], tuple[Floats, float]],
    total: float,
    coarse: Samples,
    start: Mixture,
    recipe: Recipe,
) -> Fit:
    """Converge on data that only ``collect`` sees, doing the small steps on coarse samples.

    Parameters
    ----------
    collect : callable
        Takes a mixture; returns the statistics and the log-likelihood of all the data.
    total : float
        Sum of the samples' weights.
    coarse : Samples
        A coarse image of the data.
    start : Mixture
        Where to begin.
    recipe : Recipe
        How to fit.

    Returns
    -------
    Fit
        Sorted components. ``n_iter`` counts the passes over the data less one.

    Notes
    -----
    The full approximation scheme of multigrid: what the coarse samples' statistics lack at the
    present parameters, they are given as a fixed bias, and EM converges on them. Where that
    stands still, bias and coarse statistics add up to the exact ones: it is a fixed point of
    plain EM on the data. A pass that lowers the likelihood is undone and followed by plain steps.

    References
    ----------
    Brandt, "Multi-level adaptive solutions to boundary-value problems", Math. Comp. 31, 1977.
    """
    accepted = candidate = plain = start
    before, coarse_steps, converged, reseeds = -np.inf, True, False, 0
    passes = 0
    while passes <= recipe.max_iter:
        passes += 1
        moments, log_likelihood = collect(candidate)
        mean = log_likelihood / total
        if coarse_steps and mean < before - recipe.tol:
            coarse_steps, candidate = False, plain
            continue
        converged = mean - before < recipe.tol
        accepted, before = candidate, mean
        if converged:
            break
        plain = candidate = _plain_step(moments, accepted, recipe)
        lost = np.flatnonzero(plain.weights == 0.0)
        if lost.size and reseeds < lost.size:
            plain = candidate = reseed(plain, int(lost[0]))
            before, reseeds = -np.inf, reseeds + 1
        elif coarse_steps:
            share = float(coarse.counts.sum()) / total
            candidate = _coarse_steps(moments * share, accepted, plain, coarse, recipe)
    lost = np.flatnonzero(accepted.weights == 0.0)
    return Fit(accepted.ordered(), before, passes - 1, converged, tuple(map(int, lost)))


def _plain_step(moments: Floats, present: Mixture, recipe: Recipe) -> Mixture:
    """Take one M-step on exact statistics."""
    d = present.means.shape[1]
    renewed = present.copy()
    maximise(moments, recipe.form, recipe.regulariser(np.zeros((d, d))), *renewed)
    return renewed


def _coarse_steps(
    target: Floats, present: Mixture, start: Mixture, coarse: Samples, recipe: Recipe
) -> Mixture:
    """Converge on coarse samples whose statistics are biased to equal ``target`` at ``present``."""
    moments, _ = expect(coarse.values, coarse.counts, present.means, *factors_of(present))
    bias = (target - moments, present.means)
    fit = run_em(coarse._replace(scatter=0.0 * coarse.scatter), start, recipe, _REFINE_TOL, bias)
    return start if fit.lost or fit.singular >= 0 else fit.mixture


def run_em(
    level: Samples,
    start: Mixture,
    recipe: Recipe,
    tol: float,
    bias: tuple[Floats, Floats] | None = None,
) -> Fit:
    """Iterate EM on one coarse level, with the statistics shifted by ``bias`` about centres."""
    k, d = start.means.shape
    shift, centres = bias or (np.zeros((k, n_moments(d))), start.means)
    mixture = start.copy()
    n_iter, log_likelihood, singular, converged = _em(
        level.values,
        level.counts,
        *mixture,
        recipe.form,
        recipe.regulariser(level.scatter),
        shift,
        centres,
        tol,
        _COARSE_ITERATIONS,
    )
    lost = tuple(int(k) for k in np.flatnonzero(mixture.weights == 0.0))
    return Fit(mixture, float(log_likelihood), n_iter, bool(converged), lost, singular)


def choose_by_bic(
    levels: Sequence[Samples], candidates: Sequence[int], recipe: Recipe
) -> tuple[int, Mixture]:
    """Find the number of components with the least BIC, judged on the second finest level.

    Returns
    -------
    n_components : int
        The number chosen.
    start : Mixture
        Its mixture, to be refined.
    """
    judge = levels[-2]
    scores: dict[int, tuple[float, Mixture]] = {}
    for n_components in candidates:
        fit = best_start(levels[0], n_components, recipe)
        if judge is not levels[0]:
            fit = run_em(judge, fit.mixture, recipe, _RESTART_TOL)
        total = float(judge.counts.sum())
        n_free = n_parameters(n_components, judge.values.shape[0], recipe.form)
        scores[n_components] = (bic(fit.log_likelihood, total, n_free), fit.mixture)
    best = min(scores, key=lambda k: scores[k][0])
    return best, scores[best][1]


def bic(log_likelihood: float, total: float, n_free: int) -> float:
    """Bayesian information criterion of a mean log-likelihood over ``total`` samples."""
    return -2.0 * log_likelihood * total + n_free * float(np.log(total))


def aic(log_likelihood: float, total: float, n_free: int) -> float:
    """Akaike's information criterion of a mean log-likelihood over ``total`` samples."""
    return -2.0 * log_likelihood * total + 2.0 * n_free


def n_parameters(n_components: int, n_features: int, form: int) -> int:
    """Count the free parameters of a mixture."""
    triangle = n_features * (n_features + 1) // 2
    covariance: dict[int, int] = {
        FULL: n_components * triangle,
        DIAG: n_components * n_features,
        SPHERICAL: n_components,
    }
    return covariance.get(form, triangle) + n_components * n_features + n_components - 1


def factors_of(mixture: Mixture) -> tuple[Floats, Floats]:
    """Precision factors (K, d, d) and constants (K,) that the E-step takes."""
    factors = np.empty_like(mixture.covariances)
    constants = np.empty(mixture.weights.size)
    singular = factorise(mixture.weights, mixture.covariances, factors, constants)
    if singular >= 0:
        raise SingularCovarianceError(singular)
    return factors, constants


@njit(nogil=True, cache=True, error_model="numpy")
def _em(samples, counts, weights, means, covariances, form, regulariser, bias, centres, tol, limit):
    """Iterate until the mean log-likelihood changes by less than ``tol``; parameters in place.

    ``bias`` (K, P) about ``centres`` (K, d) is added to the statistics of every iteration. The
    parameters left are those whose log-likelihood is returned.
    """
    n_components, n_features = means.shape
    factors = np.empty((n_components, n_features, n_features))
    constants = np.empty(n_components)
    moments = np.empty(bias.shape)
    total = counts.sum()
    before = -np.inf
    for iteration in range(limit + 1):
        singular = factorise(weights, covariances, factors, constants)
        if singular >= 0:
            return iteration, before, singular, False
        moments[:] = 0.0
        mean = accumulate(samples, counts, means, factors, constants, moments) / total
        if abs(mean - before) < tol:
            return iteration, mean, -1, True
        before = mean
        if iteration < limit:
            for k in range(n_components):
                _add_about(bias[k], centres[k] - means[k], moments[k])
            maximise(moments, form, regulariser, weights, means, covariances)
    return limit, before, -1, False


@njit(nogil=True, cache=True, error_model="numpy")
def _add_about(bias, offset, moments):
    """Add statistics to others whose centre lies ``offset`` before theirs."""
    n_features = offset.size
    moments[0] += bias[0]
    at = 1 + n_features
    for a in range(n_features):
        moments[1 + a] += bias[1 + a] + bias[0] * offset[a]
        for b in range(a, n_features):
            cross = bias[1 + a] * offset[b] + offset[a] * bias[1 + b]
            moments[at] += bias[at] + cross + bias[0] * offset[a] * offset[b]
            at += 1
