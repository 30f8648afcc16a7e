"""Histogram jobs: the same store however often they are interrupted; appended; locked; verified."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import pixtally as pt
from pixtally import PixtallyError, plan, tally_job
from pixtally.jobs import partial_path
from pixtally.plan import Resources
from pixtally.sizes import GiB
from pixtally.verify import verify_store
from pixtally.windows import pick, stored_array
from pixtally.zarr_io import create_array, open_array


def make_images(folder, shape=(60, 64, 48), chunks=(20, 16, 16), seed=0):
    images = np.random.default_rng(seed).integers(0, 256, shape).astype("u1")
    shards = (chunks[0] * 2, *(-(-n // c) * c for n, c in zip(shape[1:], chunks[1:], strict=True)))
    create_array(
        folder, "images", shape=shape, dtype="u1", chunks=chunks, shards=shards,
        dims=("image", "y", "x"),
    )  # fmt: skip
    open_array(folder, "images", "r+")[:] = images
    return images


@pytest.fixture
def store(tmp_path):
    images = make_images(tmp_path / "images.zarr")
    opened = pt.open_images(tmp_path / "images.zarr")
    names = [f"night/{n}.png" for n in range(len(images))]
    return opened.assign_coords(image_id=("image", names)), images


@pytest.fixture
def many_tiles(monkeypatch):
    """Keep small tiles apart, so that there is something to interrupt."""
    monkeypatch.setattr(plan, "LEAST_COUNTERS", 1)


def expected(images):
    flat = images.reshape(len(images), -1)
    counts = np.stack([np.bincount(flat[:, p], minlength=256) for p in range(flat.shape[1])])
    return counts.reshape(*images.shape[1:], 256)


def files_of(folder):
    """Return the content of every file that holds results."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(Path(folder).rglob("*"))
        if (p.is_file() and "/c/" in str(p)) or p.name == "units.json"
    }


def test_written_as_counted_and_read_by_plain_xarray(store, tmp_path):
    lazy, images = store
    hist = pt.write_histogram(lazy, tmp_path / "hist.zarr")
    np.testing.assert_array_equal(hist.counts, expected(images))
    plain = xr.open_zarr(tmp_path / "hist.zarr")
    np.testing.assert_array_equal(plain.counts, expected(images))
    assert set(plain.coords) == {"bin", "bin_bounds", "image_id"}
    assert plain.image_id.values.tolist()[:2] == ["night/0.png", "night/1.png"]
    assert "pixel_histogram of 60 images" in plain.attrs["history"]
    assert not partial_path(tmp_path / "hist.zarr").exists()
    code = (
        "import warnings; warnings.simplefilter('error'); import xarray as xr, sys;"
        f"print(int(xr.open_zarr({str(tmp_path / 'hist.zarr')!r}).counts.sum()));"
        "assert 'pixtally' not in sys.modules"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) == images.size


def test_same_job_again_returns_at_once(store, tmp_path, monkeypatch):
    pt.write_histogram(store[0], tmp_path / "hist.zarr")
    monkeypatch.setattr(tally_job, "count_tile", None)
    pt.write_histogram(store[0], tmp_path / "hist.zarr")


def test_other_settings_are_refused_naming_them(store, tmp_path):
    pt.write_histogram(store[0], tmp_path / "hist.zarr", bins=16, range=(0, 256))
    with pytest.raises(PixtallyError, match=r'other settings \(axis: .*"bins": 16.*"bins": 8'):
        pt.write_histogram(store[0], tmp_path / "hist.zarr", bins=8, range=(0, 256))
    hist = pt.write_histogram(
        store[0], tmp_path / "hist.zarr", bins=8, range=(0, 256), restart=True
    )
    assert hist.sizes["bin"] == 8
    (tmp_path / "else").mkdir()
    with pytest.raises(PixtallyError, match="was not made by this job"):
        pt.write_histogram(store[0], tmp_path / "else")


@pytest.mark.usefixtures("many_tiles")
@pytest.mark.parametrize("fail_at", [0, 3, 7])
def test_failed_job_goes_on_and_gives_the_identical_store(store, tmp_path, monkeypatch, fail_at):
    lazy, images = store
    pt.write_histogram(lazy, tmp_path / "whole.zarr")
    real, calls = tally_job.count_tile, []

    def failing(task, inputs):
        calls.append(task)
        if len(calls) > fail_at:
            raise OSError("disk on fire")
        return real(task, inputs)

    monkeypatch.setattr(tally_job, "count_tile", failing)
    with pytest.raises(OSError, match="disk on fire"):
        pt.write_histogram(lazy, tmp_path / "hist.zarr")
    done = len(list((partial_path(tmp_path / "hist.zarr") / "pixtally/units").glob("*.json")))
    assert not (tmp_path / "hist.zarr").exists(), "a partial result must not look whole"
    with pytest.raises(PixtallyError, match=r"unfinished: run the same command again"):
        pt.open_histogram(tmp_path / "hist.zarr")
    again = []
    monkeypatch.setattr(tally_job, "count_tile", lambda t, i: again.append(t) or real(t, i))
    pt.write_histogram(lazy, tmp_path / "hist.zarr")
    assert len(again) == 12 - done, "finished tiles are not counted again"
    assert files_of(tmp_path / "hist.zarr") == files_of(tmp_path / "whole.zarr")
    np.testing.assert_array_equal(
        pt.open_histogram(tmp_path / "hist.zarr").counts, expected(images)
    )


KILLED = """
import sys, time
import pixtally as pt
from pixtally import plan, tally_job
plan.LEAST_COUNTERS = 1
real = tally_job.count_tile
def slow(task, inputs):
    time.sleep(0.05)
    return real(task, inputs)
tally_job.count_tile = slow
pt.write_histogram(pt.open_images(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("units", [1, 5, 11])
def test_killed_job_goes_on(tmp_path, units, monkeypatch):
    monkeypatch.setattr(plan, "LEAST_COUNTERS", 1)
    images = make_images(tmp_path / "images.zarr")
    dest = tmp_path / "hist.zarr"
    run = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "images.zarr", dest])
    folder = partial_path(dest) / "pixtally/units"
    deadline = time.monotonic() + 60
    while run.poll() is None and time.monotonic() < deadline:
        if folder.exists() and len(list(folder.glob("[!.]*.json"))) >= units:
            break
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = len(list(folder.glob("[!.]*.json"))) if folder.exists() else 12
    real, again = tally_job.count_tile, []
    monkeypatch.setattr(tally_job, "count_tile", lambda t, i: again.append(t) or real(t, i))
    hist = pt.write_histogram(pt.open_images(tmp_path / "images.zarr"), dest)
    assert len(again) == 12 - done
    np.testing.assert_array_equal(hist.counts, expected(images))
    assert verify_store(dest)[0] == []


def test_second_run_is_refused_by_name(store, tmp_path, monkeypatch):
    def nested(task, inputs):
        pt.write_histogram(store[0], tmp_path / "hist.zarr")

    monkeypatch.setattr(tally_job, "count_tile", nested)
    with pytest.raises(PixtallyError, match=f"is being written by process {os.getpid()} on"):
        pt.write_histogram(store[0], tmp_path / "hist.zarr")


def test_source_that_changed_is_refused(store, tmp_path, monkeypatch):
    monkeypatch.setattr(tally_job, "count_tile", lambda t, i: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pt.write_histogram(store[0], tmp_path / "hist.zarr")
    monkeypatch.undo()
    time.sleep(0.01)
    make_images(tmp_path / "images.zarr", seed=1)
    with pytest.raises(PixtallyError, match=r"images that changed since .*/c/0/0/0: \d+ bytes"):
        pt.write_histogram(pt.open_images(tmp_path / "images.zarr"), tmp_path / "hist.zarr")


def test_segments_of_whole_image_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "LEAST_SEGMENT", 1)
    images = make_images(tmp_path / "images.zarr", (6000, 12, 9), (1, 12, 9))
    lazy = pt.open_images(tmp_path / "images.zarr")
    four = Resources(4, 1, 4 * GiB)
    hist = pt.write_histogram(lazy, tmp_path / "hist.zarr", resources=four)
    records = json.loads((tmp_path / "hist.zarr/pixtally/units.json").read_text())
    assert {n.split("-")[0] for n in records} == {"tile", "sum"}
    np.testing.assert_array_equal(hist.counts, expected(images))
    assert not (tmp_path / "hist.zarr/pixtally/parts").exists()


def test_computed_images_with_shared_inputs(store, tmp_path):
    lazy, images = store
    darker = lazy.astype("i4") - lazy.min(("y", "x"))
    hist = pt.write_histogram(darker, tmp_path / "hist.zarr", bins=256, range=(0, 256))
    wanted = images.astype("i4") - images.min((1, 2), keepdims=True)
    np.testing.assert_array_equal(hist.counts, expected(wanted))


@pytest.mark.usefixtures("many_tiles")
def test_on_a_cluster(store, tmp_path, client):
    with client.as_current():
        hist = pt.write_histogram(store[0], tmp_path / "hist.zarr")
    np.testing.assert_array_equal(hist.counts, expected(store[1]))


def test_large_shared_inputs_on_a_cluster(store, tmp_path, client):
    lazy, images = store
    table = np.random.default_rng(0).integers(0, 9, (64, 48, 60))
    for number, shift in enumerate((table, table + 1)):
        # One large constant that every chunk needs, and another in the next job.
        wide = xr.DataArray(shift, dims=("y", "x", "k")).chunk().sum("k").astype("i4")
        with client.as_current():
            hist = pt.write_histogram(
                lazy.astype("i4") + wide, tmp_path / f"{number}.zarr", bins=900, range=(0, 900)
            )
        wanted = (images.astype("i4") + shift.sum(-1)).reshape(60, -1)
        mean = hist.tally.mean().values.ravel()
        np.testing.assert_allclose(mean, wanted.mean(0))


class TestAppend:
    def test_only_what_is_new(self, tmp_path):
        images = np.random.default_rng(0).integers(0, 256, (400, 16, 16)).astype("u1")
        named = xr.DataArray(
            images,
            dims=("image", "y", "x"),
            coords={"image_id": ("image", [f"{k}" for k in range(400)])},
        )
        pt.write_histogram(named[:200], tmp_path / "hist.zarr")
        hist = pt.append_images(tmp_path / "hist.zarr", named[150:])
        assert hist.attrs["n_images"] == 400
        assert hist.counts.dtype == np.uint16, "widened, as 400 images need it"
        np.testing.assert_array_equal(hist.counts, expected(images))
        before = files_of(tmp_path / "hist.zarr")
        pt.append_images(tmp_path / "hist.zarr", named)
        assert files_of(tmp_path / "hist.zarr") == before
        assert hist.attrs["history"].count("\n") >= 2
        assert verify_store(tmp_path / "hist.zarr")[0] == []

    def test_picked_images_are_still_read_from_the_store(self, store):
        lazy, images = store
        rows = np.array([0, 1, 2, 7, 9, 10])
        picked = pick(lazy.data, 0, rows)
        assert stored_array(picked) is not None
        np.testing.assert_array_equal(picked, images[rows])

    @pytest.mark.usefixtures("many_tiles")
    def test_interrupted_never_counts_twice(self, store, tmp_path, monkeypatch):
        lazy, images = store
        pt.write_histogram(lazy.isel(image=slice(0, 30)), tmp_path / "hist.zarr")
        first = files_of(tmp_path / "hist.zarr")
        real, calls = tally_job.count_tile, []

        def failing(task, inputs):
            calls.append(task)
            if len(calls) > 3:
                raise OSError("gone")
            return real(task, inputs)

        for _ in range(2):
            calls.clear()
            monkeypatch.setattr(tally_job, "count_tile", failing)
            with pytest.raises(OSError, match="gone"):
                pt.append_images(tmp_path / "hist.zarr", lazy)
            assert files_of(tmp_path / "hist.zarr") == first, "the old version stays whole"
        monkeypatch.setattr(tally_job, "count_tile", real)
        hist = pt.append_images(tmp_path / "hist.zarr", lazy)
        np.testing.assert_array_equal(hist.counts, expected(images))

    def test_refusals(self, store, tmp_path):
        lazy, _ = store
        pt.write_histogram(lazy, tmp_path / "hist.zarr")
        with pytest.raises(PixtallyError, match=r"no coordinate 'image_id'"):
            pt.append_images(tmp_path / "hist.zarr", lazy.drop_vars("image_id"))
        other = lazy[:, :10].assign_coords(image_id=("image", np.arange(60).astype(str)))
        with pytest.raises(PixtallyError, match="they must be of one shape"):
            pt.append_images(tmp_path / "hist.zarr", other)


class TestVerify:
    @pytest.fixture
    def hist(self, store, tmp_path):
        pt.write_histogram(store[0], tmp_path / "hist.zarr")
        return tmp_path / "hist.zarr"

    def shard(self, hist):
        return max((hist / "counts/c").rglob("*"), key=lambda p: p.is_file() and p.stat().st_size)

    def test_whole(self, hist):
        problems, checked = verify_store(hist)
        assert problems == []
        assert "3072 pixels" in checked

    def test_torn_file(self, hist):
        path = self.shard(hist)
        path.write_bytes(path.read_bytes()[:-7])
        (problem,) = verify_store(hist)[0]
        assert str(path) in problem
        assert "bytes" in problem

    def test_flipped_byte(self, hist):
        path = self.shard(hist)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        (problem,) = verify_store(hist)[0]
        assert "checksum" in problem

    def test_missing_file(self, hist):
        self.shard(hist).unlink()
        assert "missing" in verify_store(hist)[0][0]

    def test_images(self, hist, tmp_path):
        assert verify_store(tmp_path / "images.zarr")[0] == []
        path = tmp_path / "images.zarr/images/c/0/0/0"
        content = bytearray(path.read_bytes())
        content[1000] ^= 16
        path.write_bytes(content)
        (problem,) = verify_store(tmp_path / "images.zarr")[0]
        assert str(path) in problem
