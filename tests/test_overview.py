"""A histogram looked over block by block: the same images and pixels whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import pixtally as pt
from pixtally.kernels.bimodality import bimodalities
from pixtally.overview import SHOWN, look_over
from pixtally.screen import ScreenImage, screen_step
from pixtally.unusual import KINDS, Best, heat

SHAPE = (30, 40)
HOT, DEAD, FULL, TWO, NEVER = (5, 7), (20, 31), (12, 33), (25, 3), (0, 0)


@pytest.fixture(scope="module")
def frames():
    """Noise with one pixel of every kind."""
    rng = np.random.default_rng(0)
    images = rng.normal(80, 4, (60, *SHAPE)).clip(0, 200)
    images[(slice(None), *HOT)] += 90
    images[(slice(None), *DEAD)] = 80
    images[(slice(0, 9), *FULL)] = 255
    images[(slice(0, 30), *TWO)] = 20
    images = images.round()
    images[(slice(None), *NEVER)] = np.nan
    return images


def counted(frames, chunks=None):
    hist = pt.pixel_histogram(frames, bins=256, range=(0, 256)).compute()
    return hist.chunk(chunks) if chunks else hist


def slow_bimodality(row, values, width):
    """Return the best of all cuts, each with its own means."""
    samples = np.repeat(values, row)
    best = 0.0
    for cut in range(1, len(values)):
        low, high = samples[samples < values[cut]], samples[samples >= values[cut]]
        share = len(low) / len(samples)
        if 0.05 <= share <= 0.95:
            best = max(best, share * (1 - share) * (high.mean() - low.mean()) ** 2)
    return best / (samples.var() + width**2)


@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=12).filter(any),
    st.floats(0.1, 5),
    st.floats(-1e3, 1e3),
)
def test_bimodality_is_that_of_the_slow_way(row, width, start):
    values = start + width * np.arange(len(row))
    found = bimodalities(np.array(row, "u2"), values, width)
    assert found == pytest.approx(slow_bimodality(row, values, width), abs=1e-9)


def test_bimodality_of_shapes():
    values = np.arange(256.0)
    rng = np.random.default_rng(1)

    def score(samples):
        return bimodalities(np.bincount(samples, minlength=256), values, 1.0)[()]

    assert score(rng.normal(100, 10, 5000).astype(int)) == pytest.approx(0.64, abs=0.03)
    assert score(rng.integers(0, 256, 5000)) == pytest.approx(0.75, abs=0.02)
    assert score(np.repeat([20, 200], 50)) > 0.99
    assert score(np.repeat([20, 21], 50)) < 0.3, "two neighbouring bins are no two groups"
    assert score(np.append(np.full(99, 20), 200)) == 0, "one outlier is no group"
    assert np.isnan(bimodalities(np.zeros((2, 4), int), values[:4], 1.0)).all()


@settings(max_examples=15)
@given(st.integers(1, 30), st.integers(1, 40))
def test_blocks_do_not_change_the_overview(frames, rows, columns):
    whole = look_over(counted(frames))
    cut = look_over(counted(frames, {"y": rows, "x": columns}))
    for name in SHOWN:
        np.testing.assert_allclose(cut.images[name], whole.images[name], rtol=1e-12)
        assert cut.extremes[name] == whole.extremes[name]
    np.testing.assert_array_equal(cut.histogram, whole.histogram)
    assert cut.flows == whole.flows
    for kind in KINDS:
        assert cut.best[kind.name].number == whole.best[kind.name].number
        assert cut.best[kind.name].choose(5) == whole.best[kind.name].choose(5)


def test_every_kind_is_found_where_it_was_put(frames):
    seen = look_over(counted(frames))
    first = {name: [place[1:] for place, _ in best.choose(3)] for name, best in seen.best.items()}
    assert first["hot"] == [HOT]
    assert first["dead"] == [DEAD]
    assert first["saturated"] == [FULL]
    assert TWO in first["bimodal"]
    assert seen.unseen == 1
    assert seen.flows == {"underflow": 0, "overflow": 0, "invalid": 60}
    assert seen.samples == 60 * 1199


def test_statistics_are_those_of_the_accessor(frames):
    hist = counted(frames)
    seen = look_over(hist)
    for name in SHOWN:
        np.testing.assert_allclose(seen.images[name][0], hist.tally.statistics([name])[name])
    np.testing.assert_array_equal(seen.histogram, hist.counts.sum(["y", "x"]))


@pytest.mark.parametrize("dims", [(), ("x",), ("y", "x"), ("channel", "y", "x")])
def test_any_pixel_dimensions(dims):
    shape = (20, 3, 6, 5)[: len(dims) + 1]
    images = np.random.default_rng(2).integers(0, 9, shape, "uint8")
    hist = pt.pixel_histogram(xr.DataArray(images, dims=("image", *dims)))
    seen = look_over(hist)
    assert seen.shape == (1, 1, 1, *shape[1:])[-3:]
    np.testing.assert_allclose(
        seen.images["mean"].ravel(), np.atleast_1d(images.mean(0)).ravel(), rtol=1e-12
    )


@given(
    st.integers(1, 7),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_small_images_are_means_of_squares(step, shape, block, seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=shape)
    image[rng.random(shape) < 0.2] = np.nan
    small = ScreenImage(shape, step)
    for y in range(0, shape[0], block):
        for x in range(0, shape[1], block):
            small.add((y, x), image[y : y + block, x : x + block])
    for y, x in np.ndindex(small.mean().shape):
        square = image[y * step : (y + 1) * step, x * step : (x + 1) * step]
        valid = square[np.isfinite(square)]
        expected = valid.mean() if valid.size else np.nan
        np.testing.assert_allclose(small.mean()[y, x], expected, rtol=1e-12)


def test_large_images_become_small_ones():
    assert [screen_step((n, 3)) for n in (1, 1024, 1025, 2048, 10_000)] == [1, 1, 2, 2, 10]
    hist = pt.pixel_histogram(np.zeros((2, 8, 20), "uint8"))
    seen = look_over(hist, most=7)
    assert seen.step == 3
    assert seen.images["median"].shape == (1, 3, 7)
    assert seen.pixels == 160


def test_heat_stands_out_of_edges_but_not_on_them():
    rng = np.random.default_rng(3)
    image = rng.normal(50, 1, (40, 40))
    image[:, 20:] += 100
    assert heat(image, 0.1).max() < 8, "an edge is not hot"
    image[11, 12] += 30
    image[30, 31:33] += 30
    hot = heat(image, 0.1) > 8
    assert {tuple(p) for p in np.argwhere(hot).tolist()} == {(11, 12), (30, 31), (30, 32)}
    assert (heat(np.full((2, 9), 3.0), 1) == -np.inf).all()
    assert (heat(np.full((9, 9), np.nan), 1) == -np.inf).all()


def test_chosen_pixels_are_apart():
    best = Best((1, 100, 100))
    scores = np.zeros((1, 100, 100))
    scores[0, 50, 50:60] = 1
    scores[0, 90, 90] = 0.5
    best.add((0, 0, 0), scores, 0.1)
    assert best.number == 11
    assert [place for place, _ in best.choose(9)] == [(0, 50, 50), (0, 50, 59), (0, 90, 90)]
