"""What follows from counts, against NumPy and SciPy on the samples."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import pixtally as pt
from pixtally import PixtallyError

QS = [0, 0.05, 0.1, 0.3, 1 / 3, 0.5, 0.9, 0.95, 1]


def images_of(seed=0, shape=(101, 8, 9)):
    return np.random.default_rng(seed).integers(90, 120, shape).astype(np.uint8)


@pytest.fixture(scope="module", params=["numpy", "dask"])
def hist(request):
    images = xr.DataArray(images_of(), dims=("image", "y", "x"))
    found = pt.pixel_histogram(images.chunk({"y": 3}) if request.param == "dask" else images)
    return found if request.param == "dask" else found.compute()


def test_integer_axis_is_exact(hist):
    images = images_of()
    expected = np.quantile(images, QS, axis=0, method="inverted_cdf")
    found = hist.tally.quantile(QS).transpose("quantile", ...)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(hist.tally.median(), expected[QS.index(0.5)])
    np.testing.assert_array_equal(hist.tally.mean(), images.mean(0))
    np.testing.assert_allclose(hist.tally.var(), images.var(0), rtol=1e-12)
    np.testing.assert_allclose(hist.tally.std(ddof=1), images.std(0, ddof=1), rtol=1e-12)
    np.testing.assert_array_equal(hist.tally.mode(), scipy.stats.mode(images, axis=0).mode)
    np.testing.assert_allclose(
        hist.tally.entropy(), scipy.stats.entropy(hist.counts, base=2, axis=-1), rtol=1e-12
    )
    np.testing.assert_array_equal(hist.tally.total(), np.full((8, 9), 101))


def test_cdf_and_pdf(hist):
    cdf, pdf = hist.tally.cdf(), hist.tally.pdf()
    assert (cdf.isel(bin=-1) == 1).all()
    assert (cdf.diff("bin") >= 0).all()
    np.testing.assert_allclose(pdf.sum("bin"), 1)
    expected = np.histogram(images_of()[:, 0, 0], 256, (0, 256), density=True)[0]
    np.testing.assert_allclose(pdf[0, 0], expected, rtol=1e-12)


@given(arrays(np.uint8, st.integers(1, 40)), st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_quantiles_of_any_bytes(samples, q):
    hist = pt.pixel_histogram(samples.reshape(-1, 1)).compute()
    expected = np.quantile(samples, q, method="inverted_cdf")
    np.testing.assert_array_equal(hist.tally.quantile(q).values[0], expected)


@given(
    arrays(np.float64, st.integers(1, 40), elements=st.floats(-4.9, 4.9)),
    st.lists(st.floats(0, 1), min_size=1, max_size=6),
    st.integers(1, 60),
)
def test_other_axes_are_a_bin_width_off_at_most(samples, q, bins):
    hist = pt.pixel_histogram(samples.reshape(-1, 1), bins=bins, range=(-5, 5)).compute()
    expected = np.quantile(samples, q, method="inverted_cdf")
    found = hist.tally.quantile(q).values[0]
    assert (np.abs(found - expected) <= 10 / bins + 1e-9).all()
    assert (np.diff(found[np.argsort(q)]) >= 0).all()


def test_pixels_without_samples_are_nan():
    images = np.full((5, 1, 2), np.nan, np.float32)
    images[:, 0, 1] = 0.5
    hist = pt.pixel_histogram(images, bins=4, range=(0, 1))
    for name, found in hist.tally.statistics().compute().items():
        expected = 0 if name == "total" else np.nan
        np.testing.assert_array_equal(found[0, 0], expected, err_msg=name)
        assert np.isfinite(found[0, 1])
    assert np.isnan(hist.tally.cdf()[0, 0]).all()


def test_everything_stays_lazy_until_computed():
    images = xr.DataArray(images_of(), dims=("image", "y", "x")).chunk({"y": 4})
    found = pt.pixel_histogram(images).tally.statistics()
    assert all(v.chunks is not None for v in found.values())


@pytest.mark.parametrize("q", [-0.1, 1.5, np.nan, [0.5, 2]])
def test_bad_quantiles(hist, q):
    with pytest.raises(PixtallyError, match="between 0 and 1"):
        hist.tally.quantile(q)


def test_other_datasets_are_refused():
    with pytest.raises(PixtallyError, match="not a per-pixel histogram: it has no counts"):
        xr.Dataset({"a": 1}).tally.median()
    future = pt.pixel_histogram(images_of()).assign_attrs(pixtally_format=99)
    with pytest.raises(PixtallyError, match="format version 99"):
        future.tally.median()
    with pytest.raises(PixtallyError, match="unknown statistics skew"):
        pt.pixel_histogram(images_of()).tally.statistics(["skew"])


def test_plot(hist, tmp_path):
    import matplotlib as mpl

    mpl.use("Agg")
    figure = hist.tally.plot(y=2, x=3).figure
    figure.savefig(tmp_path / "pixel.png")
    assert (tmp_path / "pixel.png").stat().st_size > 1000
    with pytest.raises(PixtallyError, match="a pixel needs y=, x="):
        hist.tally.plot(y=2)
    with pytest.raises(PixtallyError, match=r"y=99 is outside the image; it has 0…7"):
        hist.tally.plot(y=99, x=0)
