"""pixel_mixture, fit_peaks and foreground: meaning, laziness, errors."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import pixtally as pt
from pixtally.kernels.pixel_mixture import fit_pixels


def video(n=200, seed=0):
    """A flickering background of two levels, with something bright that passes."""
    rng = np.random.default_rng(seed)
    level = np.where(rng.random((n, 6, 8)) < 0.7, 60, 110)
    frames = rng.normal(level, 3)
    frames[::20, 2:4, 3:6] = 220
    return frames.round().clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def hist():
    return pt.pixel_histogram(video(), bins=256, range=(0, 256)).compute()


def test_every_pixel_against_scikit_learn(hist):
    mixture = pytest.importorskip("sklearn.mixture")
    model = pt.pixel_mixture(hist, 3)
    assert model.means.dims == ("y", "x", "component")
    assert (model.means.diff("component") > 0).all()
    np.testing.assert_allclose(model.weights.sum("component"), 1)
    for y, x in [(0, 0), (2, 3), (5, 7)]:
        samples = np.repeat(hist.bin.values, hist.counts.values[y, x])[:, None].astype(float)
        judge = mixture.GaussianMixture(3, random_state=0).fit(samples)
        ours = model.isel(y=y, x=x)
        assert float(ours.log_likelihood) >= judge.score(samples) - 1e-2
        w, m, s = (ours[v].values for v in ("weights", "means", "stds"))
        density = (w / s * np.exp(-0.5 * ((samples - m) / s) ** 2) / np.sqrt(2 * np.pi)).sum(1)
        np.testing.assert_allclose(np.log(density).mean(), float(ours.log_likelihood), rtol=1e-9)


def test_background_levels_are_found(hist):
    model = pt.pixel_mixture(hist, 2).isel(y=0, x=0)
    np.testing.assert_allclose(model.means, [60, 110], atol=1.5)
    np.testing.assert_allclose(model.stds, 3, atol=0.8)
    np.testing.assert_allclose(model.weights, [0.7, 0.3], atol=0.12)


def test_lazy_and_the_same_for_any_chunks(hist):
    lazy = pt.pixel_mixture(hist.chunk(y=4, x=3, bin=100), 2)
    assert isinstance(lazy.means.data, da.Array)
    xr.testing.assert_allclose(lazy.compute(), pt.pixel_mixture(hist, 2))


def test_pixels_with_few_values():
    counts = np.zeros((4, 8), np.uint16)
    counts[1, 5] = 9
    counts[2, [2, 6]] = 3, 1
    counts[3, [1, 2, 6, 7]] = 5
    found = fit_pixels(counts, np.arange(8.0), np.zeros(8), 3)
    assert np.isnan(found.means[0]).all()
    assert np.isnan(found.weights[0]).all()
    np.testing.assert_array_equal(found.means[1], [5, np.nan, np.nan])
    np.testing.assert_array_equal(found.weights[1], [1, 0, 0])
    np.testing.assert_allclose(found.means[2], [2, 6, np.nan])
    np.testing.assert_allclose(found.weights[2], [0.75, 0.25, 0])
    np.testing.assert_allclose(found.weights[3].sum(), 1)
    assert np.isfinite(found.means[3]).all()


def test_width_of_the_bins_is_taken_off():
    samples = np.random.default_rng(0).normal(0, 2, (4000, 3, 3))
    wide = pt.pixel_histogram(samples, bins=12, range=(-18, 18))
    model = pt.pixel_mixture(wide, 1)
    np.testing.assert_allclose(model.stds.squeeze(), samples.std(axis=0), rtol=0.03)
    np.testing.assert_allclose(model.means.squeeze(), samples.mean(axis=0), atol=0.05)
    one_bin = pt.pixel_mixture(pt.pixel_histogram(samples * 1e-3, bins=3, range=(-9, 9)), 1)
    np.testing.assert_allclose(one_bin.stds, 6 / np.sqrt(12), rtol=1e-3)


def test_foreground_is_what_passes(hist):
    frames = xr.DataArray(video(), dims=("image", "y", "x"))
    model = pt.pixel_mixture(hist, 3)
    for images in (frames, frames.chunk(image=50, y=4), frames.transpose("y", "x", "image")):
        found = pt.foreground(images, model, background=0.9)
        assert found.score.dims == images.dims
        expected = (frames == 220).transpose(*images.dims)
        wrong = (found["mask"] != expected).mean()
        assert float(wrong) < 0.01
        assert bool(found["mask"].where(expected).fillna(True).all())
    assert pt.foreground(frames[3], model).score.dims == ("y", "x")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_exposure_is_steadied(dtype):
    rng = np.random.default_rng(0)
    scene = rng.uniform(40, 120, (1, 50, 60))
    lamp = np.array([1, 1, 0.5, 1.5, 1, 0]).reshape(-1, 1, 1)
    frames = (scene * lamp).astype(dtype)
    steady = pt.steady_exposure(frames)
    assert steady.dtype == dtype
    np.testing.assert_allclose(steady[:5], np.broadcast_to(scene, (5, 50, 60)), atol=3)
    np.testing.assert_array_equal(steady[5], 0)
    named = xr.DataArray(da.from_array(frames, chunks=(2, 20, 60)), dims=("image", "y", "x"))
    lazy = pt.steady_exposure(named)
    assert isinstance(lazy.data, da.Array)
    np.testing.assert_array_equal(lazy, steady)


def test_foreground_of_colour_and_of_unseen_pixels():
    rng = np.random.default_rng(0)
    frames = rng.integers(90, 96, (60, 3, 4, 5)).astype(np.float32)
    frames[:, :, 0, 0] = np.nan
    frames[7, 2, 3, 3] = 250
    hist = pt.pixel_histogram(frames, bins=256, range=(0, 256))
    found = pt.foreground(
        xr.DataArray(frames, dims=("image", "channel", "y", "x")), pt.pixel_mixture(hist, 2)
    )
    assert found.score.dims == ("image", "y", "x")
    assert found.score.isel(y=0, x=0).isnull().all()
    assert np.argwhere(found["mask"].values).tolist() == [[7, 3, 3]]


def test_photon_peaks_at_a_tenth_of_a_photon():
    rng = np.random.default_rng(4)
    shape = (20_000, 5, 5)
    frames = 100 + 24.0 * rng.poisson(0.1, shape) + rng.normal(0, 6.0, shape)
    hist = pt.pixel_histogram(frames, bins=200, range=(50, 300))
    found = pt.fit_peaks(hist).compute()
    error = found.gain / 24 - 1
    assert abs(float(error.mean())) < 0.003
    assert float(np.sqrt((error**2).mean())) < 0.01
    np.testing.assert_allclose(found.offset, 100, atol=0.3)
    np.testing.assert_allclose(found.noise, 6, rtol=0.02)
    np.testing.assert_allclose(found.rate, 0.1, rtol=0.15)
    # the same with the gain's whereabouts given, and one pixel of no photons at all
    near = pt.fit_peaks(hist, gain=(20, 30))
    np.testing.assert_allclose(near.gain, found.gain, rtol=1e-4)
    dark = pt.pixel_histogram(np.full((50, 1, 2), 7, np.uint8))
    assert np.isnan(pt.fit_peaks(dark).gain).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h: pt.pixel_mixture(h, 0), "at least 1"),
        (lambda h: pt.pixel_mixture(h.drop_vars("bin_bounds")), "bin_bounds"),
        (lambda h: pt.fit_peaks(h, peaks=1), "at least 2"),
        (lambda h: pt.fit_peaks(h, gain=(5, 2)), "least and the largest"),
        (lambda h: pt.foreground(np.zeros((2, 9, 9)), pt.pixel_mixture(h)), "pixels along 'y'"),
        (lambda h: pt.foreground(np.zeros(4), pt.pixel_mixture(h)), "shape"),
        (lambda h: pt.foreground(np.zeros((2, 6, 8)), h), "pixel_mixture"),
        (lambda h: pt.foreground(video(), pt.pixel_mixture(h), background=0), "share"),
        (lambda h: pt.foreground(video(), pt.pixel_mixture(h), least_std=0), "least_std"),
    ],
)
def test_errors_are_one_line_with_the_fix(hist, call, message):
    with pytest.raises(pt.PixtallyError, match=message) as found:
        call(hist)
    assert "\n" not in str(found.value)
