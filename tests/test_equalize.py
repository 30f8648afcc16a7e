"""Equalization of collections: chunks, scopes, masks, channels, bad input, real images."""

from __future__ import annotations

import cv2
import dask
import dask.array as da
import h5py
import imageio.v3 as iio
import numpy as np
import pytest
import xarray as xr
from skimage import exposure

import pixtally as pt
from pixtally.planes import computed_again


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def images_of(dtype, shape=(4, 2, 33, 27)):
    made = np.random.default_rng(0).gamma(4, 20, shape).clip(0, 250)
    if dtype == "uint16":
        made = made * 100
    return made.astype(dtype)


CHUNKS = [(2, 1, 20, 27), (4, 2, 33, 27), (3, 2, 13, 11)]
CASES = [
    (method, dtype)
    for method in ("interp", "cdf", "lut", "opencv", "rank", "matlab")
    for dtype in ("uint8", "int16", "uint16", "float32", "float64")
    if dtype[0] == "u" or method not in ("lut", "opencv")
]


@pytest.mark.parametrize("scope", ["image", "collection"])
@pytest.mark.parametrize(("method", "dtype"), CASES)
def test_chunks_change_nothing(method, dtype, scope):
    if scope == "collection" and method == "rank" and dtype[0] == "f":
        pytest.skip("float ranks of a collection are refused")
    images = images_of(dtype)
    if method == "matlab" and dtype[0] == "f":
        images /= 250
    mask = np.random.default_rng(1).random((33, 27)) < 0.2
    fill = {"fill": 0} if method == "rank" else {}
    expected = pt.equalize(images, method, scope=scope, mask=mask, **fill)
    for chunks in CHUNKS:
        lazy = pt.equalize(
            da.from_array(images, chunks=chunks), method, scope=scope, mask=mask, **fill
        )
        assert isinstance(lazy.data, da.Array)
        assert lazy.dtype == expected.dtype
        np.testing.assert_array_equal(lazy.compute(), expected)


def test_a_collection_is_one_long_image():
    images = images_of("float64")
    together = pt.equalize(images, "cdf", scope="collection").values
    for channel in (0, 1):
        long = images[:, channel].reshape(1, -1, 27)
        expected = pt.equalize(long, "cdf").values.reshape(4, 33, 27)
        np.testing.assert_array_equal(together[:, channel], expected)


def test_labels_are_kept():
    named = xr.DataArray(
        images_of("uint8"),
        dims=("image", "channel", "y", "x"),
        coords={"image_id": ("image", list("abcd")), "x": np.arange(27.0)},
        attrs={"units": "counts"},
        name="frames",
    ).transpose("y", "image", "x", "channel")
    made = pt.equalize(named.chunk(image=1), "lut")
    assert made.dims == named.dims
    assert set(made.coords) == {"image_id", "x"}
    straight = pt.equalize(images_of("uint8"), "lut")
    np.testing.assert_array_equal(made.transpose(*straight.dims), straight)


def test_each_pass_reads_for_itself():
    images = da.from_array(images_of("uint8"), chunks=(4, 2, 16, 27)).rechunk((4, 2, 11, 27)) + 1
    again = computed_again(images, "again")
    np.testing.assert_array_equal(again, images)
    assert not set(again.__dask_graph__()) & set(images.__dask_graph__())


def test_one_histogram_per_pixel(client):
    images = images_of("uint8")[:, 0]
    hist = pt.pixel_histogram(images, bins=256, range=(0, 256))
    for method in ("interp", "cdf", "lut", "opencv", "rank", "matlab"):
        made = pt.equalize(images, method, scope="pixel", histogram=hist)
        lazy = pt.equalize(
            da.from_array(images, chunks=(2, 20, 20)), method, scope="pixel", histogram=hist
        )
        np.testing.assert_array_equal(lazy.compute(), made)
        if method != "interp":
            columns = np.moveaxis(images, 0, -1).reshape(1, 33 * 27, 1, 4)
            turned = pt.equalize(columns[0], method).values.reshape(33, 27, 4)
            np.testing.assert_array_equal(made.values, np.moveaxis(turned, -1, 0))


def test_luminance_equals_opencv():
    rgb = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 50)).astype(np.uint8)
    found = pt.equalize(rgb, "opencv", channels="luminance")
    for image, made in zip(rgb, found.values, strict=True):
        ycc = cv2.cvtColor(np.ascontiguousarray(image.transpose(1, 2, 0)), cv2.COLOR_RGB2YCrCb)
        ycc[..., 0] = cv2.equalizeHist(np.ascontiguousarray(ycc[..., 0]))
        expected = cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB).transpose(2, 0, 1)
        np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize(
    ("dtype", "method", "out"),
    [("uint8", "interp", None), ("float64", "cdf", None), ("uint8", "cdf", "uint8")],
)
def test_luminance_keeps_units_and_chunks_change_nothing(dtype, method, out):
    rgb = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 50)).astype(np.uint8)
    rgb = rgb if dtype == "uint8" else rgb / 255
    mask = np.random.default_rng(1).random((40, 50)) < 0.2
    whole = pt.equalize(rgb, method, channels="luminance", mask=mask, dtype=out)
    lazy = pt.equalize(
        da.from_array(rgb, chunks=(1, 1, 13, 50)),
        method,
        channels="luminance",
        mask=mask,
        dtype=out,
    )
    np.testing.assert_array_equal(lazy.compute(), whole)
    assert np.nanmax(whole) <= (1 if dtype == "float64" else 255)
    if out is None:
        assert np.isnan(whole.values[:, :, mask]).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_clahe_chunks_change_nothing(dtype):
    images = images_of(dtype)
    mask = np.random.default_rng(1).random((33, 27)) < 0.1
    span = {"range": (0, 250)} if dtype == "float32" else {}
    for left_out in (None, mask):
        whole = pt.clahe(images, 2.0, (4, 3), mask=left_out, **span)
        assert whole.dtype == dtype
        for chunks in CHUNKS:
            lazy = pt.clahe(
                da.from_array(images, chunks=chunks), 2.0, (4, 3), mask=left_out, **span
            )
            np.testing.assert_array_equal(lazy.compute(), whole)


def test_clahe_keeps_nan_and_units():
    images = images_of("float64", (1, 20, 20))
    images[0, 3, 4] = np.nan
    made = pt.clahe(images, range=(0, 250), tiles=(2, 2)).values
    assert np.isnan(made[0, 3, 4])
    assert np.nanmax(made) <= 250


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
def test_matching_equals_scikit_image(dtype):
    images = images_of(dtype)
    reference = np.random.default_rng(3).normal(100, 20, (20, 31)).clip(0, 255).astype(dtype)
    expected = [[exposure.match_histograms(plane, reference) for plane in i] for i in images]
    found = pt.match_histogram(images, reference)
    np.testing.assert_array_equal(found, expected)
    for chunks in CHUNKS:
        lazy = da.from_array(images, chunks=chunks)
        made = pt.match_histogram(lazy, da.from_array(reference, chunks=7))
        assert isinstance(made.data, da.Array)
        np.testing.assert_array_equal(made.compute(), expected)


def test_matching_to_collections_channels_and_histograms():
    images = images_of("uint8")
    own = pt.match_histogram(images, images, dtype="uint8")
    for channel in (0, 1):
        alone = pt.match_histogram(images[:, channel], images[:, channel], dtype="uint8")
        np.testing.assert_array_equal(own[:, channel], alone)
    hist = pt.pixel_histogram(images[:, 0], bins=256, range=(0, 256))
    expected = pt.match_histogram(images[:, 0], images[:, 0])
    np.testing.assert_array_equal(pt.match_histogram(images[:, 0], hist), expected)
    lazy = da.from_array(images[:, 0], chunks=(1, 20, 20))
    np.testing.assert_array_equal(pt.match_histogram(lazy, hist).compute(), expected)


def test_matching_with_a_mask():
    images = images_of("uint8")
    mask = np.zeros((33, 27), bool)
    mask[0] = True
    made = pt.match_histogram(images, images[0, 0], mask=mask)
    assert np.isnan(made.values[..., 0, :]).all()
    bare = pt.match_histogram(images[..., 1:, :], images[0, 0])
    np.testing.assert_array_equal(made[..., 1:, :], bare)
    kept = pt.match_histogram(images, images[0, 0], mask=mask, dtype="uint8")
    np.testing.assert_array_equal(kept[..., 0, :], images[..., 0, :])


HIST = {"histogram": xr.Dataset({"a": 1})}
BAD = [
    ({"method": "fancy"}, "method is 'fancy'; expected one of interp"),
    ({"bins": 1}, "bins is 1; expected a whole number of 2 or more"),
    ({"bins": 2.5}, "bins is 2.5"),
    ({"range": (5, 5)}, "range is .*; expected two finite numbers, rising"),
    ({"range": (300, 400)}, r"range=\(300, 400\) holds no sample: uint8 is within 0 to 255"),
    ({"method": "lut", "range": (0, 5)}, "range= is for 'interp'"),
    ({"mask": np.zeros((3, 3), bool)}, r"mask has shape \(3, 3\), the images have"),
    ({"mask": np.zeros((33, 27))}, "mask is float64; it is boolean"),
    ({"mask": np.zeros((33, 27), bool), "method": "rank"}, "pass fill="),
    ({"dtype": "complex64"}, "dtype is complex64; expected integers"),
    ({"dtype": "uint8", "fill": 300}, "fill=300 does not fit into uint8"),
    ({"scope": "all"}, "scope is 'all'; expected 'image', 'collection' or 'pixel'"),
    ({"scope": "pixel"}, "pass histogram="),
    (HIST, "and only with it"),
    ({"scope": "pixel", **HIST}, "histogram holds a; expected one from pixel_histogram"),
    ({"channels": "luma"}, "channels is 'luma'; expected 'each' or 'luminance'"),
    ({"channels": "luminance"}, "channels='luminance' needs RGB images"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_told_in_one_line(arguments, message):
    with pytest.raises(pt.PixtallyError, match=message) as caught:
        pt.equalize(images_of("uint8"), **arguments)
    assert "\n" not in str(caught.value)


def test_more_bad_input():
    floats = images_of("float32")
    with pytest.raises(pt.PixtallyError, match="'opencv' maps the levels of uint8 and uint16"):
        pt.equalize(floats, "opencv")
    with pytest.raises(pt.PixtallyError, match="'rank' on float32 needs all samples at once"):
        pt.equalize(floats, "rank", scope="collection")
    with pytest.raises(pt.PixtallyError, match="holds no sample of an image that spans"):
        pt.equalize(da.from_array(floats, chunks=(1, 1, 9, 9)), range=(300, 400)).compute()
    floats[0, 0, 0, 0] = np.nan
    with pytest.raises(pt.PixtallyError, match=r"NaN cannot be kept in a uint8 result; pass fill="):
        pt.equalize(floats, "cdf", dtype="uint8")
    with pytest.raises(pt.PixtallyError, match="declare what they span"):
        pt.clahe(floats)
    with pytest.raises(pt.PixtallyError, match="tiles is"):
        pt.clahe(images_of("uint8"), tiles=(0, 8))
    with pytest.raises(pt.PixtallyError, match="expected image, one such as channel at most"):
        pt.equalize(xr.DataArray(np.zeros((1, 2, 3, 4, 5)), dims=("image", *"abyx")))
    with pytest.raises(pt.PixtallyError, match="reference holds no valid sample"):
        pt.match_histogram(floats, np.full((3, 3), np.nan))
    hist = pt.pixel_histogram(images_of("uint8")[:, 0], bins=16, range=(0, 256))
    with pytest.raises(pt.PixtallyError, match="one bin a value"):
        pt.equalize(images_of("uint8")[:, 0], "cdf", scope="pixel", histogram=hist)
    with pytest.raises(pt.PixtallyError, match="histogram is of pixels"):
        pt.equalize(images_of("uint8")[:, 0, :9], "cdf", scope="pixel", histogram=hist)


def recipe_of_numpy(image, bins=256):
    density, edges = np.histogram(image.ravel(), bins, density=True)
    cdf = density.cumsum()
    return np.interp(image.ravel(), edges[:-1], (bins - 1) * cdf / cdf[-1]).reshape(image.shape)


def check_real(images):
    """Compare every method with its judge on real images (n, y, x)."""
    found = pt.equalize(images, "interp")
    np.testing.assert_array_equal(found, np.stack([recipe_of_numpy(i) for i in images]))
    found = pt.equalize(images, "cdf")
    np.testing.assert_array_equal(found, np.stack([exposure.equalize_hist(i) for i in images]))
    found = pt.equalize(images, "rank")
    ranks = np.stack([np.sort(i.ravel()).searchsorted(i) for i in images])
    np.testing.assert_array_equal(found, ranks)
    clahe = [cv2.createCLAHE(2.0, (8, 8)).apply(i) for i in images]
    np.testing.assert_array_equal(pt.clahe(images), np.stack(clahe))
    matched = [exposure.match_histograms(i, images[0]) for i in images]
    np.testing.assert_array_equal(pt.match_histogram(images, images[0]), np.stack(matched))
    if images.dtype == np.uint8:
        found = pt.equalize(images, "opencv")
        np.testing.assert_array_equal(found, np.stack([cv2.equalizeHist(i) for i in images]))


def test_real_photographs(data_dir):
    files = sorted((data_dir / "small_signdigits_100").glob("*.JPG"))[:12]
    check_real(np.stack([iio.imread(file)[..., 1] for file in files]))


def test_real_detector_frames(data_dir):
    with h5py.File(data_dir / "xray_httomo" / "k11-18014-imaging.h5") as file:
        images = file["entry/detector/detector"][:40]
    check_real(images)


def test_real_scene_without_its_border(data_dir):
    import tifffile

    scene = tifffile.imread(data_dir / "sat_rasterio_nodata" / "RGB.byte.tif")
    scene = scene if scene.shape[0] == 3 else np.moveaxis(scene, -1, 0)
    mask = (scene == 0).all(axis=0)
    assert 0.3 < mask.mean() < 0.35
    found = pt.equalize(scene[None], "cdf", mask=mask).values[0]
    for band, made in zip(scene, found, strict=True):
        expected = exposure.equalize_hist(band, mask=~mask)
        np.testing.assert_array_equal(made[~mask], expected[~mask])
        assert np.isnan(made[mask]).all()
    bytes_ = pt.equalize(scene[None], "opencv", mask=mask).values[0]
    assert (bytes_[:, mask] == 0).all()


def test_flat_field_of_real_plate_fields(data_dir):
    files = sorted((data_dir / "micro_cp_illum").glob("*.TIF"))
    fields = np.stack([iio.imread(file) for file in files])
    check_real(fields[:2])
    hist = pt.pixel_histogram(fields, bins=256, range=(0, 256))
    flat = pt.equalize(fields, "cdf", scope="pixel", histogram=hist)
    assert unevenness(fields) > 0.2
    assert unevenness(flat) < 0.01


def unevenness(images):
    """Relative deviation of the mean field, in blocks of 32 by 32 pixels."""
    mean = np.asarray(images, np.float64).mean(axis=0)
    blocks = mean.reshape(16, 32, 16, 32).mean(axis=(1, 3))
    return blocks.std() / blocks.mean()
