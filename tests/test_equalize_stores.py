"""Equalized collections on disk: commands, pipelines, resuming, previews, very large images."""

from __future__ import annotations

import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import xarray as xr
import yaml
import zarr
from click.testing import CliRunner

import pixtally as pt
from pixtally import image_plan
from pixtally.cli import main
from pixtally.image_plan import cut_frames, regions
from pixtally.layout import choose_layout
from pixtally.unit_writer import UnitWriter

writing = importlib.import_module("pixtally.write_images")


@pytest.fixture
def frames(tmp_path):
    """A stored collection with ids: (12, 40, 50) uint8."""
    images = np.random.default_rng(0).gamma(4, 20, (12, 40, 50)).clip(0, 250).astype(np.uint8)
    ids = [f"frame-{k:02d}" for k in range(12)]
    named = xr.DataArray(
        images, dims=("image", "y", "x"), coords={"image_id": ("image", ids), "y": np.arange(40.0)}
    )
    pt.write_images(named, tmp_path / "frames.zarr")
    return named


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_the_equalize_command(frames, tmp_path):
    dest = tmp_path / "made.zarr"
    call = ("equalize", tmp_path / "frames.zarr", dest, "--method", "opencv", "--preview", 2)
    result = run(*call)
    assert result.exit_code == 0, result.output
    made = pt.open_images(dest)
    np.testing.assert_array_equal(made, np.stack([cv2.equalizeHist(i) for i in frames.values]))
    assert made["image_id"].values.tolist() == frames["image_id"].values.tolist()
    np.testing.assert_array_equal(made["y"], frames["y"])
    assert (tmp_path / "made-preview.png").read_bytes().startswith(b"\x89PNG")
    assert run(*call).exit_code == 0  # done already
    refused = run("equalize", tmp_path / "frames.zarr", dest, "--method", "lut")
    assert refused.exit_code == 1
    assert "--restart" in refused.output


def test_the_clahe_and_match_commands(frames, tmp_path):
    source = tmp_path / "frames.zarr"
    result = run("clahe", source, tmp_path / "clear.zarr", "--tiles", 4, 5, "--clip-limit", 3)
    assert result.exit_code == 0, result.output
    clear = pt.open_images(tmp_path / "clear.zarr")
    np.testing.assert_array_equal(clear, pt.clahe(frames.values, 3, (4, 5)))
    cv2.imwrite(str(tmp_path / "one.png"), frames.values[3])
    dest = tmp_path / "matched.zarr"
    result = run("match", source, dest, tmp_path / "one.png", "--dtype", "uint8")
    assert result.exit_code == 0, result.output
    expected = pt.match_histogram(frames.values, frames.values[3], dtype="uint8")
    np.testing.assert_array_equal(pt.open_images(dest), expected)
    result = run("match", source, dest, tmp_path / "frames.zarr.txt")
    assert result.exit_code == 1
    assert "cannot be read as an image" in result.output


def test_errors_are_one_line(frames, tmp_path):
    result = run("equalize", tmp_path / "frames.zarr", tmp_path / "a.zarr", "--scope", "pixel")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    result = run("equalize", tmp_path / "frames.zarr", tmp_path / "a.zarr", "--preview", 0)
    assert "preview is 0" in result.output


def test_pixel_scope_through_pipelines(frames, tmp_path):
    source = {"zarr": "frames.zarr"}
    counting = {
        "source": source,
        "steps": [{"pixel_histogram": {"bins": 256, "range": [0, 256]}}],
        "output": {"store": "hist.zarr"},
    }
    step = {"method": "cdf", "scope": "pixel", "histogram": "hist.zarr"}
    correcting = {
        "source": source,
        "steps": [{"equalize": step}],
        "output": {"store": "flat.zarr"},
    }
    for name, spec in (("count.yaml", counting), ("correct.yaml", correcting)):
        (tmp_path / name).write_text(yaml.safe_dump(spec))
        pt.Pipeline.from_yaml(tmp_path / name).run()
    hist = pt.open_histogram(tmp_path / "hist.zarr")
    expected = pt.equalize(frames.values, "cdf", scope="pixel", histogram=hist.compute())
    np.testing.assert_array_equal(pt.open_images(tmp_path / "flat.zarr"), expected)


def test_steps_of_a_pipeline_leave_masked_samples_out(frames, tmp_path):
    mask = np.zeros((12, 40, 50), np.uint8)
    mask[:, :5] = 1
    pt.write_images(mask, tmp_path / "mask.zarr")
    spec = {
        "source": {"zarr": "frames.zarr"},
        "mask": {"zarr": "mask.zarr"},
        "steps": [{"equalize": {"method": "cdf", "dtype": "uint8", "fill": 7}}, "pixel_histogram"],
        "output": {"store": "hist.zarr"},
    }
    report = pt.Pipeline(spec, tmp_path).run()
    assert report.n_images == 12
    hist = pt.open_histogram(tmp_path / "hist.zarr")
    assert (hist.invalid[:5] == 12).all()
    kept = pt.equalize(frames.values[:, 5:], "cdf", dtype="uint8")
    expected = pt.pixel_histogram(kept)
    np.testing.assert_array_equal(hist.counts[5:], expected.counts)


@pytest.mark.parametrize("name", ["equalize.yaml"])
def test_pipelines_run_as_they_are(name, tmp_path):
    shipped = Path(__file__).parents[1] / "pipelines" / name
    small = {"demo": {"images": 6, "shape": [24, 32]}}
    spec = yaml.safe_load(shipped.read_text("utf-8")) | {"source": small}
    report = pt.Pipeline(spec, tmp_path).run()
    assert report.n_images == 6


class KilledError(RuntimeError):
    """Stands for a crash in the middle of a job."""


def test_an_interrupted_job_goes_on(frames, tmp_path, monkeypatch):
    source = pt.open_images(tmp_path / "frames.zarr", chunks=(3, 40, 50))
    monkeypatch.setattr(image_plan, "MAX_SHARD_BYTES", 100)
    monkeypatch.setattr(image_plan, "SHARD_BYTES", 20_000)
    written = []

    def crash(writer, name, info):
        if len(written) == 2:
            raise KilledError
        written.append(name)
        record(writer, name, info)

    record = UnitWriter.record
    monkeypatch.setattr(UnitWriter, "record", crash)
    dest = tmp_path / "made.zarr"
    chunks = (3, 20, 25)
    with pytest.raises(KilledError):
        pt.write_images(pt.equalize(source, "lut"), dest, chunks=chunks)
    assert not dest.exists()
    again = []
    monkeypatch.setattr(
        UnitWriter,
        "record",
        lambda writer, name, info: (again.append(name), record(writer, name, info)),
    )
    made = pt.write_images(pt.equalize(source, "lut"), dest, chunks=chunks)
    assert not set(again) & set(written)
    np.testing.assert_array_equal(made, pt.equalize(frames.values, "lut"))


def test_large_frames_are_cut_into_regions():
    layout = cut_frames(choose_layout(1, (30_000, 30_000), 1), (1, 1024, 1024), 1, None)
    assert layout.chunks == (1, 1024, 1024)
    assert np.prod(layout.shards) <= 64 * 2**20
    assert all(s % c == 0 for s, c in zip(layout.shards, layout.chunks, strict=True))
    seen = np.zeros((30, 30), int)
    for rows, (y, x) in regions(layout):
        assert rows == (0, 1)
        seen[y.start // 1000 : -(-y.stop // 1000), x.start // 1000 : -(-x.stop // 1000)] += 1
    assert seen.min() >= 1


@pytest.mark.slow
def test_a_mosaic_of_many_chunks(tmp_path, monkeypatch, client):
    mosaic = np.random.default_rng(0).gamma(4, 20, (1, 900, 1100)).clip(0, 250).astype(np.uint8)
    group = zarr.open_group(tmp_path / "mosaic.zarr", mode="w", zarr_format=3)
    array = group.create_array(
        "images", shape=mosaic.shape, chunks=(1, 256, 256), dtype="u1", dimension_names=tuple("nyx")
    )
    array[:] = mosaic
    monkeypatch.setattr(image_plan, "MAX_SHARD_BYTES", 2**17)
    monkeypatch.setattr(image_plan, "SHARD_BYTES", 2**18)
    images = pt.open_images(tmp_path / "mosaic.zarr", chunks=(1, 256, 256))
    cut = (1, 128, 128)
    with client.as_current():
        even = pt.write_images(pt.equalize(images, "opencv"), tmp_path / "even.zarr", chunks=cut)
        clear = pt.write_images(pt.clahe(images), tmp_path / "clear.zarr", chunks=cut)
        np.testing.assert_array_equal(even.values[0], cv2.equalizeHist(mosaic[0]))
        np.testing.assert_array_equal(
            clear.values[0], cv2.createCLAHE(2.0, (8, 8)).apply(mosaic[0])
        )
    shards = zarr.open_array(tmp_path / "even.zarr", path="images").shards
    assert shards[1] < 900


def test_pixel_scope_reads_counts_once_a_shard(tmp_path, monkeypatch):
    """Shards are parts of frames over many images: their counts are read once, not once a step."""
    random = np.random.default_rng(0)
    pt.write_images(random.integers(0, 256, (1100, 256, 256), np.uint8), tmp_path / "many.zarr")
    images = pt.open_images(tmp_path / "many.zarr")
    hist = pt.write_histogram(images, tmp_path / "hist.zarr", range=(0, 256))
    changed = pt.equalize(images, "cdf", scope="pixel", histogram=hist, dtype="uint8")
    reads = []
    read = zarr.Array.__getitem__

    def noted(array, index):
        found = read(array, index)
        reads.append((array.basename, found.nbytes))
        return found

    monkeypatch.setattr(zarr.Array, "__getitem__", noted)
    made = pt.write_images(changed, tmp_path / "made.zarr")
    monkeypatch.undo()
    counted = sum(size for name, size in reads if name == "counts")
    assert counted == hist["counts"].nbytes
    assert sum(size for name, size in reads if name == "images") == images.nbytes
    some = {"y": slice(100, 140), "x": slice(90, 150)}
    expected = pt.equalize(
        images.isel(some).compute(), "cdf", scope="pixel", histogram=hist.isel(some).compute(),
        dtype="uint8",
    )  # fmt: skip
    np.testing.assert_array_equal(made.isel(some), expected)
