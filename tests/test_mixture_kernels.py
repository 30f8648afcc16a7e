"""Kernels of the mixtures against slow, obvious references."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from pixtally.kernels.colour_cells import cells_by_side, pool_cells, pool_colours
from pixtally.kernels.colours import (
    colour_codes,
    count_colours,
    decode_colours,
    lookup_colours,
    merge_colours,
    no_colours,
)
from pixtally.kernels.elementary import exp_negative, log_positive
from pixtally.kernels.mixture import expect, respond
from pixtally.kernels.mixture_fit import (
    Recipe,
    Samples,
    best_start,
    colour_levels,
    factors_of,
    fit_levels,
    run_em,
)
from pixtally.kernels.mixture_start import Mixture, reseed
from pixtally.kernels.mixture_step import COVARIANCES, maximise
from pixtally.kernels.partition import MOST_POINTS, cut_buffers, cut_line


@njit(error_model="numpy")
def _each(x, exp_out, log_out):
    for i in range(x.size):
        exp_out[i] = exp_negative(-x[i])
        log_out[i] = log_positive(x[i])


def test_exponential_and_logarithm_to_the_last_digits():
    x = np.concatenate([np.logspace(-300, 2.8, 20000), [1.0, np.sqrt(0.5), np.sqrt(2), 707.9]])
    got_exp, got_log = np.empty_like(x), np.empty_like(x)
    _each(x, got_exp, got_log)
    np.testing.assert_allclose(got_exp, np.exp(-x), rtol=1e-14)
    np.testing.assert_allclose(got_log, np.log(x), rtol=5e-16, atol=5e-16)


def test_exponential_at_its_ends():
    x = np.array([0.0, 708.5, 1e300, np.inf, np.nan])
    got, _ = np.empty_like(x), np.empty_like(x)
    _each(x, got, _)
    np.testing.assert_array_equal(got[:4], [1, 0, 0, 0])
    assert np.isnan(got[4])


def reference_colours(pixels, weights=None):
    """Colours as rows with their counts, through a dict."""
    total: dict[tuple[int, ...], float] = {}
    for i, pixel in enumerate(map(tuple, pixels.tolist())):
        total[pixel] = total.get(pixel, 0.0) + (1.0 if weights is None else weights[i])
    return {c: w for c, w in total.items() if w > 0}


def as_dict(found):
    colours = decode_colours(found.codes, found.channels).T
    return dict(zip(map(tuple, colours.tolist()), found.counts.tolist(), strict=True))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("planar", [False, True])
def test_colours_are_counted_as_by_a_dict(channels, planar):
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, 256, (3000, channels), dtype=np.uint8)
    pixels[1000:] //= 64
    laid_out = np.asfortranarray(pixels) if planar else pixels
    weights = rng.integers(0, 3, 3000).astype(np.float64)
    assert as_dict(count_colours(laid_out)) == reference_colours(pixels)
    assert as_dict(count_colours(laid_out, weights)) == reference_colours(pixels, weights)


@given(
    arrays(
        np.uint8, st.tuples(st.integers(0, 40), st.just(3)), elements=st.sampled_from([0, 7, 255])
    ),
    st.integers(0, 40),
)
def test_merging_blocks_gives_the_counts_of_the_whole(pixels, at):
    whole = count_colours(pixels)
    merged = merge_colours(count_colours(pixels[:at]), count_colours(pixels[at:]))
    np.testing.assert_array_equal(whole.codes, merged.codes)
    np.testing.assert_array_equal(whole.counts, merged.counts)
    assert np.all(np.diff(whole.codes.astype(np.int64)) > 0)
    same = merge_colours(no_colours(3), whole)
    np.testing.assert_array_equal(same.counts, whole.counts)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lookup_finds_every_pixel(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (500, channels), dtype=np.uint8)
    found = count_colours(pixels)
    np.testing.assert_array_equal(found.codes[lookup_colours(pixels, found)], colour_codes(pixels))


@pytest.mark.parametrize(("channels", "side_bits"), [(1, 3), (2, 2), (3, 1), (3, 4), (4, 8)])
def test_pooled_colours_keep_counts_mean_and_variance(channels, side_bits):
    pixels = np.random.default_rng(1).integers(0, 256, (4000, channels), dtype=np.uint8)
    cells = pool_colours(count_colours(pixels), side_bits)
    corners = np.unique(pixels >> side_bits if side_bits < 8 else pixels * 0, axis=0)
    assert cells.counts.size == len(corners)
    assert cells.counts.sum() == 4000
    mean = cells.centroids @ cells.counts / 4000
    np.testing.assert_allclose(mean, pixels.mean(axis=0))
    between = ((cells.centroids.T - mean) ** 2).T @ cells.counts / 4000
    np.testing.assert_allclose(between + np.diag(cells.scatter), pixels.var(axis=0))


def some_mixture(k, d, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(k, d, d))
    covariances = a @ a.transpose(0, 2, 1) + 0.1 * np.eye(d)
    weights = rng.dirichlet(np.ones(k))
    return Mixture(weights, rng.normal(scale=3, size=(k, d)), covariances)


def reference_log_p(mixture, samples):
    parts = zip(*mixture, strict=True)
    return np.stack([np.log(w) + multivariate_normal(m, c).logpdf(samples.T) for w, m, c in parts])


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [1, 511, 513])
def test_statistics_of_a_block(d, n):
    mixture = some_mixture(4, d)
    rng = np.random.default_rng(n)
    samples, counts = rng.normal(scale=4, size=(d, n)), rng.integers(0, 5, n).astype(float)
    moments, likelihood = expect(samples, counts, mixture.means, *factors_of(mixture))
    log_p = reference_log_p(mixture, samples).reshape(4, n)
    r = np.exp(log_p - logsumexp(log_p, axis=0)) * counts
    diff = samples[None] - mixture.means[:, :, None]
    second = np.einsum("kn,kan,kbn->kab", r, diff, diff)[:, *np.triu_indices(d)]
    expected = np.concatenate([r.sum(1)[:, None], np.einsum("kn,kan->ka", r, diff), second], 1)
    np.testing.assert_allclose(moments, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(likelihood, counts @ logsumexp(log_p, axis=0), rtol=1e-12)
    shares = np.empty((4, n))
    respond(samples, mixture.means, *factors_of(mixture), shares)
    np.testing.assert_allclose(shares, np.exp(log_p - logsumexp(log_p, axis=0)), atol=1e-12)


def test_statistics_far_from_every_component_do_not_underflow():
    mixture = some_mixture(2, 3)
    moments, likelihood = expect(
        np.full((3, 2), 1e6), np.ones(2), mixture.means, *factors_of(mixture)
    )
    assert np.isfinite(likelihood)
    assert np.isfinite(moments).all()
    np.testing.assert_allclose(moments[:, 0].sum(), 2)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_one_step_is_that_of_scikit_learn(covariance):
    mixture = pytest.importorskip("sklearn.mixture")
    rng = np.random.default_rng(3)
    samples = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3)) + rng.integers(0, 3, (400, 1)) * 4
    judge = mixture.GaussianMixture(3, covariance_type=covariance, max_iter=1, random_state=0)
    r = rng.dirichlet(np.ones(3), 400)
    judge._initialize(samples, r)
    diff = samples[None] - np.zeros((3, 1, 3))
    second = np.einsum("nk,kna,knb->kab", r, diff, diff)[:, *np.triu_indices(3)]
    moments = np.concatenate([r.sum(0)[:, None], np.einsum("nk,kna->ka", r, diff), second], 1)
    ours = Mixture(np.zeros(3), np.zeros((3, 3)), np.stack([np.eye(3)] * 3))
    maximise(moments, COVARIANCES[covariance], 1e-6 * np.eye(3), *ours)
    np.testing.assert_allclose(ours.means, judge.means_)
    np.testing.assert_allclose(ours.weights, judge.weights_)
    theirs = judge.covariances_
    full = {
        "full": theirs,
        "tied": np.broadcast_to(theirs, (3, 3, 3)),
        "diag": np.stack([np.diag(v) for v in np.broadcast_to(theirs, (3, 3))])
        if covariance == "diag"
        else None,
        "spherical": np.stack([np.eye(3) * v for v in np.ravel(theirs)[:3]]),
    }[covariance]
    np.testing.assert_allclose(ours.covariances, full, rtol=1e-9, atol=1e-9)


def test_vanished_component_is_left_out_and_reseeded():
    mixture = some_mixture(2, 2)
    moments = np.zeros((2, 6))
    moments[0] = [10, 0, 0, 5, 0, 5]
    assert maximise(moments, 0, 1e-6 * np.eye(2), *mixture) == 1
    assert mixture.weights.tolist() == [1, 0]
    renewed = reseed(mixture, 1)
    assert renewed.weights.tolist() == [0.5, 0.5]
    assert not np.allclose(renewed.means[0], renewed.means[1])


def test_em_never_lowers_the_likelihood():
    rng = np.random.default_rng(5)
    values = np.concatenate([rng.normal(0, 1, (3, 300)), rng.normal(3, 2, (3, 300))], axis=1)
    level = Samples(values, np.ones(600), np.zeros((3, 3)))
    mixture = best_start(level, 3, Recipe(n_init=1, tol=1.0)).mixture
    likelihoods = []
    for _ in range(15):
        fit = run_em(level, mixture, Recipe(), tol=np.inf)
        likelihoods.append(fit.log_likelihood)
        factors = factors_of(mixture)
        moments, _ = expect(values, np.ones(600), mixture.means, *factors)
        maximise(moments, 0, 1e-6 * np.eye(3), *mixture)
    assert np.all(np.diff(likelihoods) > -1e-9)


def test_levels_end_in_a_fixed_point_of_plain_em():
    rng = np.random.default_rng(6)
    centres = np.array([[60, 70, 80], [150, 140, 130], [200, 90, 60]])
    pixels = (
        rng.normal(centres[rng.integers(0, 3, 60000)], 18).round().clip(0, 255).astype(np.uint8)
    )
    levels = colour_levels(count_colours(pixels))
    assert len(levels) > 1
    fit = fit_levels(levels, 3, Recipe(tol=1e-10, max_iter=200))
    assert fit.converged
    moments, likelihood = expect(
        levels[-1].values, levels[-1].counts, fit.mixture.means, *factors_of(fit.mixture)
    )
    np.testing.assert_allclose(likelihood / 60000, fit.log_likelihood, rtol=1e-13)
    after = fit.mixture.copy()
    maximise(moments, 0, 1e-6 * np.eye(3), *after)
    np.testing.assert_allclose(after.means, fit.mixture.means, rtol=1e-4)
    np.testing.assert_allclose(fit.mixture.means, centres[np.argsort(centres.sum(1))], atol=0.8)


def brute_force_cut(x, w, k):
    from itertools import combinations

    def within(i, j):
        m = np.average(x[i:j], weights=w[i:j])
        return np.sum(w[i:j] * (x[i:j] - m) ** 2)

    cuts = ([0, *c, len(x)] for c in combinations(range(1, len(x)), k - 1))
    return min(sum(within(i, j) for i, j in pairwise(c)) for c in cuts)


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(4, 10))
def test_cut_of_a_line_is_the_best_of_all(seed, k, n):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.choice(100, n, replace=False)).astype(float)
    w = rng.integers(1, 9, n).astype(float)
    ends = np.zeros(k, np.int64)
    cut_line(x, w, n, k, ends, cut_buffers(k))
    assert ends[-1] == n
    edges = [0, *ends]
    assert all(i < j for i, j in pairwise(edges))
    cost = sum(
        np.sum(w[i:j] * (x[i:j] - np.average(x[i:j], weights=w[i:j])) ** 2)
        for i, j in pairwise(edges)
    )
    np.testing.assert_allclose(cost, brute_force_cut(x, w, k), atol=1e-6)


def test_cut_of_a_long_line_pools_neighbours():
    x = np.concatenate([np.arange(100.0), 1000 + np.arange(100.0)])
    ends = np.zeros(2, np.int64)
    cut_line(x, np.ones(200), 200, 2, ends, cut_buffers(2))
    assert x.size > MOST_POINTS
    assert abs(ends[0] - 100) < 200 // MOST_POINTS + 1


@pytest.mark.parametrize("n", [65535, 65536, 65537, 200_001])
def test_counts_beyond_sixteen_bits(n):
    pixels = np.zeros((n + 3, 3), np.uint8)
    pixels[-3:] = 9
    found = count_colours(pixels)
    assert as_dict(found) == {(0, 0, 0): float(n), (9, 9, 9): 3.0}
    assert as_dict(count_colours(pixels[:, :1])) == {(0,): float(n), (9,): 3.0}


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_cells_pooled_again_are_those_pooled_at_once(channels):
    pixels = np.random.default_rng(1).integers(0, 256, (4000, channels), dtype=np.uint8)
    found = count_colours(pixels)
    number = cells_by_side(found)
    for fine, rough in [(1, 2), (2, 5), (3, 8)]:
        at_once = pool_colours(found, rough)
        twice = pool_cells(pool_colours(found, fine), rough - fine)
        assert number[rough] == at_once.counts.size
        for a, b in zip(at_once, twice, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
