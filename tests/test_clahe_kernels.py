"""CLAHE, matching, luminance and per-pixel kernels against the implementations they name."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import exposure

from pixtally.kernels.clahe import blend_tiles, clahe_block, lay_grid, tile_counts, tile_tables
from pixtally.kernels.luminance import luminance, recolour
from pixtally.kernels.match import match_floats, match_table, reference_from_samples
from pixtally.kernels.pixel_equalize import equalize_pixels
from pixtally.kernels.recipe import Recipe
from pixtally.kernels.whole_images import equalize_block


def images_of(shape, dtype):
    random = np.random.default_rng(5)
    scale = 1 if dtype == "uint8" else 200
    yield (random.gamma(4, 20, shape).clip(0, 255) * scale).astype(dtype)
    yield np.full(shape, 9 * scale, dtype)
    yield np.where(random.random(shape) > 0.5, 4 * scale, 77 * scale).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("tiles", [(8, 8), (3, 5), (1, 1)])
@pytest.mark.parametrize("shape", [(64, 64), (61, 47), (64, 47), (3, 3), (5, 100), (1, 9)])
def test_clahe_equals_opencv(shape, tiles, dtype):
    for image in images_of(shape, dtype):
        for clip in (0.0, 1.0, 2.0, 40.0) if dtype == "uint8" else (2.0, 0.0):
            expected = cv2.createCLAHE(clip, tiles[::-1]).apply(image)
            np.testing.assert_array_equal(clahe_block(image[None], clip, tiles)[0], expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_clahe_of_parts_equals_the_whole(dtype):
    image = next(images_of((61, 47), dtype))[None]
    gone = np.random.default_rng(0).random(image.shape) < 0.1
    levels = 1 << (8 * image.dtype.itemsize)
    grid = lay_grid((61, 47), (4, 3))
    corners = [(y, x) for y in (0, 13, 60) for x in (0, 20)]
    ends = {0: 13, 13: 60, 60: 61}
    parts = [np.s_[:, y : ends[y], x : {0: 20, 20: 47}[x]] for y, x in corners]
    counts = sum(
        tile_counts(image[part], gone[part], grid, at, levels).astype(np.int64)
        for part, at in zip(parts, corners, strict=True)
    )
    tables = tile_tables(counts.astype(np.uint32), 2.0)
    found = np.empty_like(image)
    for part, at in zip(parts, corners, strict=True):
        found[part] = blend_tiles(image[part], tables, grid, at)
    np.testing.assert_array_equal(found, clahe_block(image, 2.0, (4, 3), gone))


def test_clahe_keeps_a_tile_without_valid_samples():
    image = np.full((1, 16, 16), 50, np.uint8)
    gone = np.ones(image.shape, bool)
    np.testing.assert_array_equal(clahe_block(image, 2.0, (2, 2), gone), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_matching_equals_scikit_image(dtype):
    random = np.random.default_rng(2)
    image = random.gamma(4, 20, (61, 47)).clip(0, 255).astype(dtype)
    other = random.normal(100, 20, (33, 80)).clip(0, 255).astype(dtype)
    expected = exposure.match_histograms(image, other)
    reference = reference_from_samples(other)
    if image.dtype.kind == "u":
        found = match_table(np.bincount(image.ravel())[None], reference)[0][image]
    else:
        found = match_floats(image.ravel(), reference).reshape(image.shape).astype(dtype)
    np.testing.assert_array_equal(found, expected)


def test_matching_leaves_nan():
    image = np.array([1.0, np.nan, 3.0, 2.0])
    found = match_floats(image, reference_from_samples(np.array([10.0, 20.0, 30.0])))
    np.testing.assert_array_equal(found, [10, np.nan, 30, 20])
    assert np.isnan(match_floats(np.full(3, np.nan), reference_from_samples(image))).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_luminance_equals_opencv(dtype):
    top = np.iinfo(dtype).max
    random = np.random.default_rng(4)
    rgb = random.integers(0, top + 1, (60, 70, 3)).astype(dtype)
    rgb[:2], rgb[2:4] = [top, 0, 0], [0, top, top]
    planes = np.ascontiguousarray(rgb.reshape(-1, 3).T)[None]
    ycc = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    old = luminance(planes)
    np.testing.assert_array_equal(old[0], ycc[..., 0].ravel())
    new = random.integers(0, top + 1, old.shape).astype(dtype)
    ycc[..., 0] = new.reshape(ycc.shape[:2])
    expected = cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB)
    found = recolour(planes, old, new)[0].T.reshape(rgb.shape)
    np.testing.assert_array_equal(found, expected)


def test_luminance_of_floats_shifts_the_colours():
    rgb = np.random.default_rng(1).random((2, 3, 10))
    old = luminance(rgb)
    np.testing.assert_allclose(luminance(recolour(rgb, old, old + 1e-3)), old + 1e-3, atol=5e-4)
    np.testing.assert_allclose(recolour(rgb, old, old), rgb)


@pytest.mark.parametrize("method", ["interp", "cdf", "lut", "opencv", "rank"])
def test_pixels_through_their_own_histograms(method):
    samples = np.random.default_rng(6).integers(0, 256, (50, 12)).astype(np.uint8)
    counts = np.stack([np.bincount(column, minlength=256) for column in samples.T])
    made = {"interp": "f8", "cdf": "f8", "rank": "i8"}.get(method, "u1")
    ends = (0, 256) if method == "interp" else None
    recipe = Recipe(method, samples.dtype, np.dtype(made), range=ends)
    found = equalize_pixels(samples, counts, recipe, np.arange(257.0))
    np.testing.assert_array_equal(found, equalize_block(samples.T.copy(), recipe).T)


@pytest.mark.parametrize("method", ["interp", "cdf"])
def test_float_pixels_through_binned_histograms(method):
    samples = np.random.default_rng(6).random((50, 12))
    edges = np.linspace(0, 1, 21)
    counts = np.stack([np.histogram(column, edges)[0] for column in samples.T])
    recipe = Recipe(method, samples.dtype, np.dtype("f8"), bins=20, range=(0.0, 1.0))
    found = equalize_pixels(samples, counts, recipe, edges)
    np.testing.assert_array_equal(found, equalize_block(samples.T.copy(), recipe).T)
