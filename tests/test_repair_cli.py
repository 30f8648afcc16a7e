"""Repair from the command line and in pipelines: what users type, on real data."""

import logging
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from PIL import Image

import pixtally as pt
from pixtally.cli import main
from pixtally.glance import evenly, glance, one_at

PIPELINES = Path(__file__).parents[1] / "pipelines"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def frames(here):
    """Five PNG files of 12×16 with zeros, and the same as a store."""
    samples = np.random.default_rng(0).integers(0, 250, (5, 12, 16)).astype("u1")
    samples[:, 3:6, 4:9] = 0
    (here / "frames").mkdir()
    for k, image in enumerate(samples):
        Image.fromarray(image).save(here / "frames" / f"f{k}.png")
    pt.write_images(samples, "frames.zarr", progress=False)
    return samples


def typed(*words, code=0):
    result = CliRunner().invoke(main, [str(w) for w in words])
    assert result.exit_code == code, result.output
    return result.output


def test_fill_files_and_stores(frames):
    assert "5 images written" in typed("fill", "frames", "a.zarr")
    typed("fill", "frames.zarr", "b.zarr", "--where", "0", "--method", "nearest")
    expected = pt.fill(frames).values
    for store in ("a.zarr", "b.zarr"):
        assert np.array_equal(pt.open_images(store), expected)
    typed("fill", "frames.zarr", "c.zarr", "--method", "constant", "--value", "9")
    assert np.array_equal(pt.open_images("c.zarr"), np.where(frames == 0, 9, frames))


def test_colormaps_and_translation(frames):
    typed(
        "apply-colormap", "frames.zarr", "v.zarr", "--cmap", "viridis", "--vmin", 0, "--vmax", 255
    )
    assert pt.open_images("v.zarr").dims == ("image", "channel", "y", "x")
    typed("invert-colormap", "v.zarr", "back.zarr", "--cmap", "viridis", "--vmin", 0, "--vmax", 255)
    assert np.abs(pt.open_images("back.zarr") - frames).max() <= 1.5
    typed("translate", "frames.zarr", "t.zarr", "--shift", 1.5, -2, "--output", "full")
    expected = pt.translate(frames, (1.5, -2), output="full")
    assert np.array_equal(pt.open_images("t.zarr"), expected)
    drift = np.arange(10).reshape(5, 2) / 4
    np.savetxt("drift.csv", drift, delimiter=",", header="dx,dy")
    np.save("drift.npy", drift)
    for name in ("drift.csv", "drift.npy"):
        typed("translate", "frames.zarr", f"{name}.zarr", "--shifts", name, "--method", "nearest")
        moved = pt.open_images(f"{name}.zarr")
        assert np.array_equal(moved, pt.translate(frames, drift, "nearest"))


def test_render_and_sheet(frames):
    assert "frames/f3.png, 16 × 12 pixels" in typed("render", "frames", "--image", 3, "-o", "r.png")
    assert np.array_equal(Image.open("r.png"), np.repeat(frames[3][..., None], 3, axis=-1))
    typed(
        "render", "frames.zarr", "--image", -1, "--limits", "10,90", "--cmap", "jet", "-o", "j.png"
    )
    assert np.array_equal(Image.open("j.png"), pt.render(frames[-1], (10, 90), cmap="jet"))
    assert "5 images" in typed("sheet", "frames.zarr", "-o", "s.png", "--columns", 2)
    assert "3 images" in typed("sheet", "frames", "-o", "s.png", "--most", 3, "--limits", "minmax")


def test_glance_reads_stacks_and_colour(here):
    stack = np.random.default_rng(0).random((40, 6, 7)).astype("f4")
    np.save("stack.npy", stack)
    found = glance(["stack.npy"], evenly(4))
    assert np.array_equal(found, stack[[0, 13, 26, 39]])
    assert [str(i)[-6:] for i in found["image_id"].values] == [
        "#00000",
        "#00013",
        "#00026",
        "#00039",
    ]
    colour = np.random.default_rng(0).integers(0, 255, (6, 7, 3), dtype="u1")
    Image.fromarray(colour).save("c.png")
    assert np.array_equal(glance(["c.png"], one_at(0))[0].transpose("y", "x", "channel"), colour)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["render", "frames.zarr", "--image", "9", "-o", "x.png"], "the source has 0…4"),
        (["render", "frames.zarr", "--limits", "a,b", "-o", "x.png"], "LOW,HIGH"),
        (["render", "frames.zarr", "-o", "x.unknown"], "name it .png"),
        (["render", "nothing.png", "-o", "x.png"], "does not exist"),
        (["fill", "frames.zarr", "x.zarr", "--method", "best"], "'nearest'"),
        (["fill", "frames.zarr", "x.zarr", "--where", "mask"], "add mask"),
        (["translate", "frames.zarr", "x.zarr"], "either --shift DX DY or --shifts"),
        (["translate", "frames.zarr", "x.zarr", "--shifts", "frames/f0.png"], "two columns"),
        (
            ["invert-colormap", "frames.zarr", "x.zarr", "--cmap", "jet", "--vmin", 0, "--vmax", 1],
            "dimension 'channel'",
        ),
    ],
)
def test_errors_are_one_line(frames, words, message):
    output = typed(*words, code=1)
    assert message in output
    assert output.count("\n") == 1


@pytest.mark.parametrize("name", ["repair.yaml", "jet_pictures.yaml"])
def test_pipelines_plan_and_run(here, name):
    smaller = ["--set", "source.demo.images=20", "--set", "output.store=hist.zarr"]
    smaller += ["--set", "output.png=pictures"]
    typed("plan", PIPELINES / name, *smaller)
    report = pt.Pipeline.from_yaml(
        PIPELINES / name,
        {
            "source.demo": {"images": 20, "shape": [24, 32]},
            "output.store": str(here / "hist.zarr"),
            "output.png": str(here / "pictures"),
        },
    ).run(progress=False)
    hist = pt.open_histogram("hist.zarr")
    assert report.n_images == 20
    assert int(hist["underflow"].sum()) == 0
    assert (here / "pictures" / "median.png").exists()


def test_pipeline_on_clouds(here, data_dir, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("pixtally"), "propagate", True)
    folder = data_dir / "sat_eolearn"
    spec = {
        "source": {"images": str(folder / "NDVI.npy")},
        "mask": {"images": str(folder / "IS_VALID.npy"), "invert": True},
        "steps": [
            {"fill": {"where": "mask", "method": "temporal_median"}},
            {"pixel_histogram": {"bins": 100, "range": [-0.2, 1]}},
        ],
        "output": {"store": str(here / "ndvi.zarr")},
    }
    pt.Pipeline(spec).run(progress=False)
    hist = pt.open_histogram("ndvi.zarr")
    assert int(hist["invalid"].sum()) == 0
    ndvi, valid = (np.load(folder / f"{n}.npy")[..., 0] for n in ("NDVI", "IS_VALID"))
    filled = np.where(valid, ndvi, np.nanmedian(np.where(valid, ndvi, np.nan), axis=0))
    expected = np.histogram(filled[:, 50, 60], 100, (-0.2, 1))[0]
    assert np.abs(hist["counts"].squeeze().isel(y=50, x=60) - expected).sum() <= 2
    spec["steps"] = [{"fill": {"where": "mask"}}]
    spec["output"] = {"store": str(here / "nearest.zarr")}
    pt.Pipeline(spec).run(progress=False)
    assert "20 images keep invalid pixels after fill" in caplog.text


def test_pipeline_on_a_jpeg_of_jet(here, data_dir):
    retina = np.asarray(Image.open(data_dir / "photo" / "retina.jpg").convert("L"))[::2, ::2]
    picture = pt.apply_colormap(retina, "jet", vmin=0, vmax=255).values[..., :3]
    Image.fromarray(picture).save("jet.jpg", quality=90)
    typed("invert-colormap", "jet.jpg", "back.zarr", "--cmap", "jet", "--vmin", 0, "--vmax", 255)
    back = pt.open_images("back.zarr")
    error = np.abs(back.isel(image=0).values - retina) / 255
    assert np.median(error) <= 0.01


def test_pixel_histogram_of_repaired_images(frames):
    images = xr.DataArray(frames, dims=("image", "y", "x"))
    counted = pt.pixel_histogram(pt.fill(images), bins=256, range=(0, 256))
    assert int(counted["counts"].isel(bin=0).sum()) == int((pt.fill(images) == 0).sum())
