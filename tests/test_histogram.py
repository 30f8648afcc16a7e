"""Per-pixel histograms: equal to numpy.histogram of every pixel, whatever the chunks."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import pixtally as pt
from pixtally import PixtallyError, plan
from pixtally.axis import FLOWS, make_axis
from pixtally.histogram import finite_range, prepare
from pixtally.plan import Resources
from pixtally.sizes import GiB


def reference(images, axis, mask=None, weights=None):
    """Count every pixel with numpy, slowly; return (counts, flows) with flows last."""
    flat = images.reshape(len(images), -1)
    hidden = np.zeros(images.shape, bool) if mask is None else np.broadcast_to(mask, images.shape)
    hidden = hidden.reshape(flat.shape)
    tallies = []
    for pixel in range(flat.shape[1]):
        slots = axis.find(flat[:, pixel])
        slots[hidden[:, pixel]] = axis.bins + 2
        w = None if weights is None else weights
        tallies.append(np.bincount(slots, weights=w, minlength=axis.slots))
    return np.array(tallies).reshape(*images.shape[1:], axis.slots)


def tallies(hist):
    flows = [hist[name].values[..., None] for name in FLOWS]
    return np.concatenate([hist.counts.values, *flows], axis=-1)


CASES = {
    "u1 full": ("u1", {}),
    "i1 full": ("i1", {}),
    "bool": ("?", {}),
    "u1 range": ("u1", {"bins": 17, "range": (20, 200)}),
    "u1 right": ("u1", {"bins": 256, "range": (0, 256), "closed": "right"}),
    "u2": ("u2", {"bins": 512, "range": (0, 65536)}),
    "i2": ("i2", {"bins": 33, "range": (-1000.5, 999)}),
    "i4": ("i4", {"bins": 10, "range": (-5, 200)}),
    "i8": ("i8", {"bins": [0, 10, 11, 300]}),
    "u8": ("u8", {"bins": 7, "range": (0, 100)}),
    "f2": ("f2", {"bins": 100, "range": (0, 250)}),
    "f4": ("f4", {"bins": 100, "range": (0, 250)}),
    "f8 edges": ("f8", {"bins": [0.0, 0.5, 100, 200.25], "closed": "right"}),
    "many bins": ("u2", {"bins": 5000, "range": (0, 5000)}),
}


def samples_of(dtype, shape, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, shape)
    if dtype == "?":
        return values > 128
    found = (values - 128 if np.dtype(dtype).kind == "i" else values).astype(dtype)
    if np.dtype(dtype).kind == "f":
        found.ravel()[::17] = np.nan
        found.ravel()[::29] = np.inf
    return found


@pytest.mark.parametrize("name", CASES)
def test_equals_the_plain_count(name):
    dtype, arguments = CASES[name]
    images = samples_of(dtype, (50, 6, 7))
    hist = pt.pixel_histogram(images, **arguments)
    axis = make_axis(dtype, **arguments)
    np.testing.assert_array_equal(tallies(hist), reference(images, axis))
    assert hist.counts.dtype == np.uint8
    total = hist.counts.sum("bin") + sum(hist[f].astype(int) for f in FLOWS)
    assert (total == 50).all()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", "i4"])
def test_equals_numpy_histogram_itself(dtype):
    images = samples_of(dtype, (200, 3, 3))
    hist = pt.pixel_histogram(images, bins=37, range=(-3.3, 251))
    for y, x in np.ndindex(3, 3):
        pixel = images[:, y, x].astype(np.float64)
        expected = np.histogram(pixel[np.isfinite(pixel)], bins=37, range=(-3.3, 251))[0]
        np.testing.assert_array_equal(hist.counts[y, x], expected)


@given(data=st.data())
@settings(max_examples=40)
def test_chunks_never_change_the_answer(data):
    shape = tuple(data.draw(st.integers(1, 12), label=n) for n in ("images", "y", "x"))
    chunks = tuple(data.draw(st.integers(1, n), label="chunk") for n in shape)
    name = data.draw(st.sampled_from([n for n in CASES if n != "many bins"]))
    dtype, arguments = CASES[name]
    images = samples_of(dtype, shape, data.draw(st.integers(0, 99)))
    masked = data.draw(st.booleans())
    mask = np.random.default_rng(1).random(shape) < 0.3 if masked else None
    dims = data.draw(st.permutations(["image", "y", "x"]))
    lazy = xr.DataArray(da.from_array(images, chunks=chunks), dims=("image", "y", "x"))
    hidden = None if mask is None else xr.DataArray(mask, dims=("image", "y", "x"))
    found = pt.pixel_histogram(lazy.transpose(*dims), **arguments, mask=hidden)
    found = found.transpose("y", "x", ..., "bin")
    np.testing.assert_array_equal(
        tallies(found), reference(images, make_axis(dtype, **arguments), mask)
    )


@given(
    arrays(np.float32, (4, 2), elements=st.floats(width=32)),
    st.integers(1, 9),
)
def test_any_float_is_counted_somewhere(samples, bins):
    hist = pt.pixel_histogram(samples, bins=bins, range=(-1, 1)).compute()
    total = hist.counts.sum("bin") + hist.underflow + hist.overflow + hist.invalid
    assert (total == 4).all()


def test_segments_are_added_in_a_tree(client, monkeypatch):
    monkeypatch.setattr(plan, "LEAST_SEGMENT", 1)
    images = np.random.default_rng(0).integers(0, 9, (6000, 4, 4)).astype(np.uint8)
    lazy = xr.DataArray(da.from_array(images, chunks=(100, 4, 4)), dims=("image", "y", "x"))
    tally = prepare(lazy, bins=9, range=(0, 9), resources=Resources(16, 1, 4 * GiB))
    assert tally.plan.segments > 4
    hist = pt.pixel_histogram(lazy, bins=9, range=(0, 9), resources=Resources(16, 1, 4 * GiB))
    expected = reference(images, make_axis("u1", bins=9, range=(0, 9)))
    np.testing.assert_array_equal(tallies(hist), expected)
    computed = client.compute(hist).result()
    np.testing.assert_array_equal(tallies(computed), expected)


def test_other_dimensions_and_coordinates_are_kept():
    images = xr.DataArray(
        np.random.default_rng(0).integers(0, 255, (5, 2, 3, 4)).astype("u1"),
        dims=("time", "channel", "lat", "lon"),
        coords={"time": list("abcde"), "channel": ["r", "g"], "lat": [1.0, 2.0, 3.0]},
    )
    hist = pt.pixel_histogram(images, dim="time")
    assert hist.counts.dims == ("channel", "lat", "lon", "bin")
    assert hist.channel.values.tolist() == ["r", "g"]
    assert hist.lat.values.tolist() == [1, 2, 3]
    assert hist.image_id.values.tolist() == list("abcde")
    np.testing.assert_array_equal(tallies(hist), reference(images.values, make_axis("u1")))


def test_four_dimensional_with_one_channel():
    images = np.random.default_rng(0).integers(0, 255, (9, 1, 5, 6)).astype("u1")
    hist = pt.pixel_histogram(images)
    assert hist.counts.shape == (1, 5, 6, 256)
    assert hist.tally.median().shape == (1, 5, 6)


MASKS = {
    "one image": lambda rng: rng.random((6, 7)) < 0.5,
    "each image": lambda rng: rng.random((50, 6, 7)) < 0.5,
    "images": lambda rng: rng.random(50) < 0.5,
}


@pytest.mark.parametrize("form", MASKS)
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_masks_of_every_form(form, dtype):
    images = samples_of(dtype, (50, 6, 7))
    mask = MASKS[form](np.random.default_rng(5))
    axis = make_axis(dtype, bins=9, range=(0, 256))
    hist = pt.pixel_histogram(images, bins=9, range=(0, 256), mask=mask)
    full = mask.reshape(50, 1, 1) if mask.ndim == 1 else mask
    np.testing.assert_array_equal(tallies(hist), reference(images, axis, full))


def test_weights_are_summed():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 3, 4)).astype("u1")
    weights = rng.random(40)
    hist = pt.pixel_histogram(images, bins=8, range=(0, 256), weights=weights)
    for y, x in np.ndindex(3, 4):
        expected = np.histogram(images[:, y, x], 8, (0, 256), weights=weights)[0]
        np.testing.assert_allclose(hist.counts[y, x], expected, rtol=1e-12)
    each = rng.random((40, 3, 4))
    lazy = xr.DataArray(images, dims=("image", "y", "x")).chunk({"image": 7, "x": 3})
    hist = pt.pixel_histogram(lazy, bins=8, range=(0, 256), weights=each)
    expected = np.histogram(images[:, 1, 2], 8, (0, 256), weights=each[:, 1, 2])[0]
    np.testing.assert_allclose(hist.counts[1, 2], expected, rtol=1e-12)
    assert hist.attrs["weighted"] == 1


def test_range_is_found_as_numpy_finds_it():
    images = samples_of("f4", (30, 4, 4))
    hist = pt.pixel_histogram(images, bins=10)
    finite = images[np.isfinite(images)].astype("f8")
    edges = np.histogram_bin_edges(finite, 10)
    np.testing.assert_array_equal(hist.bin_bounds.values[:, 0], edges[:-1])
    assert finite_range(da.full((3, 3), 2.0)) == (1.5, 2.5)
    assert finite_range(da.full((3, 3), np.nan)) == (0.0, 1.0)


def test_computed_images_share_what_they_share():
    """Every chunk needs the mean of whole images: it is computed once, not once a tile."""
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8)).astype("u1")
    lazy = xr.DataArray(da.from_array(images, chunks=(4, 4, 4)), dims=("image", "y", "x"))
    centred = lazy - lazy.mean(("y", "x"))
    hist = pt.pixel_histogram(centred, bins=20, range=(-150, 150))
    axis = make_axis("f8", bins=20, range=(-150, 150))
    expected = reference(images - images.mean((1, 2), keepdims=True), axis)
    np.testing.assert_array_equal(tallies(hist), expected)
    names = {str(k[0]) for k in hist.counts.data.__dask_graph__() if isinstance(k, tuple)}
    assert any("mean" in n for n in names), "the means are tasks of their own"


def test_opens_with_cf_xarray():
    import cf_xarray  # noqa: F401

    hist = pt.pixel_histogram(np.zeros((3, 2, 2), "u1"), bins=4, range=(0, 256))
    edges = hist.cf.bounds_to_vertices("bin") if hasattr(hist.cf, "bounds_to_vertices") else None
    assert hist.cf.bounds["bin"] == ["bin_bounds"]
    assert edges is None or edges["bin_vertices"].values.tolist() == [0, 64, 128, 192, 256]


BAD = {
    "empty": (lambda a: {"images": a[:0]}, "nothing to count"),
    "two dims of mask": (lambda a: {"images": a, "mask": np.zeros((3, 3), bool)}, "mask has shape"),
    "float mask": (lambda a: {"images": a, "mask": np.zeros((4, 5))}, "boolean"),
    "dim": (lambda a: {"images": a, "dim": "t"}, None),
    "weights": (lambda a: {"images": a, "weights": [1.0, 2.0]}, "weights has shape"),
    "nan weights": (lambda a: {"images": a, "weights": [np.nan] * 6}, "finite weight"),
    "complex": (lambda a: {"images": a.astype("c8")}, "integers, floats"),
    "text": (lambda a: {"images": a.astype("U3")}, "integers, floats"),
    "5-D": (lambda a: {"images": a[None, None, None]}, "wrap others"),
    "dataset": (lambda a: {"images": xr.Dataset({"v": ("image", [1])})}, "Dataset with v"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name):
    make, words = BAD[name]
    arguments = make(np.zeros((6, 4, 5), "u1"))
    if words is None:
        arguments["images"] = xr.DataArray(arguments["images"], dims=("image", "y", "x"))
        words = "name the one along which"
    with pytest.raises(PixtallyError, match=words) as caught:
        pt.pixel_histogram(**arguments)
    assert "\n" not in str(caught.value)


def test_merge():
    rng = np.random.default_rng(0)
    images = xr.DataArray(
        rng.integers(0, 256, (300, 3, 3)).astype("u1"),
        dims=("image", "y", "x"),
        coords={"image_id": ("image", [f"i{k}" for k in range(300)])},
    )
    first, second = pt.pixel_histogram(images[:200]), pt.pixel_histogram(images[200:])
    both = pt.merge_histograms(first, second)
    whole = pt.pixel_histogram(images)
    np.testing.assert_array_equal(tallies(both), tallies(whole))
    assert both.counts.dtype == whole.counts.dtype == np.uint16
    assert both.image_id.values.tolist() == whole.image_id.values.tolist()
    assert both.attrs["n_images"] == 300
    with pytest.raises(PixtallyError, match=r"200 images are in both histograms \(i0, i1, i10"):
        pt.merge_histograms(first, whole)
    other = pt.pixel_histogram(images[200:], bins=10, range=(0, 10))
    with pytest.raises(PixtallyError, match=r"256 integer bins .* and 10 integer bins"):
        pt.merge_histograms(first, other)
    with pytest.raises(PixtallyError, match="different pixels"):
        pt.merge_histograms(first, pt.pixel_histogram(images[200:, :2]))


@given(st.lists(st.integers(1, 5), min_size=3, max_size=3), st.integers(0, 100))
@settings(max_examples=20)
def test_merging_is_associative(sizes, seed):
    images = samples_of("u1", (sum(sizes), 2, 2), seed)
    ids = np.arange(len(images)).astype(str)
    parts = np.split(np.arange(len(images)), np.cumsum(sizes)[:-1])
    a, b, c = (
        pt.pixel_histogram(
            xr.DataArray(
                images[p], dims=("image", "y", "x"), coords={"image_id": ("image", ids[p])}
            )
        )
        for p in parts
    )
    left = pt.merge_histograms(pt.merge_histograms(a, b), c)
    right = pt.merge_histograms(a, pt.merge_histograms(b, c))
    np.testing.assert_array_equal(tallies(left), tallies(right))
    np.testing.assert_array_equal(tallies(left), tallies(pt.pixel_histogram(images)))
