"""fill, colormaps and translate over collections: chunks, dtypes, real data, errors."""

import dask.array as da
import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import Normalize
from scipy import ndimage

import pixtally as pt
from pixtally.kernels.fill import METHODS, fill_image


def collection(dtype="u1", chunks=(2, 1, 7, 9)):
    """Seven images of three channels with zeros; the third is all zeros."""
    samples = np.random.default_rng(0).integers(0, 9, (7, 3, 20, 30)).astype(dtype)
    samples[2] = 0
    dims = ("image", "channel", "y", "x")
    coords = {"y": np.arange(20) * 0.5, "image_id": ("image", list("abcdefg"))}
    return xr.DataArray(da.from_array(samples, chunks), coords, dims, "images", {"unit": "K"})


@pytest.mark.parametrize("method", [*METHODS, "temporal_median", "constant"])
def test_fill_does_not_depend_on_chunks(method):
    value = 200 if method == "constant" else None
    results = [
        pt.fill(collection(chunks=c), 0, method, value=value)
        for c in [(2, 1, 7, 9), (7, 3, 20, 30), (1, 3, 20, 4)]
    ]
    computed = [r.compute() for r in results]
    samples = collection().values
    for result in computed:
        xr.testing.assert_identical(result, computed[0])
        assert result.dtype == np.uint8
        assert np.array_equal(result.values[samples != 0], samples[samples != 0])
    left = [0, 0, 1800, 0, 0, 0, 0] if method in METHODS else [0] * 7
    assert computed[0]["unfilled"].values.tolist() == left
    assert computed[0].attrs == {"unit": "K"}
    assert list(computed[0]["image_id"].values) == list("abcdefg")
    if method in METHODS:
        expected, _ = fill_image(samples[4, 1], samples[4, 1] == 0, method)
        assert np.array_equal(computed[0].values[4, 1], expected)
    elif method == "temporal_median":
        valid = np.where(samples == 0, np.nan, samples)
        usual = np.rint(np.nanmedian(valid, axis=0))
        expected = np.where(samples == 0, usual, samples)
        assert np.array_equal(computed[0], expected)


def test_fill_is_lazy_and_whole_frames_fit_a_chunk():
    read = []

    def watched(block):
        read.append(block.shape)
        return block

    images = collection()
    lazy = pt.fill(
        images.copy(data=images.data.map_blocks(watched, dtype="u1", meta=np.empty((0,) * 4, "u1")))
    )
    assert read == []
    assert lazy.chunksizes["y"] == (20,)
    assert lazy.chunksizes["image"] == (2, 2, 2, 1)
    wide = xr.DataArray(da.zeros((9, 4096, 4096), chunks=(9, 256, 256)), dims=("image", "y", "x"))
    assert pt.fill(wide, "nan").chunks == ((1,) * 9, (4096,), (4096,))


def test_where_as_value_nan_mask_and_function():
    images = collection("f4").isel(channel=0, drop=True)
    nan = images.where(images != 0)
    expected = pt.fill(images, 0).values
    zero = images.values == 0
    assert np.array_equal(pt.fill(nan, "nan").values[:2], expected[:2])
    assert np.array_equal(pt.fill(nan, np.nan).values[:2], expected[:2])
    assert np.array_equal(pt.fill(images, zero), expected)
    assert np.array_equal(pt.fill(images, images == 0), expected)
    assert np.array_equal(pt.fill(images, lambda block: block == 0), expected)
    assert np.array_equal(pt.fill(images.values, 0), expected)
    one = zero[0]
    for mask in (one, xr.DataArray(one, dims=("y", "x")), xr.DataArray(one.T, dims=("x", "y"))):
        filled = pt.fill(images, mask, "constant", value=50)
        assert np.array_equal(filled == 50, np.broadcast_to(one, filled.shape))
    a_channel = collection().isel(image=0)["channel"].size
    per_channel = np.arange(a_channel * 600).reshape(a_channel, 20, 30) % 7 == 0
    filled = pt.fill(collection(), per_channel, "constant", value=99)
    assert np.array_equal(filled.values[5] == 99, per_channel)
    assert np.array_equal(pt.fill(collection(), "nan"), collection())
    assert pt.fill(images.values[0]).shape == (20, 30)


def test_max_distance_is_reported():
    image = np.zeros((1, 9, 9), "u1")
    image[0, 4, 4] = 7
    for method, value in (("nearest", None), ("constant", 7)):
        filled = pt.fill(image, 0, method, value=value, max_distance=2).compute()
        assert (filled == 7).sum() == 13
        assert filled["unfilled"].values.tolist() == [81 - 13]


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_colormaps_round_trip(dtype):
    """Every colormap: within half a step where no colour is repeated, said where one is."""
    step = 3000 / 256
    for name in list(matplotlib.colormaps):
        if dtype == np.float64 and name.endswith("_r"):
            continue
        cmap = matplotlib.colormaps[name]
        values = 1500 + 3000 * (np.arange(4 * cmap.N) + 0.5) / (4 * cmap.N)
        picture = pt.apply_colormap(values, name, vmin=1500, vmax=4500)
        expected = cmap(Normalize(1500, 4500)(values), bytes=True)
        assert np.array_equal(picture, expected)
        if dtype == np.float64:
            picture = cmap(Normalize(1500, 4500)(values))
        back = pt.invert_colormap(picture, cmap, vmin=1500, vmax=4500).compute()
        step = 3000 / cmap.N
        clear = ~back["ambiguous"].values
        error = np.abs(back["value"].values - values)
        assert (error[clear] <= step / 2).all(), name
        assert back["distance"].values.max() < 1e-6
        if dtype == np.uint8:
            colours = cmap(np.arange(cmap.N), bytes=True)[:, :3]
            repeated = len(np.unique(colours, axis=0)) < cmap.N
            assert clear.all() != repeated, name


def test_colormap_as_object_table_and_legend_strip():
    values = np.linspace(0, 1, 50).reshape(5, 10)
    strip = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)
    expected = pt.apply_colormap(values, "viridis", vmin=0, vmax=1)
    for table in (strip, strip[:, :3], strip / 255, matplotlib.colormaps["viridis"]):
        coloured = pt.apply_colormap(values, table, vmin=0, vmax=1)
        assert np.abs(coloured.astype(int) - expected.astype(int)).max() <= 1
        back = pt.invert_colormap(expected, table, vmin=0, vmax=1)["value"]
        assert np.abs(back - values).max() <= 0.5 / 256 + 1e-12


def test_inversion_of_stacks_tolerance_and_transparency():
    values = np.random.default_rng(0).random((4, 6, 8))
    values[0, 0, 0] = np.nan
    images = xr.DataArray(da.from_array(values, (3, 4, 5)), dims=("image", "y", "x"))
    picture = pt.apply_colormap(images, "viridis", vmin=0, vmax=1)
    assert picture.dims == ("image", "y", "x", "channel")
    planes = picture.transpose("image", "channel", "y", "x").chunk(channel=1)
    back = pt.invert_colormap(planes, "viridis", vmin=0, vmax=1).compute()
    assert back["value"].dims == ("image", "y", "x")
    assert np.isnan(back["value"].values[0, 0, 0])
    error = np.abs(back["value"] - values).where(~back["ambiguous"])
    assert float(error.max()) <= 0.5 / 256 + 1e-12
    bluer = np.array([0, 0, 20])[:, None, None]
    shifted = (planes.isel(channel=slice(3)).astype(int) + bluer).clip(0, 255)
    far = pt.invert_colormap(shifted.astype("u1"), "viridis", vmin=0, vmax=1, tolerance=3)
    assert (np.isnan(far["value"]) == (far["distance"] > 3)).all()
    assert (far["distance"] > 3).any()


def test_retina_through_jet_and_jpeg(data_dir):
    import io

    from PIL import Image

    retina = np.asarray(Image.open(data_dir / "photo" / "retina.jpg").convert("L")).astype("f4")
    picture = pt.apply_colormap(retina, "jet", vmin=0, vmax=255).values[..., :3]
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "jpeg", quality=90)
    degraded = np.asarray(Image.open(file))
    back = pt.invert_colormap(degraded, "jet", vmin=0, vmax=255).compute()
    error = np.abs(back["value"] - retina) / 255
    assert float(error.median()) <= 0.01
    believed = pt.invert_colormap(degraded, "jet", vmin=0, vmax=255, tolerance=10)["value"]
    assert float((np.abs(believed - retina) / 255).quantile(0.95)) <= 0.05


def test_satellite_border_of_zeros(data_dir):
    import tifffile

    scene = tifffile.imread(data_dir / "sat_rasterio_nodata" / "RGB.byte.tif")
    planes = np.moveaxis(scene, -1, 0) if scene.shape[-1] == 3 else scene
    images = xr.DataArray(planes, dims=("image", "y", "x")).chunk(image=1, y=200, x=300)
    filled = pt.fill(images, where=0).compute()
    assert (filled != 0).all()
    assert filled["unfilled"].sum() == 0
    index = ndimage.distance_transform_edt(planes[0] == 0, return_indices=True)[1]
    same = (filled[0].values == planes[0][tuple(index)]).mean()
    assert same > 0.999  # equally near pixels may differ
    for method in ("linear", "harmonic"):
        smooth = pt.fill(images.isel(image=[0]), 0, method)
        assert smooth.values[planes[:1] == 0].min() >= planes[0][planes[0] > 0].min()


def test_clouds_replaced_by_what_is_usual(data_dir):
    folder = data_dir / "sat_eolearn"
    ndvi, valid = (np.load(folder / f"{name}.npy")[..., 0] for name in ("NDVI", "IS_VALID"))
    images = xr.DataArray(ndvi, dims=("image", "y", "x")).chunk(image=10, y=40)
    filled = pt.fill(images, ~valid, "temporal_median").compute()
    usual = np.nanmedian(np.where(valid, ndvi, np.nan), axis=0)
    assert filled.dtype == np.float32
    np.testing.assert_allclose(filled, np.where(valid, ndvi, usual), rtol=1e-6)
    nearest = pt.fill(images, ~valid).compute()
    assert (nearest["unfilled"].values == 10100).sum() == 20
    assert np.array_equal(nearest["unfilled"] > 0, ~valid.any(axis=(1, 2)))


@pytest.mark.parametrize("method", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("output", ["same", "full"])
def test_translate_does_not_depend_on_chunks(method, output):
    shifts = np.random.default_rng(3).uniform(-4, 4, (7, 2))
    shifts[0] = 2, -1
    results = [
        pt.translate(collection("f8", c), shifts, method, output=output, fill=-1).compute()
        for c in [(2, 1, 7, 9), (7, 3, 20, 30)]
    ]
    xr.testing.assert_identical(*results)
    left, top = (int(np.ceil(max(0, -shifts[:, k].min()))) for k in (0, 1))
    if output == "same":
        left = top = 0
    samples = collection().values.astype(float)
    padded = np.pad(samples[3, 2], 9, constant_values=-1)
    expected = ndimage.shift(
        padded,
        shifts[3][::-1],
        order={"nearest": 0, "linear": 1, "cubic": 3}[method],
        mode="grid-constant",
        cval=-1,
    )[9 - top :, 9 - left :]
    found = results[0].values[3, 2]
    atol = 1e-4 if method == "cubic" else 1e-9
    np.testing.assert_allclose(found, expected[: found.shape[0], : found.shape[1]], atol=atol)


def test_translate_keeps_and_continues_coordinates():
    images = collection()
    same = pt.translate(images, (1.5, -2))
    assert same.sizes == images.sizes
    assert np.array_equal(same["y"], images["y"])
    full = pt.translate(images, (1.5, -2), output="full")
    assert dict(full.sizes) == {"image": 7, "channel": 3, "y": 22, "x": 32}
    assert full["y"].values.tolist() == list(np.arange(-2, 20) * 0.5)
    assert list(full["image_id"].values) == list("abcdefg")
    whole = pt.translate(images > 3, (2, 0), fill=False)
    assert np.array_equal(whole.values[..., 2:], (images > 3).values[..., :-2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: pt.fill(i, 0, "closest"), "use nearest, linear"),
        (lambda i: pt.fill(i, "zero"), "a number, 'nan', a mask"),
        (lambda i: pt.fill(i, np.ones((4, 5), bool)), r"where has shape \(4, 5\)"),
        (lambda i: pt.fill(i, xr.DataArray(np.ones(4, bool), dims="y")), "'y' of 4"),
        (lambda i: pt.fill(i, np.ones((20, 30))), "a mask is boolean"),
        (lambda i: pt.fill(i, 0, "constant"), "value= belongs to 'constant'"),
        (lambda i: pt.fill(i, 0, value=3), "value= belongs to 'constant'"),
        (lambda i: pt.fill(i, 0, "constant", value=300), "whole number from 0 to 255"),
        (lambda i: pt.fill(i, 0, max_distance=-1), "positive number"),
        (lambda i: pt.fill(i > 0, 0, "mean"), "use method='nearest'"),
        (lambda i: pt.fill(i.isel(image=0), 0, "temporal_median"), "dimension 'image'"),
        (lambda i: pt.fill(i.rename(y="rows")), "name those of a frame y and x"),
        (lambda i: pt.fill(i.values.ravel()), "plain arrays are"),
        (lambda i: pt.fill(i.isel(image=[])), "nothing in it"),
        (lambda i: pt.fill(i.to_dataset()), r"images\['name'\]"),
        (lambda i: pt.fill(i, lambda b: b).compute(), "returns booleans"),
        (lambda i: pt.apply_colormap(i, "virdis", vmin=0, vmax=1), "near: viridis"),
        (lambda i: pt.apply_colormap(i, np.ones((3, 5)), vmin=0, vmax=1), r"shape \(3, 5\)"),
        (lambda i: pt.apply_colormap(i, np.full((3, 3), 2.0), vmin=0, vmax=1), "from 0 to 1"),
        (lambda i: pt.apply_colormap(i, "jet", vmin=1, vmax=1), "vmin < vmax"),
        (lambda i: pt.apply_colormap(i, "jet", vmin=0, vmax=np.inf), "finite"),
        (lambda i: pt.invert_colormap(i.isel(channel=[0]), "jet", vmin=0, vmax=1), "3 .RGB. or 4"),
        (lambda i: pt.invert_colormap(i.astype(int), "jet", vmin=0, vmax=1), "use uint8"),
        (lambda i: pt.invert_colormap(i, "jet", vmin=0, vmax=1, tolerance=-1), "0 or more"),
        (lambda i: pt.translate(i, (np.nan, 0)), "finite number of pixels"),
        (lambda i: pt.translate(i, [(1, 2)] * 3), r"\(7, 2\)"),
        (lambda i: pt.translate(i, (1, 2), "spline"), "use nearest or linear or cubic"),
        (lambda i: pt.translate(i, (1, 2), output="big"), "use same or full"),
        (lambda i: pt.translate(i, (1, 2), fill=np.nan), "astype"),
        (lambda i: pt.translate(i > 0, (1.5, 2)), "use method='nearest'"),
    ],
)
def test_errors_are_one_line_with_the_fix(call, message):
    with pytest.raises(pt.PixtallyError, match=message) as error:
        call(collection())
    assert "\n" not in str(error.value)
