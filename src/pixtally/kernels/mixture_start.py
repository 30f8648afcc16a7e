"""Where mixtures start: weighted k-means++, Lloyd's iterations, a re-seeded component."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixtally.kernels.mixture import n_moments
from pixtally.kernels.mixture_step import maximise

Floats = NDArray[np.float64]

_LLOYD_ITERATIONS = 20


class Mixture(NamedTuple):
    """Parameters of a Gaussian mixture of K components in d features.

    Attributes
    ----------
    weights : ndarray of float64, shape (K,)
        Share of each component; they sum to 1.
    means : ndarray of float64, shape (K, d)
        Centres.
    covariances : ndarray of float64, shape (K, d, d)
        Full matrices whatever the form they were fitted in.
    """

    weights: Floats
    means: Floats
    covariances: Floats

    def copy(self) -> Mixture:
        """Return the same parameters in arrays of their own."""
        return Mixture(self.weights.copy(), self.means.copy(), self.covariances.copy())

    def ordered(self) -> Mixture:
        """Return the components sorted by the sum of their mean, then by the mean itself."""
        keys = [*self.means.T[::-1], self.means.sum(axis=1)]
        order = np.lexsort(keys)
        return Mixture(self.weights[order], self.means[order], self.covariances[order])


def start_kmeans(
    samples: Floats,
    counts: Floats,
    n_components: int,
    form: int,
    regulariser: Floats,
    rng: np.random.Generator,
    lloyd: bool = True,
) -> Mixture:
    """Draw centres by k-means++ and cut the samples among them.

    Parameters
    ----------
    samples : ndarray of float64, shape (d, n)
        Samples; at least ``n_components`` distinct ones have a count > 0.
    counts : ndarray of float64, shape (n,)
        Weight ≥ 0 of each sample.
    n_components : int
        Number of centres.
    form : int
        Form of the covariances (``mixture_step.COVARIANCES``).
    regulariser : ndarray of float64, shape (d, d)
        Added to every covariance.
    rng : numpy.random.Generator
        One uniform number is drawn for each centre.
    lloyd : bool
        Move the centres by up to 20 of Lloyd's iterations first.

    Returns
    -------
    Mixture
        Weight, mean and covariance of the samples nearest to each centre.

    References
    ----------
    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    centres = np.empty((n_components, samples.shape[0]))
    _seed_centres(samples, counts, rng.random(n_components), centres)
    labels = np.zeros(samples.shape[1], np.int32)
    _lloyd(samples, counts, centres, labels, _LLOYD_ITERATIONS if lloyd else 0)
    return mixture_of_labels(samples, counts, labels, centres, form, regulariser)


def mixture_of_labels(
    samples: Floats,
    counts: Floats,
    labels: NDArray[np.int32],
    centres: Floats,
    form: int,
    regulariser: Floats,
) -> Mixture:
    """Weights, means and covariances of samples that each belong to one component wholly."""
    n_components, n_features = centres.shape
    moments = np.zeros((n_components, n_moments(n_features)))
    _label_moments(samples, counts, labels, centres, moments)
    covariances = np.broadcast_to(np.eye(n_features), (n_components, n_features, n_features))
    mixture = Mixture(np.zeros(n_components), centres.copy(), covariances.copy())
    maximise(moments, form, regulariser, *mixture)
    return mixture


def reseed(mixture: Mixture, lost: int) -> Mixture:
    """Give a vanished component half of the one that weighs the most per its volume's scale.

    Parameters
    ----------
    mixture : Mixture
        Parameters in which ``weights[lost]`` is 0.
    lost : int
        The vanished component.

    Returns
    -------
    Mixture
        The heaviest component is cut in two along its longest axis.
    """
    renewed = mixture.copy()
    heaviest = int(np.argmax(mixture.weights))
    values, axes = np.linalg.eigh(mixture.covariances[heaviest])
    offset = axes[:, -1] * np.sqrt(max(values[-1], 0.0))
    renewed.means[lost] = mixture.means[heaviest] + offset
    renewed.means[heaviest] = mixture.means[heaviest] - offset
    renewed.covariances[lost] = mixture.covariances[heaviest]
    renewed.weights[[lost, heaviest]] = mixture.weights[heaviest] / 2
    return renewed


@njit(nogil=True, cache=True)
def _seed_centres(samples, counts, uniforms, centres):
    """Choose each centre among the samples with probability count × squared distance so far."""
    n_features, n_samples = samples.shape
    chances = counts.copy()
    for k in range(centres.shape[0]):
        goal = uniforms[k] * chances.sum()
        chosen = 0
        passed = 0.0
        for i in range(n_samples):
            if chances[i] > 0.0:
                chosen = i
                passed += chances[i]
                if passed > goal:
                    break
        centres[k] = samples[:, chosen]
        for i in range(n_samples):
            distance = 0.0
            for a in range(n_features):
                distance += (samples[a, i] - centres[k, a]) ** 2
            chance = counts[i] * distance
            chances[i] = chance if k == 0 else min(chances[i], chance)


@njit(nogil=True, cache=True, error_model="numpy")
def _lloyd(samples, counts, centres, labels, n_iterations):
    """Label each sample with its nearest centre; move the centres until no label changes."""
    n_features, n_samples = samples.shape
    n_components = centres.shape[0]
    mass = np.empty(n_components)
    for iteration in range(n_iterations + 1):
        changed = 0
        for i in range(n_samples):
            nearest = 0
            least = np.inf
            for k in range(n_components):
                distance = 0.0
                for a in range(n_features):
                    distance += (samples[a, i] - centres[k, a]) ** 2
                if distance < least:
                    least = distance
                    nearest = k
            changed += labels[i] != nearest
            labels[i] = nearest
        if iteration == n_iterations or (iteration > 0 and changed == 0):
            return
        mass[:] = 0.0
        sums = np.zeros((n_components, n_features))
        for i in range(n_samples):
            mass[labels[i]] += counts[i]
            for a in range(n_features):
                sums[labels[i], a] += counts[i] * samples[a, i]
        for k in range(n_components):
            if mass[k] > 0.0:
                centres[k] = sums[k] / mass[k]


@njit(nogil=True, cache=True)
def _label_moments(samples, counts, labels, centres, moments):
    """Statistics about the centres where each sample belongs to its label wholly."""
    n_features = samples.shape[0]
    for i in range(samples.shape[1]):
        k = labels[i]
        moments[k, 0] += counts[i]
        at = 1 + n_features
        for a in range(n_features):
            da = samples[a, i] - centres[k, a]
            moments[k, 1 + a] += counts[i] * da
            for b in range(a, n_features):
                moments[k, at] += counts[i] * da * (samples[b, i] - centres[k, b])
                at += 1
