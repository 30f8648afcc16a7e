"""The steps and the command that fit mixtures, on small collections."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import pixtally as pt
from pixtally.cli import main
from pixtally.montage import montage

DEMO = {"demo": {"images": 30, "shape": [24, 32]}}


def test_background_with_a_picture_of_what_passes(tmp_path):
    spec = {
        "source": DEMO,
        "steps": [
            "steady_exposure",
            {"pixel_histogram": {"bins": 256, "range": [0, 256]}},
            {"pixel_mixture": {"components": 2}},
            {"fit_peaks": {"peaks": 3}},
            {"foreground": {"montage": 4}},
        ],
        "output": {"store": "hist.zarr", "png": "png"},
    }
    pt.Pipeline(spec, tmp_path).run()
    found = xr.open_zarr(tmp_path / "hist-statistics.zarr", consolidated=False)
    assert found.mixture_means.dims == ("y", "x", "component")
    assert {"gain", "offset", "noise", "rate"} <= set(found.data_vars)
    names = {p.name for p in (tmp_path / "png").iterdir()}
    assert {"foreground.png", "mixture_means-0.png", "mixture_stds-1.png"} <= names


@pytest.mark.parametrize("output", ["means", "labels"])
def test_segments_are_written_as_images(tmp_path, output):
    spec = {
        "source": DEMO,
        "steps": [{"segment": {"components": 2, "output": output}}],
        "output": {"store": "parts.zarr", "png": "png"},
    }
    report = pt.Pipeline(spec, tmp_path).run()
    parts = pt.open_images(tmp_path / "parts.zarr")
    assert report.n_images == parts.sizes["image"] == 30
    assert len(np.unique(parts)) == 2
    assert (tmp_path / "png" / "image-0000.png").exists()


def test_segments_of_colour_keep_their_channels():
    from pixtally.model_steps import Segment

    photo = np.zeros((1, 3, 4, 5), np.uint8)
    photo[:, 0, :, 2:] = 200
    images = xr.DataArray(photo, dims=("image", "channel", "y", "x")).chunk(y=2)
    painted = Segment(components=2).apply(images)
    assert painted.dims == images.dims
    np.testing.assert_array_equal(painted, photo)


def test_foreground_needs_a_mixture(tmp_path):
    spec = {
        "source": DEMO,
        "steps": ["pixel_histogram", "median", "foreground"],
        "output": {"store": "hist.zarr"},
    }
    with pytest.raises(pt.PixtallyError, match="pixel_mixture before it"):
        pt.Pipeline(spec, tmp_path).run()


def test_montage_of_floats_in_rows():
    images = xr.DataArray(np.arange(4 * 6 * 5.0).reshape(4, 6, 5), dims=("image", "y", "x"))
    picture = montage(images, images > 100)
    assert picture.dtype == np.uint8
    assert picture.shape == (2 * 16 + 8, 3 * 5 + 2 * 4, 3)
    red = (picture[..., 0] > picture[..., 1].astype(int) + 60).sum()
    assert int(red) == int((images > 100).sum())


def command(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_command_fits_images_and_histograms(tmp_path):
    frames = np.random.default_rng(0).choice([20, 25, 180], (40, 6, 7)).astype("uint8")
    pt.write_images(frames, tmp_path / "frames.zarr")
    pt.write_histogram(frames, tmp_path / "hist.zarr")
    done = command("mixture", tmp_path / "frames.zarr", tmp_path / "model.zarr", "-k", "2")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["components"] == 2
    model = xr.open_zarr(tmp_path / "model.zarr", consolidated=False)
    assert pt.predict_mixture(frames, model).shape == frames.shape
    done = command("mixture", tmp_path / "hist.zarr", tmp_path / "pixels.zarr", "-k", "2")
    assert json.loads(done.stdout)["pixels_seen"] == 42
    for arguments, message in [
        (("hist.zarr", "pixels.zarr", "-k", "bic"), "fixed number"),
        (("hist.zarr", "hist.zarr"), "another store"),
        (("none.zarr", "a.zarr"), "does not exist"),
    ]:
        first, second, *rest = arguments
        failed = command("mixture", tmp_path / first, tmp_path / second, *rest)
        assert failed.exit_code == 1
        assert message in failed.stderr
