"""Ingest: what is written equals what the files hold, whatever is killed, bad, or left out."""

import os
import signal
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pixtally.layout
import pixtally.shards
from pixtally.errors import PixtallyError
from pixtally.ingest import ingest, ingest_images
from pixtally.kernels.luma import luma
from pixtally.layout import Layout
from pixtally.shards import plan_parts
from pixtally.sources import Source

RNG = np.random.default_rng(3)
DATA = Path(os.environ.get("PIXTALLY_DATA", Path(__file__).parents[2] / "shared" / "data"))
MODULE = import_module("pixtally.ingest")  # the package's attribute of this name is the function


@pytest.fixture
def data():
    if not DATA.is_dir():
        pytest.skip(f"real collections are not at {DATA} (set PIXTALLY_DATA)")
    return DATA


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of two images of 8×8, so that few images make many shards."""
    monkeypatch.setattr(pixtally.layout, "CHUNK_BYTES", 64)
    monkeypatch.setattr(pixtally.layout, "MIN_SHARD_BYTES", 128)
    monkeypatch.setattr(pixtally.layout, "MAX_SHARD_BYTES", 128)


def noise(*shape, dtype=np.uint8):
    return RNG.integers(0, 255, shape, dtype=dtype)


def frames(folder, count=9, shape=(8, 8)):
    folder.mkdir(exist_ok=True)
    images = noise(count, *shape)
    for k, image in enumerate(images):
        iio.imwrite(folder / f"{k}.png", image)
    return images


def read(dest):
    """Open as a person without pixtally does; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return xr.open_zarr(dest).load()


# ---------------------------------------------------------------- what is written


@given(
    array=hnp.arrays(
        st.sampled_from(["u1", "u2", "i4", "f4", "f8", "?", "f2", ">u2", "i8"]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=9),
    )
)
@settings(max_examples=40, deadline=None)
def test_npy_to_zarr_is_the_identity(tmp_path_factory, array):
    folder = tmp_path_factory.mktemp("npy")
    np.save(folder / "a.npy", array)
    images = ingest(folder / "a.npy", folder / "a.zarr").images.values
    np.testing.assert_array_equal(images, array[None] if array.ndim == 2 else array)
    assert images.dtype == array.dtype.newbyteorder("=")


@given(
    stack=hnp.arrays("u1", hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=9)),
    kind=st.sampled_from(["png", "tif", "pages", "bmp"]),
)
@settings(max_examples=25, deadline=None)
def test_files_to_zarr_is_the_identity(tmp_path_factory, stack, kind):
    folder = tmp_path_factory.mktemp("files")
    if kind == "pages":
        tifffile.imwrite(folder / "a.tif", stack, photometric="minisblack")
    else:
        for k, image in enumerate(stack):
            iio.imwrite(folder / f"{k}.{kind}", image)
    images = ingest(folder, folder / "out.zarr").images.values
    np.testing.assert_array_equal(images, stack)


def test_store_says_what_it_is(tmp_path):
    images = frames(tmp_path / "run", 12)
    made = ingest_images(tmp_path / "run", tmp_path / "out.zarr")
    assert (made.n_images, made.shape, made.dtype) == (12, (12, 8, 8), "uint8")
    stored = read(tmp_path / "out.zarr")
    assert stored.images.dims == ("image", "y", "x")
    np.testing.assert_array_equal(stored.images, images)
    assert stored.image_id.values.tolist() == [f"run/{k}.png" for k in range(12)]
    assert stored.attrs["Conventions"] == "CF-1.11"
    assert stored.attrs["pixtally_format"] == 1
    assert stored.attrs["left_out"] == []
    assert "pixtally" in stored.attrs["history"]
    assert not (tmp_path / "out.zarr.partial").exists()


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colour_keeps_its_channels(tmp_path, channels):
    image = noise(8, 9, channels)
    iio.imwrite(tmp_path / "a.png", image)
    stored = ingest(tmp_path / "a.png", tmp_path / "a.zarr")
    assert stored.images.dims == ("image", "channel", "y", "x")
    assert stored.channel.values.tolist() == list({2: "LA", 3: "RGB", 4: "RGBA"}[channels])
    np.testing.assert_array_equal(stored.images[0].transpose("y", "x", "channel"), image)


def test_gray_brings_colour_and_gray_together(tmp_path):
    colour, gray = noise(8, 8, 4), noise(8, 8)
    iio.imwrite(tmp_path / "1.png", colour)
    iio.imwrite(tmp_path / "2.png", gray)
    with pytest.raises(PixtallyError, match=r"expected 8×8 uint8 with 4 channels.*--gray"):
        ingest(tmp_path, tmp_path / "a.zarr")
    stored = ingest(tmp_path, tmp_path / "b.zarr", gray=True)
    np.testing.assert_array_equal(stored.images, [luma(colour), gray])


def test_store_inside_its_own_source_folder(tmp_path):
    frames(tmp_path, 3)
    ingest(tmp_path, tmp_path / "out.zarr")
    assert ingest_images(tmp_path, tmp_path / "out.zarr").already_done


def test_user_chunks(tmp_path):
    frames(tmp_path, 5)
    images = ingest(tmp_path, tmp_path / "a.zarr", chunks=(2, 8, 4)).images
    assert images.encoding["chunks"] == (2, 8, 4)


def test_an_ingested_store_is_a_source(tmp_path):
    images = frames(tmp_path / "run", 5)
    ingest(tmp_path / "run", tmp_path / "a.zarr")
    again = ingest(f"{tmp_path}/a.zarr::images", tmp_path / "b.zarr")
    np.testing.assert_array_equal(again.images, images)


def test_configuration_of_zarr_is_left_alone(tmp_path):
    import zarr

    before = zarr.config.get("codec_pipeline.path"), zarr.config.get("async.concurrency")
    frames(tmp_path, 5)
    ingest(tmp_path, tmp_path / "a.zarr")
    assert before == (zarr.config.get("codec_pipeline.path"), zarr.config.get("async.concurrency"))


# ---------------------------------------------------------------- bad input


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


BAD = {
    "truncated": (truncate, r"cannot be read: .*[Tt]runcated"),
    "empty": (lambda path: path.write_bytes(b""), r"is empty \(0 bytes\)"),
    "text": (lambda path: path.write_text("hello"), "cannot be read"),
    "shape": (
        lambda path: iio.imwrite(path, noise(8, 7)),
        "is 8×7 uint8; expected 8×8 uint8 as in run/0.png",
    ),
    "dtype": (
        lambda path: iio.imwrite(path, noise(8, 8, dtype=np.uint16)),
        "is 8×8 uint16; expected 8×8 uint8 as in run/0.png",
    ),
    "colour": (lambda path: iio.imwrite(path, noise(8, 8, 3)), "with 3 channels; expected"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
    "dangling": (lambda path: (path.unlink(), path.symlink_to("gone")), "is a link to gone"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_image_stops_with_one_line_or_is_left_out(tmp_path, kind, small_shards):
    images = frames(tmp_path / "run")
    spoil, words = BAD[kind]
    spoil(tmp_path / "run" / "4.png")
    named = [tmp_path / "run" / f"{k}.png" for k in range(9)]
    with pytest.raises(PixtallyError, match=words) as caught:
        ingest(named, tmp_path / "a.zarr")
    line = str(caught.value)
    assert line.startswith("run/4.png ")
    assert "--on-error skip" in line
    assert "\n" not in line
    made = ingest_images(named, tmp_path / "a.zarr", on_error="skip")
    assert made.n_images == 8
    assert [bad.image for bad in made.left_out] == ["run/4.png"]
    stored = read(tmp_path / "a.zarr")
    np.testing.assert_array_equal(stored.images, np.delete(images, 4, axis=0))
    assert "run/4.png" not in stored.image_id.values
    (bad,) = stored.attrs["left_out"]
    assert bad["image"] == "run/4.png"
    again = ingest_images(named, tmp_path / "a.zarr", on_error="skip")
    assert again.already_done
    assert again.left_out == made.left_out


@given(missing=st.sets(st.integers(0, 16), max_size=16))
@settings(max_examples=15, deadline=None)
def test_gaps_close_up(tmp_path_factory, missing):
    folder = tmp_path_factory.mktemp("gaps")
    images = frames(folder, 17)
    for k in missing:
        (folder / f"{k}.png").write_text("spoilt")
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("CHUNK_BYTES", 64), ("MIN_SHARD_BYTES", 128), ("MAX_SHARD_BYTES", 128)):
            patch.setattr(pixtally.layout, name, size)
        stored = ingest(folder, folder / "out.zarr", on_error="skip")
    kept = [k for k in range(17) if k not in missing]
    np.testing.assert_array_equal(stored.images, images[kept])
    assert stored.image_id.values.tolist() == [f"{folder.name}/{k}.png" for k in kept]


def test_nothing_readable(tmp_path):
    for k in range(2):
        (tmp_path / f"{k}.png").write_text("x")
    with pytest.raises(PixtallyError, match="none of 2 sources can be read"):
        ingest(tmp_path, tmp_path / "a.zarr", on_error="skip")


@pytest.mark.parametrize("dtype", [complex, "M8[s]", np.uint64])
def test_samples_that_are_no_pixels(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4, 4), dtype))
    with pytest.raises(PixtallyError, match=r"holds|cannot become gray"):
        ingest(tmp_path / "a.npy", tmp_path / "a.zarr", gray=True)


def test_on_error_is_checked(tmp_path):
    with pytest.raises(PixtallyError, match="expected 'stop' or 'skip'"):
        ingest(tmp_path, tmp_path / "a.zarr", on_error="ignore")


# ---------------------------------------------------------------- resume


def test_stop_loses_nothing_and_goes_on_when_mended(tmp_path, small_shards, monkeypatch):
    images = frames(tmp_path / "run")
    good = (tmp_path / "run" / "8.png").read_bytes()
    (tmp_path / "run" / "8.png").write_text("spoilt")
    with pytest.raises(PixtallyError, match="run/8"):
        ingest(tmp_path / "run", tmp_path / "a.zarr")
    (tmp_path / "run" / "8.png").write_bytes(good)
    opened = spy(monkeypatch)
    stored = ingest(tmp_path / "run", tmp_path / "a.zarr")
    assert opened == ["8.png"]
    np.testing.assert_array_equal(stored.images, images)


def spy(monkeypatch):
    opened, original = [], pixtally.shards.read_images

    def watched(path, *args):
        opened.append(Path(path).name)
        return original(path, *args)

    monkeypatch.setattr(pixtally.shards, "read_images", watched)
    return opened


def test_skipping_is_not_remembered_by_a_later_stop(tmp_path, small_shards, monkeypatch):
    frames(tmp_path / "run")
    (tmp_path / "run" / "4.png").write_text("spoilt")
    monkeypatch.setattr(MODULE, "close_gaps", lambda *a: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):  # noqa: PT011  (the simulated crash has no message)
        ingest(tmp_path / "run", tmp_path / "a.zarr", on_error="skip")
    with pytest.raises(PixtallyError, match="run/4"):
        ingest(tmp_path / "run", tmp_path / "a.zarr")


@pytest.mark.parametrize("at", ["record", "swap"])
def test_crash_while_gaps_close(tmp_path, small_shards, monkeypatch, at):
    images = frames(tmp_path / "run")
    (tmp_path / "run" / "3.png").write_text("spoilt")
    crash = "create_images" if at == "record" else "_swap"
    with monkeypatch.context() as patch:
        patch.setattr(f"pixtally.gaps.{crash}", lambda *a: (_ for _ in ()).throw(OSError("crash")))
        with pytest.raises(OSError, match="crash"):
            ingest(tmp_path / "run", tmp_path / "a.zarr", on_error="skip")
    stored = ingest(tmp_path / "run", tmp_path / "a.zarr", on_error="skip")
    np.testing.assert_array_equal(stored.images, np.delete(images, 3, axis=0))


def test_changed_sources(tmp_path):
    frames(tmp_path / "run", 4)
    made = ingest_images(tmp_path / "run", tmp_path / "a.zarr")
    assert not made.already_done
    iio.imwrite(tmp_path / "run" / "2.png", noise(8, 8) // 2)
    os.utime(tmp_path / "run" / "2.png", ns=(1, 1))
    with pytest.raises(PixtallyError, match=r"changed since.*restart=True"):
        ingest(tmp_path / "run", tmp_path / "a.zarr")
    frames(tmp_path / "run", 5)
    with pytest.raises(PixtallyError, match=r"images: 4 → 5.*restart=True"):
        ingest(tmp_path / "run", tmp_path / "a.zarr")
    assert ingest(tmp_path / "run", tmp_path / "a.zarr", restart=True).sizes["image"] == 5


KILLED = """
import os, signal, sys
import pixtally.layout, pixtally.shards
from pixtally.ingest import ingest
pixtally.layout.CHUNK_BYTES, pixtally.layout.MIN_SHARD_BYTES = 64, 128
pixtally.layout.MAX_SHARD_BYTES = 128
write, count = pixtally.shards._write, [0]
def killing(*args):
    count[0] += 1
    if count[0] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(*args)
pixtally.shards._write = killing
ingest(sys.argv[1], sys.argv[2])
"""


def test_killed_process_is_taken_up_again(tmp_path, small_shards, monkeypatch):
    images = frames(tmp_path / "run")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run"), str(tmp_path / "a.zarr")]
    done = subprocess.run(command, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.zarr").exists()
    opened = spy(monkeypatch)
    stored = ingest(tmp_path / "run", tmp_path / "a.zarr")
    assert 1 <= len(opened) <= 9 - 2  # at most the two shards in flight are read again
    np.testing.assert_array_equal(stored.images, images)


# ---------------------------------------------------------------- streams


def sequential(name, images):
    return Source(f"/{name}", "", name, images, numbered=images > 1, sequential=images > 1)


@given(
    st.lists(st.tuples(st.integers(1, 20), st.booleans()), min_size=1, max_size=8),
    st.integers(1, 6),
)
def test_streams_and_shards_fill_every_row_once(sources, length):
    named = [Source(f"/{k}", "", str(k), n, sequential=flag) for k, (n, flag) in enumerate(sources)]
    images = sum(source.images for source in named)
    layout = Layout((images, 2, 2), (1, 2, 2), (length, 2, 2))
    streams, shards = plan_parts(named, layout)
    whole = [
        part.shard
        for part in [*shards, *(part for stream in streams for part in stream)]
        if part.whole
    ]
    assert sorted(whole) == list(range(layout.n_shards))
    shares = {part.rows for stream in streams for part in stream if not part.whole}
    wanted = {(p.row, p.end) for part in shards for _, p, shared in part.pieces if shared}
    assert shares == wanted
    for stream in streams:
        pieces = [part.pieces[0][1] for part in stream]
        assert [p.start for p in pieces] == [0, *(p.stop for p in pieces[:-1])]
        assert pieces[-1].stop == stream[0].pieces[0][0].images


def archives(folder, counts):
    folder.mkdir(exist_ok=True)
    stacks = [noise(count, 8, 8) for count in counts]
    for k, images in enumerate(stacks):
        np.savez_compressed(folder / f"{k}.npz", images)
    return np.concatenate(stacks)


def test_streams_that_share_shards(tmp_path, small_shards):
    images = archives(tmp_path / "run", [5, 1, 2, 7, 3, 1])
    stored = ingest(tmp_path / "run", tmp_path / "a.zarr")
    np.testing.assert_array_equal(stored.images, images)
    assert not (tmp_path / "a.zarr" / "parts").exists()


def test_stream_goes_on_where_it_was(tmp_path, small_shards, monkeypatch):
    images = archives(tmp_path / "run", [9, 4])
    write, count = pixtally.shards._write, [0]

    def crash(*args):
        count[0] += 1
        if count[0] > 4:
            raise OSError("disk full")
        return write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(pixtally.shards, "_write", crash)
        with pytest.raises(OSError, match="disk full"):
            ingest(tmp_path / "run", tmp_path / "a.zarr")
    stored = ingest(tmp_path / "run", tmp_path / "a.zarr")
    np.testing.assert_array_equal(stored.images, images)


def test_share_that_was_used_up_is_decoded_again(tmp_path, small_shards, monkeypatch):
    images = archives(tmp_path / "run", [3, 5])
    broken = (tmp_path / "run" / "1.npz").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(MODULE, "describe", lambda *a: (_ for _ in ()).throw(OSError("x")))
        with pytest.raises(OSError, match="x"):
            ingest(tmp_path / "run", tmp_path / "a.zarr")
    (tmp_path / "run" / "1.npz").write_bytes(broken)
    os.utime(tmp_path / "run" / "1.npz", ns=(5, 5))
    stored = ingest(tmp_path / "run", tmp_path / "a.zarr")
    np.testing.assert_array_equal(stored.images, images)


# ---------------------------------------------------------------- on Dask, on real collections


def test_on_a_dask_client_in_use(tmp_path, small_shards):
    from distributed import Client

    images = frames(tmp_path / "run")
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0"):
        stored = ingest(tmp_path / "run", tmp_path / "a.zarr")
        np.testing.assert_array_equal(stored.images.values, images)
        iio.imwrite(tmp_path / "run" / "4.png", noise(8, 7))
        with pytest.raises(PixtallyError, match="8×7"):
            ingest(tmp_path / "run", tmp_path / "b.zarr")


def test_real_video_in_gray(data, tmp_path):
    path = data / "video_intel" / "car-detection.mp4"
    stored = read_some(ingest(path, tmp_path / "a.zarr", gray=True), [0, 200, 376])
    colour = iio.imiter(path, plugin="pyav")
    right = [luma(image) for k, image in enumerate(colour) if k in (0, 200, 376)]
    np.testing.assert_array_equal(stored, right)


def read_some(dataset, rows):
    return dataset.images.isel(image=rows).values


def test_real_arrays(data, tmp_path):
    ndvi = np.load(data / "sat_eolearn" / "NDVI.npy")
    stored = ingest(data / "sat_eolearn" / "NDVI.npy", tmp_path / "ndvi.zarr")
    assert stored.images.shape == (68, 101, 100)
    np.testing.assert_array_equal(stored.images, ndvi[..., 0])
    valid = ingest(data / "sat_eolearn" / "IS_VALID.npy", tmp_path / "valid.zarr")
    assert valid.images.dtype == bool


def test_real_detector_frames(data, tmp_path):
    h5py = pytest.importorskip("h5py")
    path = data / "xray_httomo" / "k11-18014-imaging.h5"
    stored = ingest(f"{path}::entry/detector/detector", tmp_path / "a.zarr")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(stored.images, file["entry/detector/detector"][:])


def test_real_photographs(data, tmp_path):
    stored = ingest(data / "small_signdigits_100", tmp_path / "a.zarr")
    assert stored.images.shape == (300, 3, 100, 100)
    name = str(stored.image_id.values[123])
    right = iio.imread(data / name)
    np.testing.assert_array_equal(stored.images[123].transpose("y", "x", "channel"), right)
