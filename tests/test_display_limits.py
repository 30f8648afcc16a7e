"""Limits and pictures against what Octave and matplotlib show."""

import math

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import Normalize

import pixtally as pt

A = np.array([[10.0, 20], [30, 45]])
NAN = np.array([[np.nan, 20], [30, 45]])

# Octave 7.3: h = imshow(X); get(gca, "clim"), get(h, "cdata")        (imagesc(X) likewise)
#   octave-cli --no-gui --eval 'graphics_toolkit("gnuplot"); figure("visible", "off");
#     h = imshow(uint8([10 20; 30 45])); get(gca, "clim")'
OCTAVE_LIMITS = [
    ("octave", A, (0, 1)),
    ("minmax", A, (10, 45)),
    ("octave", A.astype("f4"), (0, 1)),
    ("octave", A > 15, (0, 1)),
    ("octave", A.astype("u1"), (0, 255)),
    ("minmax", A.astype("u1"), (10, 45)),
    ("octave", A.astype("u2"), (0, 65535)),
    ("octave", A.astype("i2"), (-32768, 32767)),
    ("minmax", A.astype("i2"), (10, 45)),
    ("octave", NAN, (0, 1)),
    ("minmax", NAN, (20, 45)),
    ("octave", np.full((2, 2), 7.0), (0, 1)),
    ("minmax", np.full((2, 2), 7.0), (7, 7)),
    ("imagesc", A, (10, 45)),
    ("imagesc", NAN, (20, 45)),
    ("imagesc", np.array([[np.inf, 20], [30, -np.inf]]), (20, 30)),
    ("imagesc", np.full((2, 2), 7.0), (6, 8)),
    ("imagesc", np.zeros((2, 2)), (-1, 1)),
    ("imagesc", np.full((2, 2), -2.5), (-3.5, -1.5)),
    ("imagesc", A.astype("u1"), (10, 45)),
    ("imagesc", np.full((2, 2), 7, "u1"), (6, 8)),
    ("imagesc", A > 15, (0, 1)),
    ("imagesc", np.full((2, 2), np.nan), (0, 1)),
    ("imagesc", np.full((2, 2), 1e6), (999999, 1000001)),
]


@pytest.mark.parametrize(("style", "image", "limits"), OCTAVE_LIMITS)
def test_limits_equal_octave(style, image, limits):
    assert pt.display_limits(image, style) == limits
    lazy = xr.DataArray(np.stack([image, image]), dims=("image", "y", "x")).chunk(image=1)
    assert pt.display_limits(lazy, style) == limits
    if style == "octave":
        assert pt.display_limits(image) == limits


@pytest.mark.parametrize("image", [A, NAN, A.astype("u1"), A.astype("i2"), np.full((2, 2), 3.0)])
def test_matplotlib_limits(image):
    norm = Normalize()
    norm.autoscale(np.ma.masked_invalid(image))
    assert pt.display_limits(image, "matplotlib") == (norm.vmin, norm.vmax)


@pytest.mark.parametrize("name", ["gray", "jet", "tab10"])
def test_matplotlib_pictures(name):
    rng = np.random.default_rng(0)
    cmap = matplotlib.colormaps[name]
    for image in (rng.normal(size=(9, 8)), rng.integers(0, 99, (9, 8), "u2")):
        expected = cmap(Normalize()(image), bytes=True)[..., :3]
        assert np.array_equal(pt.render(image, style="matplotlib", cmap=name), expected)
    assert (pt.render(np.array([[np.nan, 0, 1]]), style="matplotlib")[0, 0] == 255).all()
    constant = pt.render(np.full((2, 2), 5.0), style="matplotlib", cmap=name)
    assert np.array_equal(constant[0, 0], cmap(0.0, bytes=True)[:3])


def test_matlab_index_rule():
    shown = pt.render(np.array([[-1, 0, 0.25, 0.2499, 0.5, 0.9999, 1, 7, np.nan, np.inf, -np.inf]]))
    expected = [0, 0, 64, 63, 128, 255, 255, 255, 0, 255, 0]
    assert shown[0, :, 0].tolist() == expected
    table = np.eye(4, 3)
    places = pt.render(np.array([[0, 0.24, 0.26, 0.99]]), cmap=table)
    assert np.array_equal(places[0], (table * 255)[[0, 0, 1, 3]])
    levels = np.arange(256, dtype="u1")[None]
    assert np.array_equal(pt.render(levels)[0, :, 0], levels[0])
    assert pt.render(np.full((1, 2), 3.0), "minmax").max() == 0
    assert pt.render(np.full((1, 2), 3.0), style="imagesc")[0, 0, 0] == 128
    assert pt.render(A, (15, 40))[..., 0].tolist() == [[0, 51], [153, 255]]


def test_columns_of_255_rand_shown_alike_when_asked():
    image = 255 * np.random.default_rng(1).random((101, 101))
    image[:, 10], image[:, 11], image[:, 12] = 1, 2, 3
    moved = pt.translate(image, (3 * math.cos(math.pi / 3), 3 * math.sin(math.pi / 3)))
    pictures = [pt.render(moved, "minmax", style) for style in ("matlab", "matplotlib")]
    # matplotlib cuts its colours off to bytes: gray 244/255 is byte 243 there.
    assert set(np.unique(pictures[0] - pictures[1])) <= {0, 1}
    assert (pictures[0] == pictures[1]).mean() > 0.85
    matlab, python = pt.render(moved), pt.render(moved, style="matplotlib")
    assert (matlab == 255).mean() > 0.9  # floats are taken to be 0…1
    assert np.array_equal(python, pictures[1])


def test_true_colour():
    floats = np.array([[[0.5, -1, 2.0]]])
    assert pt.render(floats)[0, 0].tolist() == [128, 0, 255]
    assert pt.render(floats, style="matplotlib")[0, 0].tolist() == [127, 0, 255]
    planes = xr.DataArray(np.arange(12, dtype="u1").reshape(3, 2, 2), dims=("channel", "y", "x"))
    assert np.array_equal(pt.render(planes), planes.values.transpose(1, 2, 0))
    faint = np.array([[[0, 0, 0, 0], [10, 20, 30, 255]]], "u1")
    assert pt.render(faint)[0].tolist() == [[255] * 3, [10, 20, 30]]
    assert pt.render(np.full((1, 1, 3), 65535, "u2"))[0, 0].tolist() == [255] * 3


def test_contact_sheet(tmp_path):
    images = xr.DataArray(
        np.arange(10 * 400 * 300, dtype="u4").reshape(10, 400, 300) % 256,
        dims=("image", "y", "x"),
        coords={"image_id": ("image", [f"folder/frame-{k:04}.png" for k in range(10)])},
    ).astype("u1")
    sheet = pt.contact_sheet(images.chunk(image=3), columns=4, tile=80)
    assert sheet.shape == (3 * (80 + 16) + 4, 4 * (60 + 4) + 4, 3)
    assert pt.contact_sheet(images, most=3, columns=9).shape[1] == 3 * 124 + 4
    colour = np.zeros((2, 3, 20, 30), "u1")
    assert pt.contact_sheet(colour).ndim == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pt.display_limits(A, "mathlab"), "use matlab, octave"),
        (lambda: pt.display_limits(A + 1j), "only real numbers"),
        (lambda: pt.render(np.zeros((2, 2, 2))), "images.isel"),
        (lambda: pt.render(A, (3, 1)), "low <= high"),
        (lambda: pt.render(A, "max"), "use 'minmax'"),
        (lambda: pt.render(A, cmap="virdis"), "near: viridis"),
        (lambda: pt.contact_sheet(xr.DataArray(A, dims=("y", "x"))), "along 'image'"),
    ],
)
def test_errors_are_one_line_with_the_fix(call, message):
    with pytest.raises(pt.PixtallyError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
