"""The hole-filling kernels against scipy, and against definitions written out slowly."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from scipy.interpolate import griddata

from pixtally.kernels.delaunay import linear_values
from pixtally.kernels.fill import METHODS, fill_image, median_over_images, round_to
from pixtally.kernels.harmonic import harmonic_values
from pixtally.kernels.nearest import nearest_sources


def random_holes(shape, share, seed=0):
    return np.random.default_rng(seed).random(shape) < share


def blobs(shape, share, seed=0, size=3):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), size)
    return noise < np.quantile(noise, share)


def one_valid(shape):
    holes = np.ones(shape, bool)
    holes[shape[0] // 3, shape[1] // 2] = False
    return holes


MASKS = {
    "scattered": random_holes((61, 83), 0.11),
    "mostly holes": random_holes((61, 83), 0.97),
    "blobs": blobs((90, 70), 0.4),
    "long runs": blobs((90, 200), 0.8, size=9),
    "one valid": one_valid((40, 90)),
    "one row": random_holes((1, 50), 0.6),
    "one column": random_holes((50, 1), 0.6),
    "no holes": np.zeros((5, 4), bool),
    "border": np.pad(np.zeros((12, 30), bool), 19, constant_values=True),
}


@pytest.mark.parametrize("name", MASKS)
def test_nearest_sources_equal_scipys_distances(name):
    invalid = MASKS[name]
    holes, sources, squared = nearest_sources(invalid)
    distance = ndimage.distance_transform_edt(invalid)
    assert np.array_equal(holes, np.flatnonzero(invalid))
    assert not invalid.flat[sources].any()
    gap = np.stack(np.divmod(holes, invalid.shape[1])) - np.divmod(sources, invalid.shape[1])
    assert np.array_equal((gap**2).sum(axis=0), squared)
    assert np.array_equal(squared, np.rint(distance.flat[holes] ** 2))


@settings(max_examples=80, deadline=None)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_nearest_sources_of_any_mask(invalid):
    holes, _, squared = nearest_sources(invalid)
    if invalid.all():
        assert len(holes) == 0
    else:
        expected = ndimage.distance_transform_edt(invalid).flat[holes] ** 2
        assert np.array_equal(squared, np.rint(expected))


def solve(values, invalid):
    places, found = harmonic_values(values, invalid)
    assert np.array_equal(places, np.flatnonzero(invalid))
    values.flat[places] = found


def laplace_residual(values, invalid):
    """Largest difference between a hole and the mean of its existing neighbours."""
    padded, inside = np.pad(values, 1), np.pad(np.ones(values.shape), 1)

    def around(a):
        return a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:]

    return np.abs(around(padded) / around(inside) - values)[invalid].max(initial=0)


@pytest.mark.parametrize("name", [n for n in MASKS if n != "no holes"])
def test_harmonic_solves_laplace(name):
    invalid = MASKS[name]
    rng = np.random.default_rng(1)
    image = rng.normal(size=invalid.shape) * 1e4 + 3e5
    values = np.where(invalid, np.nan, image)
    solve(values, invalid)
    assert np.array_equal(values[~invalid], image[~invalid])
    span = max(np.ptp(image[~invalid]), 1e-6)
    assert laplace_residual(values, invalid) <= 1e-6 * span


def test_harmonic_equals_a_direct_solver():
    from scipy.sparse import lil_array
    from scipy.sparse.linalg import spsolve

    invalid = blobs((24, 31), 0.5)
    image = np.random.default_rng(2).random(invalid.shape)
    number = {place: k for k, place in enumerate(zip(*np.nonzero(invalid), strict=True))}
    matrix, rhs = lil_array((len(number),) * 2), np.zeros(len(number))
    for (y, x), k in number.items():
        for other in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= other[0] < 24 and 0 <= other[1] < 31:
                matrix[k, k] += 1
                if other in number:
                    matrix[k, number[other]] = -1
                else:
                    rhs[k] += image[other]
    expected = spsolve(matrix.tocsr(), rhs)
    values = np.where(invalid, 0, image)
    solve(values, invalid)
    assert np.abs(values[invalid] - expected).max() < 1e-4


def triangles_around(points, valid, hole):
    """Interpolated values of all Delaunay triangles (empty circle) that contain the hole."""
    found = []
    for corners in combinations(range(len(points)), 3):
        a, b, c = points[list(corners)].astype(float)
        system = np.stack([b - a, c - a], axis=1)
        if abs(np.linalg.det(system)) < 1e-9:
            continue
        u, v = np.linalg.solve(system, hole - a)
        if min(u, v, 1 - u - v) < -1e-9:
            continue
        centre = np.linalg.solve(2 * system.T, [(b - a) @ (b + a), (c - a) @ (c + a)])
        radius = ((a - centre) ** 2).sum()
        if (((points - centre) ** 2).sum(axis=1) < radius - 1e-9).any():
            continue
        weights = np.array([1 - u - v, u, v])
        found.append(float(weights @ valid[list(corners)]))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_linear_is_a_delaunay_interpolation(seed):
    rng = np.random.default_rng(seed)
    image = rng.random((6, 7))
    invalid = rng.random((6, 7)) < (0.3, 0.5, 0.7, 0.2)[seed]
    found = np.full(image.shape, np.nan)
    found[invalid] = linear_values(image, invalid)
    points = np.argwhere(~invalid)
    for y, x in np.argwhere(invalid):
        choices = triangles_around(points, image[~invalid], np.array([y, x]))
        if choices:
            assert min(choices) - 1e-9 <= found[y, x] <= max(choices) + 1e-9
        else:
            assert np.isnan(found[y, x])


@pytest.mark.parametrize("name", ["scattered", "mostly holes", "blobs", "border"])
def test_linear_fill_equals_griddata_where_triangles_are_unique(name):
    invalid = MASKS[name]
    y, x = np.mgrid[: invalid.shape[0], : invalid.shape[1]]
    plane = 3.0 * y - 0.7 * x + 12
    expected = griddata(np.argwhere(~invalid), plane[~invalid], np.argwhere(invalid))
    filled, left = fill_image(np.where(invalid, -1.0, plane), invalid, "linear")
    inside = np.isfinite(expected)
    assert left == 0
    np.testing.assert_allclose(filled[invalid][inside], expected[inside], atol=1e-9)
    nearest, _ = fill_image(plane, invalid, "nearest")
    assert np.array_equal(filled[invalid][~inside], nearest[invalid][~inside])


def test_linear_fill_on_a_line_takes_the_nearest():
    filled, left = fill_image(np.array([[1.0, 0, 0, 4.0]]), np.array([[0, 1, 1, 0]]) > 0, "linear")
    assert filled.tolist() == [[1, 1, 4, 4]]
    assert left == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, np.float32, np.float64])
def test_fill_keeps_dtype_and_valid_pixels(method, dtype):
    rng = np.random.default_rng(5)
    image = rng.integers(1, 120, (33, 21)).astype(dtype)
    invalid = random_holes(image.shape, 0.3, 6)
    before = image.copy()
    filled, left = fill_image(image, invalid, method)
    assert (filled.dtype, left) == (image.dtype, 0)
    assert np.array_equal(filled[~invalid], image[~invalid])
    assert np.array_equal(image, before)
    assert filled.min() >= image[~invalid].min()
    assert filled.max() <= image[~invalid].max()
    if method in ("median", "mean"):
        expected = getattr(np, method)(image[~invalid].astype(float))
        np.testing.assert_allclose(filled[invalid], round_to(np.asarray(expected), image.dtype))


@pytest.mark.parametrize("method", METHODS)
def test_fill_leaves_images_without_valid_pixels(method):
    image = np.full((4, 5), np.nan)
    filled, left = fill_image(image, np.isnan(image), method)
    assert np.isnan(filled).all()
    assert left == 20


@pytest.mark.parametrize("method", METHODS)
def test_fill_does_not_use_or_touch_nan_that_is_not_asked_for(method):
    image = np.array([[0.0, np.nan, 5, 7], [5, 6, 0, np.inf], [1, 2, 3, 4.0]])
    filled, left = fill_image(image, image == 0, method)
    assert left == 0
    assert np.isfinite(filled[image == 0]).all()
    np.testing.assert_array_equal(filled[image != 0], image[image != 0])


@pytest.mark.parametrize("method", METHODS)
def test_max_distance_leaves_far_holes(method):
    invalid = MASKS["one valid"].copy()
    image = np.where(invalid, 0, 9).astype(np.uint8)
    filled, left = fill_image(image, invalid, method, max_distance=5)
    near = ndimage.distance_transform_edt(invalid) <= 5
    assert np.array_equal(filled == 9, near)
    assert left == (~near).sum()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 7, 12])
def test_median_over_images_is_numpys(dtype, n):
    rng = np.random.default_rng(n)
    images = rng.integers(0, 120, (n, 6, 5)).astype(dtype)
    invalid = rng.random(images.shape) < 0.4
    median, known = median_over_images(images, invalid)
    assert median.dtype == dtype
    for y, x in np.ndindex(6, 5):
        samples = images[:, y, x][~invalid[:, y, x]].astype(float)
        assert known[y, x] == (len(samples) > 0)
        if len(samples):
            assert median[y, x] == round_to(np.asarray(np.median(samples)), images.dtype)


def test_round_to_clips_and_rounds_half_to_even():
    wide = np.array([-1e30, -0.5, 0.5, 1.5, 1e30])
    assert round_to(wide, np.dtype(np.uint8)).tolist() == [0, 0, 0, 2, 255]
    assert round_to(wide, np.dtype(np.int64)).tolist() == [-(2**63), 0, 0, 2, 2**63 - 1]
