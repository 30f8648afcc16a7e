"""Colours and values: against matplotlib forwards, against a search of the whole table back."""

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.colors import Normalize

from pixtally.kernels.palette import apply_table, index_colours, invert_colours


def full_table(cmap):
    """The colours of a colormap, then those for below, above and NaN."""
    ends = [cmap(-1, bytes=True), cmap(cmap.N, bytes=True), cmap(np.nan, bytes=True)]
    return np.concatenate([cmap(np.arange(cmap.N), bytes=True), np.array(ends, np.uint8)])


def marked_ends():
    return matplotlib.colormaps["viridis"].with_extremes(bad="red", under="lime", over="cyan")


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int8, np.uint16, np.int32, np.int64, "f2", np.float32, np.float64]
)
@pytest.mark.parametrize(("vmin", "vmax"), [(0, 255), (-3.7, 99.1), (20, 100), (0, 1)])
def test_apply_equals_matplotlib(dtype, vmin, vmax):
    rng = np.random.default_rng(3)
    values = rng.uniform(-128, 300, (40, 50))
    if np.dtype(dtype).kind in "iub":
        low, high = (0, 1) if dtype is bool else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        values = values.clip(low, high).astype(dtype)
    else:
        values = values.astype(dtype)
        values[0, :6] = [vmin, vmax, np.nan, np.inf, -np.inf, np.nextafter(vmax, 999)]
    with np.errstate(over="ignore", invalid="ignore"):
        expected = marked_ends()(Normalize(vmin, vmax)(values), bytes=True)
    assert np.array_equal(apply_table(values, full_table(marked_ends()), vmin, vmax), expected)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(width=32)),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
)
def test_apply_equals_matplotlib_on_any_floats(values, vmin, span):
    with np.errstate(all="ignore"):
        expected = marked_ends()(Normalize(vmin, vmin + span)(values), bytes=True)
    found = apply_table(values, full_table(marked_ends()), vmin, vmin + span)
    assert np.array_equal(found, expected)


def brute_force(pixels, colours):
    """First of the nearest colours, and the distance, by looking at all of them."""
    gaps = pixels[:, None, :3].astype(float) - colours[None, :, :3].astype(float)
    squared = (gaps**2).sum(axis=2)
    return squared.argmin(axis=1), np.sqrt(squared.min(axis=1))


@pytest.mark.parametrize("name", ["jet", "gray", "tab10", "flag", "prism", "twilight"])
@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_inversion_finds_the_nearest_of_all_colours(name, kind):
    cmap = matplotlib.colormaps[name]
    rng = np.random.default_rng(4)
    colours = cmap(np.arange(cmap.N), bytes=kind == "bytes")[:, :3]
    if kind == "bytes":
        pixels = rng.integers(0, 256, (4000, 3), np.uint8)
        pixels = np.concatenate([pixels, colours, pixels[:100]])
    else:
        pixels = np.concatenate([rng.uniform(-0.2, 1.2, (4000, 3)), colours])
    places = np.arange(float(cmap.N))
    value, distance, ambiguous = invert_colours(pixels, index_colours(colours), places)
    nearest, expected = brute_force(pixels, colours)
    np.testing.assert_allclose(distance, expected, rtol=1e-6, atol=1e-6)
    assert np.array_equal(value, nearest)
    repeated = (colours[:, None] == colours[None]).all(axis=2).sum(axis=1) > 1
    assert np.array_equal(ambiguous, repeated[nearest])


def test_invalid_far_and_transparent_pixels():
    index = index_colours(np.array([[0, 0, 0], [10, 10, 10]], np.uint8))
    pixels = np.array([[0, 0, 3, 255], [0, 0, 4, 9], [10, 10, 10, 0]], np.uint8)
    value, distance, _ = invert_colours(pixels, index, np.array([5.0, 6.0]), tolerance=3)
    np.testing.assert_array_equal(value, [5, np.nan, np.nan])
    np.testing.assert_array_equal(distance, [3, 4, np.nan])
    floats = index_colours(np.array([[0.0, 0, 0], [1, 1, 1]]))
    pixels = np.array([[0, 0, 0.1, 1], [np.nan, 0, 0, 1], [0, 0, 0, 0], [0.3, 0.3, 0.3, 1]])
    value, distance, _ = invert_colours(pixels, floats, np.array([5.0, 6.0]), tolerance=0.2)
    np.testing.assert_array_equal(value, [5, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(distance, [0.1, np.nan, np.nan, 0.3 * 3**0.5], rtol=1e-6)


def test_rgb_rgba_and_strided_pictures_agree():
    rng = np.random.default_rng(5)
    index = index_colours(rng.integers(0, 256, (2000, 3), np.uint8))
    picture = rng.integers(0, 256, (3, 9, 11), np.uint8)
    rgb = np.moveaxis(picture, 0, -1)
    rgba = np.concatenate([rgb, np.full((9, 11, 1), 7, np.uint8)], axis=-1)
    values = np.linspace(0, 1, 2000)
    for a, b in zip(
        invert_colours(rgb, index, values), invert_colours(rgba, index, values), strict=True
    ):
        assert a.shape == (9, 11)
        assert np.array_equal(a, b)
