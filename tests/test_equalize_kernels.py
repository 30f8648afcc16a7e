"""Equalization kernels against the implementations they name, on random and hostile input."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import exposure

from pixtally.kernels.bin_segments import uniform_edges
from pixtally.kernels.equalize import (
    apply_map,
    counts_of,
    edges_of,
    map_of,
    span_of,
)
from pixtally.kernels.image_slots import binned_counts, find_slots, prepare_edges
from pixtally.kernels.rank import float_ranks
from pixtally.kernels.recipe import Recipe, UnfitError
from pixtally.kernels.whole_images import equalize_block


def recipe_of_numpy(image, bins=256, range=None):
    """The recipe as people type it."""
    density, edges = np.histogram(image.ravel(), bins, range=range, density=True)
    cdf = density.cumsum()
    cdf = (bins - 1) * cdf / cdf[-1]
    return np.interp(image.ravel(), edges[:-1], cdf).reshape(image.shape)


def lut_of_numpy(image):
    top = np.iinfo(image.dtype).max
    below = np.bincount(image.ravel(), minlength=top + 1).cumsum()
    return np.floor(top * below / image.size).astype(image.dtype)[image]


def opencv_reference(image):
    """cv2.equalizeHist written out, for 16 bits too."""
    top = np.iinfo(image.dtype).max
    counts = np.bincount(image.ravel(), minlength=top + 1)
    first = int(np.flatnonzero(counts)[0])
    if counts[first] == image.size:
        return image.copy()
    scale = np.float32(top) / np.float32(image.size - counts[first])
    below = counts.cumsum() - counts[first]
    table = [int(np.rint(np.float32(b) * scale)) for b in np.maximum(below, 0)]
    return np.array(table, image.dtype)[image]


def rank_of_numpy(image):
    return np.sort(image.ravel()).searchsorted(image)


def settle(method, source, dtype=None, **rest):
    natural = {
        "interp": np.float64,
        "cdf": np.float32 if source == np.float32 else np.float64,
        "rank": np.int64 if np.dtype(source).kind in "iu" else np.float64,
    }
    made = np.dtype(dtype or natural.get(method, source))
    rest.setdefault("bins", 64 if method == "matlab" else 256)
    return Recipe(method, np.dtype(source), made, **rest)


def run(images, method, **rest):
    rows = images.reshape(len(images), -1)
    return equalize_block(rows, settle(method, images.dtype, **rest)).reshape(images.shape)


def collections():
    """Images (n, y, x) of every kind of histogram, in float64 within 0..250."""
    random = np.random.default_rng(7)
    return {
        "gamma": random.gamma(4, 20, (3, 61, 47)).clip(0, 250),
        "constant": np.full((2, 9, 16), 7.0),
        "two values": np.where(random.random((2, 33, 31)) > 0.7, 3.0, 200.0),
        "one strip": random.normal(100, 30, (1, 16, 16)).clip(0, 250),
        "quantized": random.integers(0, 12, (2, 40, 41)) / 4.0,
        "outlier": np.append(random.random(1199), 250.0).reshape(1, 30, 40),
        "single": np.full((2, 1, 1), 3.0),
    }


DTYPES = ["uint8", "uint16", "int8", "int16", "float32", "float64"]


def as_dtype(images, dtype):
    if dtype == "uint16":
        return (images * 250).astype(dtype)
    if dtype.startswith("int"):
        return (images / 2 - (0 if dtype == "int8" else 90)).astype(dtype)
    return images.astype(dtype)


JUDGES = {
    "interp": (recipe_of_numpy, DTYPES),
    "cdf": (exposure.equalize_hist, DTYPES),
    "lut": (lut_of_numpy, ["uint8", "uint16"]),
    "opencv": (opencv_reference, ["uint8", "uint16"]),
    "rank": (rank_of_numpy, DTYPES),
}
TABLE = [(method, dtype) for method, (_, dtypes) in JUDGES.items() for dtype in dtypes]


@pytest.mark.parametrize(("method", "dtype"), TABLE)
@pytest.mark.parametrize("name", list(collections()))
def test_equals_its_judge(method, dtype, name):
    images = as_dtype(collections()[name], dtype)
    expected = np.stack([JUDGES[method][0](image) for image in images])
    found = run(images, method)
    assert found.dtype == (np.float64 if method == "rank" and dtype[0] == "f" else expected.dtype)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", list(collections()))
def test_opencv_itself(name):
    images = as_dtype(collections()[name], "uint8")
    expected = np.stack([cv2.equalizeHist(image) for image in images])
    np.testing.assert_array_equal(run(images, "opencv"), expected)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize(("bins", "range"), [(2, None), (17, None), (256, (20, 60)), (300, (0, 1))])
def test_interp_with_bins_and_range(dtype, bins, range):
    images = as_dtype(collections()["gamma"], dtype)
    if range == (0, 1):
        images = (images // 40 if dtype in ("uint8", "int16") else images / 40).astype(dtype)
    expected = np.stack([recipe_of_numpy(image, bins, range) for image in images])
    np.testing.assert_array_equal(run(images, "interp", bins=bins, range=range), expected)


MATLAB = [  # recorded from MATLAB's histeq in Octave's image package
    ("float64", [0, 1], [0.4920634921, 1]),
    ("float64", [0, 255], [0.4920634921, 1]),
    ("uint8", [0, 1], [125, 190]),
    ("uint8", [0, 255], [125, 255]),
    ("uint16", [0, 1], [65535, 65535]),
    ("uint16", [0, 255], [32247, 48891]),
    ("uint16", [0, 256], [32247, 48891]),
    ("uint16", [0, 65535], [32247, 65535]),
    ("float64", [0, 1, 1], [1 / 3, 1, 1]),
    ("float64", [0, 0, 1], [2 / 3, 2 / 3, 1]),
    ("float64", [0, 1, 2], [1 / 3, 1, 1]),
    ("uint8", [0, 1, 2], [85, 125, 215]),
    ("uint16", [0, 1, 2], [65535, 65535, 65535]),
    ("uint16", [0, 100, 200], [43690, 43690, 55133]),
    ("uint8", range(0, 101, 10), [20, 32, 57, 81, 105, 125, 150, 174, 198, 223, 247]),
    (
        "float64",
        np.arange(11) * 0.1,
        [5 / 63, 8 / 63, 14 / 63, 20 / 63, 26 / 63, 31 / 63, 37 / 63, 43 / 63, 49 / 63, 55 / 63, 1],
    ),
    ("float64", [0], [1]),
    ("float64", [1.5], [1]),
]


@pytest.mark.parametrize(("dtype", "image", "expected"), MATLAB)
def test_matlab_recorded_answers(dtype, image, expected):
    found = run(np.array([[list(image)]], dtype), "matlab")[0, 0]
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_matlab_int16_is_uint16_shifted():
    images = as_dtype(collections()["gamma"], "uint16")
    shifted = (images.astype(np.int64) - 32768).astype(np.int16)
    expected = run(images, "matlab").astype(np.int64) - 32768
    np.testing.assert_array_equal(run(shifted, "matlab"), expected)


@pytest.mark.parametrize(("method", "dtype"), [*TABLE, ("matlab", "uint8"), ("matlab", "float64")])
def test_parts_equal_the_whole(method, dtype):
    if method == "rank" and dtype[0] == "f":
        pytest.skip("float ranks need whole images")
    images = as_dtype(collections()["gamma"], dtype).reshape(3, -1)
    recipe = settle(method, images.dtype)
    parts = np.array_split(images, 4, axis=1)
    edges = None
    if not recipe.by_level:
        spans = [span_of(part, None, recipe) for part in parts]
        low, high = np.min(spans, axis=0)[:, 0], np.max(spans, axis=0)[:, 1]
        edges = edges_of(np.stack([low, high], axis=1), recipe)
    counts = np.sum([counts_of(part, None, recipe, edges) for part in parts], axis=0)
    made = map_of(counts, recipe, edges)
    found = []
    for part in parts:
        found.append(np.empty(part.shape, recipe.dtype))
        apply_map(part, None, recipe, made, found[-1])
    np.testing.assert_array_equal(np.concatenate(found, axis=1), equalize_block(images, recipe))


@pytest.mark.parametrize(("method", "dtype"), TABLE)
def test_left_out_samples_count_nowhere(method, dtype):
    images = as_dtype(collections()["gamma"], dtype).reshape(3, -1)
    gone = np.random.default_rng(1).random(images.shape) < 0.3
    recipe = settle(method, images.dtype, fill=-1 if dtype[0] == "i" else 0)
    found = equalize_block(images, recipe, gone)
    for image, out, left in zip(images, found, gone, strict=True):
        expected = equalize_block(image[None, ~left], recipe)[0]
        np.testing.assert_array_equal(out[~left], expected)
        assert (out[left] == recipe.fill).all()


@pytest.mark.parametrize("method", ["interp", "cdf", "rank", "matlab"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity(method, dtype):
    image = (collections()["gamma"][:1] / 250).astype(dtype).reshape(1, -1)
    hostile = image.copy()
    hostile[0, ::7] = np.nan
    kept = ~np.isnan(hostile)
    recipe = settle(method, dtype)
    np.testing.assert_array_equal(
        equalize_block(hostile, recipe)[kept], equalize_block(image[kept][None], recipe)[0]
    )
    assert np.isnan(equalize_block(hostile, recipe)[~kept]).all()
    if method in ("interp", "cdf"):
        hostile[0, 1], hostile[0, 2] = np.inf, -np.inf
        found = equalize_block(hostile, recipe)[0]
        assert found[1] == np.nanmax(found)
        assert found[2] == np.nanmin(found)


@pytest.mark.parametrize("method", ["interp", "cdf", "rank", "matlab"])
def test_images_without_valid_samples(method):
    images = np.full((2, 20), np.nan)
    assert np.isnan(equalize_block(images, settle(method, "float64"))).all()


def test_integer_results_of_floats():
    image = collections()["gamma"][:1].reshape(1, -1) / 250
    byte = equalize_block(image, settle("cdf", "float64", "uint8"))
    share = equalize_block(image, settle("cdf", "float64"))
    np.testing.assert_array_equal(byte, np.rint(share * 255).astype(np.uint8))
    image[0, 3] = np.nan
    with pytest.raises(UnfitError, match=r"NaN cannot be kept in a uint8 result; pass fill="):
        equalize_block(image, settle("cdf", "float64", "uint8"))
    assert equalize_block(image, settle("cdf", "float64", "uint8", fill=9))[0, 3] == 9


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_range_without_samples(dtype):
    images = np.full((2, 30), 5, dtype)
    images[0] = 50
    with pytest.raises(UnfitError, match=r"range=\(40, 60\) holds no sample .* 5"):
        equalize_block(images, settle("interp", dtype, range=(40, 60)))


def test_too_many_bins_for_the_precision():
    images = np.float32([[1, 1 + 1e-6, 1.000002]])
    with pytest.raises(UnfitError, match="256 bins do not fit"):
        equalize_block(images, settle("interp", "float32"))


floats = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(floats, min_size=1, max_size=300), st.integers(2, 40), st.sampled_from(["f4", "f8"])
)
def test_counts_of_any_floats(values, bins, dtype):
    image = np.array([values], dtype)
    try:
        expected, edges = np.histogram(image, bins)
    except ValueError:  # too many bins for so narrow a span
        return
    span = np.array([[image.min(), image.max()]], np.float64)
    own = uniform_edges(span, bins, dtype)
    np.testing.assert_array_equal(own[0], edges)
    np.testing.assert_array_equal(binned_counts(image, prepare_edges(own))[0], expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(allow_nan=True, width=32), min_size=1, max_size=200), st.booleans())
def test_ranks_of_any_floats(values, right):
    image = np.array(values, np.float64)
    ranks, valid = float_ranks(image, right=right)
    ordered = np.sort(image[~np.isnan(image)])
    assert valid == len(ordered)
    side = "right" if right else "left"
    kept = ~np.isnan(image)
    np.testing.assert_array_equal(ranks[kept], ordered.searchsorted(image[kept], side))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ranks_where_samples_crowd(dtype):
    random = np.random.default_rng(3)
    crowded = np.where(random.random(5000) > 0.5, 1e6, 0) + random.normal(0, 1, 5000)
    for image in (crowded, np.full(500, 2.0), np.append(random.random(4000), 1e30)):
        image = image.astype(dtype)
        np.testing.assert_array_equal(float_ranks(image)[0], rank_of_numpy(image))


def test_slots_of_samples_on_and_beside_edges():
    edges = np.linspace(0.1, 0.7, 13)[None]
    near = np.concatenate([np.nextafter(edges[0], s) for s in (-9, 9)] + [edges[0]])
    found = find_slots(near[None], prepare_edges(edges))[0]
    expected = np.searchsorted(edges[0], near, side="right")
    expected[near == edges[0, -1]] -= 1
    np.testing.assert_array_equal(found, expected)
