"""fit_mixture and predict_mixture: meaning, chunks, errors."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import pixtally as pt

CENTRES = np.array([[50.0, 60, 70], [120, 130, 90], [200, 180, 210]])


def colours(n=4000, seed=0, spread=9.0):
    rng = np.random.default_rng(seed)
    return rng.normal(CENTRES[rng.choice(3, n, p=[0.5, 0.3, 0.2])], spread)


@pytest.fixture(scope="module")
def stack():
    """Images (image, y, x, channel) of three well separated colours, 8 bits."""
    return colours(6 * 20 * 30).clip(0, 255).round().astype(np.uint8).reshape(6, 20, 30, 3)


def same_model(a, b, rtol=1e-6):
    for name in ("weights", "means", "covariances", "log_likelihood"):
        np.testing.assert_allclose(a[name].values, b[name].values, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_parameters_and_likelihood_against_scikit_learn(stack, covariance):
    mixture = pytest.importorskip("sklearn.mixture")
    samples = stack.reshape(-1, 3).astype(float)
    judge = mixture.GaussianMixture(3, covariance_type=covariance, random_state=0).fit(samples)
    model = pt.fit_mixture(stack, 3, covariance)
    assert float(model.log_likelihood) >= judge.score(samples) - 1e-3
    order = np.argsort(judge.means_.sum(axis=1))
    np.testing.assert_allclose(model.means, judge.means_[order], rtol=0.01)
    np.testing.assert_allclose(model.weights, judge.weights_[order], rtol=0.01)
    ours = pt.to_sklearn(model)
    np.testing.assert_allclose(ours.score(samples), float(model.log_likelihood), rtol=1e-9)
    np.testing.assert_allclose(float(model.bic), ours.bic(samples), rtol=1e-9)
    np.testing.assert_allclose(float(model.aic), ours.aic(samples), rtol=1e-9)
    labels = pt.predict_mixture(stack, model)
    np.testing.assert_array_equal(labels.values.ravel(), ours.predict(samples))
    shares = pt.predict_mixture(stack, model, "responsibilities")
    np.testing.assert_allclose(shares.values.reshape(-1, 3), ours.predict_proba(samples), atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "uint16"])
@pytest.mark.parametrize("chunks", [(1, 20, 30, 3), (4, 7, 11, 2), (6, 20, 30, 1)])
def test_chunks_never_change_the_answer(stack, dtype, chunks):
    data = stack.astype(dtype)
    dims = ("image", "y", "x", "channel")
    whole = pt.fit_mixture(xr.DataArray(data, dims=dims), 3)
    parts = xr.DataArray(da.from_array(data, chunks=chunks), dims=dims)
    same_model(pt.fit_mixture(parts, 3), whole)
    moved = parts.transpose("image", "channel", "y", "x")
    same_model(pt.fit_mixture(moved, 3), whole)
    lazy = pt.predict_mixture(moved, whole)
    assert isinstance(lazy.data, da.Array)
    assert lazy.dims == ("image", "y", "x")
    np.testing.assert_array_equal(lazy, pt.predict_mixture(xr.DataArray(data, dims=dims), whole))


def test_counts_and_samples_give_the_same_model(stack):
    same_model(pt.fit_mixture(stack, 3, tol=1e-9), pt.fit_mixture(stack * 1.0, 3, tol=1e-9), 1e-4)


def test_more_samples_than_the_start_takes():
    data = colours(200_000, seed=1)
    model = pt.fit_mixture(data.reshape(400, 500, 3), 3)
    np.testing.assert_allclose(model.means, CENTRES, atol=0.2)
    np.testing.assert_allclose(model.weights, [0.5, 0.3, 0.2], atol=0.005)
    assert bool(model.converged)


def test_mask_and_weights_leave_out_and_count_again(stack):
    rng = np.random.default_rng(2)
    mask = rng.random(stack.shape[:3]) < 0.3
    times = rng.integers(0, 3, stack.shape[:3])
    repeated = np.repeat(stack[~mask], times[~mask], axis=0)[None]
    for kind in (np.uint8, np.float64):
        got = pt.fit_mixture(stack.astype(kind), 3, mask=mask, weights=times)
        same_model(got, pt.fit_mixture(repeated.astype(kind), 3), 1e-3)
        dims = ("image", "y", "x", "channel")
        lazy = xr.DataArray(stack.astype(kind), dims=dims).chunk(image=2, y=7)
        parts = pt.fit_mixture(lazy, 3, mask=mask, weights=xr.DataArray(times, dims=dims[:3]))
        same_model(parts, got)


def test_a_mask_makes_nan_harmless(stack):
    data = stack.astype(np.float32)
    mask = np.zeros(data.shape[:3], bool)
    mask[0, :5] = True
    data[mask] = np.nan
    model = pt.fit_mixture(data, 3, mask=mask)
    np.testing.assert_allclose(model.means, CENTRES, atol=1)
    labels = pt.predict_mixture(data, model)
    assert (labels.values[mask] == -1).all()
    assert (labels.values[~mask] >= 0).all()


def test_going_on_from_a_model_or_means(stack):
    model = pt.fit_mixture(stack, 3)
    again = pt.fit_mixture(stack, init=model)
    assert int(again.n_iter) <= 1
    same_model(again, model, 1e-3)
    same_model(pt.fit_mixture(stack, init=CENTRES), model, 1e-3)


def test_number_of_components_by_bic(stack):
    for data in (stack, stack.astype(np.float32)):
        assert pt.fit_mixture(data, "bic").sizes["component"] == 3
        assert pt.fit_mixture(data, range(1, 3)).sizes["component"] == 2


def test_one_feature_and_four():
    gray = np.concatenate([np.full(50, 10), np.full(50, 12), np.full(100, 200)]).astype(np.uint8)
    model = pt.fit_mixture(gray.reshape(10, 20), 2)
    np.testing.assert_allclose(model.means.values.ravel(), [11, 200])
    np.testing.assert_allclose(model.covariances.values.ravel(), [1 + 1e-6, 1e-6], rtol=1e-9)
    four = np.random.default_rng(0).integers(0, 255, (30, 30, 4), dtype=np.uint8)
    assert pt.fit_mixture(four, 2).sizes["feature"] == 4


def test_labels_of_channels_and_pixels_are_kept(stack):
    named = xr.DataArray(
        stack,
        dims=("image", "y", "x", "channel"),
        coords={"channel": ["red", "green", "blue"], "y": np.arange(20) * 0.5},
    )
    model = pt.fit_mixture(named, 2)
    assert model.feature.values.tolist() == ["red", "green", "blue"]
    labels = pt.predict_mixture(named, model)
    assert labels.y.values[1] == 0.5
    assert "channel" not in labels.coords


def test_gray_as_colour_is_held_up_by_reg_covar(caplog):
    gray = np.random.default_rng(0).integers(0, 255, (40, 40, 1), dtype=np.uint8)
    model = pt.fit_mixture(np.repeat(gray, 3, axis=-1), 2)
    assert np.isfinite(model.log_likelihood)
    assert "reg_covar" in model.attrs["note"]
    with pytest.raises(pt.PixtallyError, match="reg_covar=1e-6"):
        pt.fit_mixture(np.repeat(gray, 3, axis=-1), 2, reg_covar=0)


def test_model_survives_zarr(stack, tmp_path):
    model = pt.fit_mixture(stack, 2)
    model.to_zarr(tmp_path / "model.zarr", zarr_format=3, consolidated=False)
    back = xr.open_zarr(tmp_path / "model.zarr", consolidated=False)
    same_model(back, model)
    np.testing.assert_array_equal(pt.predict_mixture(stack, back), pt.predict_mixture(stack, model))


ONE_COLOUR = np.full((4, 4, 3), 7, np.uint8)
NAN = np.full((4, 4, 3), np.nan)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: pt.fit_mixture(ONE_COLOUR, 2), "1 distinct samples, fewer than 2"),
        (lambda s: pt.fit_mixture(ONE_COLOUR * 1.0, 2), "1 distinct samples, fewer than 2"),
        (lambda s: pt.fit_mixture(s, 2, weights=-np.ones(6)), "weights"),
        (lambda s: pt.fit_mixture(s * 1.0, 2, weights=-np.ones(6)), "weights"),
        (lambda s: pt.fit_mixture(NAN, 2), "mask="),
        (lambda s: pt.fit_mixture(s, 2, init=np.zeros((2, 5))), r"\(components, 3\)"),
        (lambda s: pt.fit_mixture(s[..., 0], init=pt.fit_mixture(s, 2)), "3 features, the images"),
        (lambda s: pt.fit_mixture(s, 5, init=pt.fit_mixture(s, 2)), "leave components out"),
        (lambda s: pt.fit_mixture(s, 0), "at least 1"),
        (lambda s: pt.fit_mixture(s, "aic"), "'bic'"),
        (lambda s: pt.fit_mixture(s, 2, "round"), "full, tied, diag, spherical"),
        (lambda s: pt.fit_mixture(s, 2, init="best"), "kmeans"),
        (lambda s: pt.fit_mixture(s, 2, reg_covar=-1), "reg_covar"),
        (lambda s: pt.fit_mixture(s, 2, mask=np.ones((3, 3), bool)), "mask has shape"),
        (lambda s: pt.fit_mixture(s, 2, mask=np.ones((20, 30))), "boolean"),
        (lambda s: pt.fit_mixture(s[:0], 2), "nothing to fit"),
        (lambda s: pt.predict_mixture(s[..., 0], pt.fit_mixture(s, 2)), "features"),
        (lambda s: pt.predict_mixture(s, xr.Dataset()), "fit_mixture"),
        (lambda s: pt.predict_mixture(s, pt.fit_mixture(s, 2), "names"), "labels"),
    ],
)
def test_errors_are_one_line_with_the_fix(stack, call, message):
    with pytest.raises(pt.PixtallyError, match=message) as found:
        call(stack)
    assert "\n" not in str(found.value)


def test_an_everything_masked_image_is_an_error(stack):
    with pytest.raises(pt.PixtallyError, match="0 distinct samples"):
        pt.fit_mixture(stack, 2, mask=np.ones(stack.shape[:3], bool))
