"""Naming images: natural order, ids, and every kind of file read as its own library reads it."""

import os
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage

from pixtally.errors import PixtallyError
from pixtally.kernels.luma import luma
from pixtally.layout import choose_layout, pieces_of
from pixtally.readers import READERS, Found, Reader, UnreadableError, read_images
from pixtally.readers.arrays import channel_axis
from pixtally.sources import Source, list_sources, natural_key

RNG = np.random.default_rng(2)
DATA = Path(os.environ.get("PIXTALLY_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture
def data():
    if not DATA.is_dir():
        pytest.skip(f"real collections are not at {DATA} (set PIXTALLY_DATA)")
    return DATA


def noise(*shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def only(name, **kwargs):
    sources, left_out = list_sources(name, **kwargs)
    assert not left_out
    assert len(sources) == 1
    return sources[0]


def every(source, start=0, stop=None):
    stop = source.images if stop is None else stop
    return list(read_images(source.path, source.inner, start, stop, source.sequential))


def stack(source):
    return np.stack(every(source))


# ---------------------------------------------------------------- order and ids


def test_natural_order_goes_folder_by_folder():
    names = ["f10/1.png", "f2/10.png", "f2/2.png", "f2/a.png", "f2/B.png", "F1/x.png"]
    right = ["F1/x.png", "f2/2.png", "f2/10.png", "f2/a.png", "f2/B.png", "f10/1.png"]
    assert sorted(names, key=natural_key) == right


@given(st.lists(st.text(alphabet="a1²0/é.", max_size=6)))
def test_natural_key_orders_anything_totally(names):
    keys = [natural_key(name) for name in names]
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)
    assert len(set(keys)) == len(set(names))


def frames(folder, *numbers):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.png" for number in numbers]
    for path in paths:
        iio.imwrite(path, noise(4, 5))
    return paths


def names_of(named, **kwargs):
    return [source.name for source in list_sources(named, **kwargs)[0]]


def test_folder_glob_and_list_give_the_same_ids(tmp_path, monkeypatch):
    paths = frames(tmp_path / "day1", 10, 2, 1)
    right = ["day1/1.png", "day1/2.png", "day1/10.png"]
    assert names_of(tmp_path / "day1") == right
    assert names_of(str(tmp_path / "day1" / "*.png")) == right
    assert names_of(paths) == right
    monkeypatch.chdir(tmp_path / "day1")
    assert names_of(["10.png", "1.png", "2.png"]) == right
    assert names_of(["10.png", "1.png", "2.png"], order="given") == ["day1/10.png", *right[:2]]


def test_named_twice_counts_once(tmp_path):
    paths = frames(tmp_path / "day1", 1, 2)
    assert len(names_of([tmp_path / "day1", *paths, str(tmp_path / "*" / "1.png")])) == 2


def test_same_names_in_two_folders_stay_apart(tmp_path):
    for camera in ("left", "right"):
        frames(tmp_path / camera / "run", 1)
    assert names_of(tmp_path) == ["left/run/1.png", "right/run/1.png"]


def test_folder_leaves_alone_what_is_hidden_or_no_image(tmp_path):
    frames(tmp_path, 1)
    frames(tmp_path / ".thumbnails", 1)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".2.png").write_text("x")
    assert names_of(tmp_path) == [f"{tmp_path.name}/1.png"]


def test_folder_follows_links_but_not_in_circles(tmp_path):
    frames(tmp_path / "far", 1)
    frames(tmp_path / "near", 2)
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "near")
    (tmp_path / "near" / "a.zarr.partial" / "parts").mkdir(parents=True)
    np.save(tmp_path / "near" / "a.zarr.partial" / "parts" / "1.npy", noise(4, 4))
    assert names_of(tmp_path / "near") == ["near/2.png", "link/1.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_name_that_is_no_unicode(tmp_path):
    iio.imwrite(tmp_path / "a.png", noise(4, 4))
    os.rename(tmp_path / "a.png", os.path.join(os.fsencode(tmp_path), b"\xff.png"))
    assert names_of(tmp_path) == [f"{tmp_path.name}/\\xff.png"]


def test_name_with_brackets_is_itself_before_it_is_a_glob(tmp_path):
    iio.imwrite(tmp_path / "a[1].png", noise(4, 4))
    assert names_of(tmp_path / "a[1].png") == [f"{tmp_path.name}/a[1].png"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("*.png", "no file matches"),
        ("empty", "holds no file of a known kind"),
        ("x.png::name", "picks an array"),
    ],
)
def test_naming_nothing_is_one_line(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PixtallyError, match=words) as caught:
        list_sources(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_empty_list_and_unknown_order():
    with pytest.raises(PixtallyError, match="no sources"):
        list_sources([])
    with pytest.raises(PixtallyError, match="order"):
        list_sources("x.png", order="alphabetic")


def test_unusable_files_are_listed_with_the_reason(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "short.npy").write_bytes(b"\x93NUMPY\x01\x00")
    (tmp_path / "text.tif").write_text("not an image")
    (tmp_path / "what.xyz").write_text("x")
    sources, left_out = list_sources([*tmp_path.iterdir(), tmp_path / "absent.png"])
    assert sources == []
    why = {Path(bad.image).name: bad.reason for bad in left_out}
    assert "is a folder" in why["folder.png"]
    assert "is a link to" in why["dangling.png"]
    assert "0 bytes" in why["empty.png"]
    assert "cannot be read" in why["short.npy"]
    assert "cannot be read" in why["text.tif"]
    assert "no known kind" in why["what.xyz"]
    assert "does not exist" in why["absent.png"]
    assert not any("\n" in reason for reason in why.values())


# ---------------------------------------------------------------- pillow's formats


@pytest.mark.parametrize("extension", ["png", "bmp", "pgm"])
def test_gray_files_read_as_they_are(tmp_path, extension):
    image = noise(7, 9)
    iio.imwrite(tmp_path / f"a.{extension}", image)
    np.testing.assert_array_equal(stack(only(tmp_path / f"a.{extension}")), [image])


def test_jpeg_equals_pillow(tmp_path):
    PilImage.fromarray(noise(16, 16, 3)).save(tmp_path / "a.jpg")
    with PilImage.open(tmp_path / "a.jpg") as right:
        np.testing.assert_array_equal(stack(only(tmp_path / "a.jpg"))[0], np.asarray(right))


@pytest.mark.parametrize("extension", ["png", "pgm"])
def test_sixteen_bit_gray_is_kept(tmp_path, extension):
    image = noise(6, 5, dtype=np.uint16)
    image[0, 0] = 65535
    PilImage.fromarray(image).save(tmp_path / f"a.{extension}")
    read = stack(only(tmp_path / f"a.{extension}"))[0]
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, image)


def test_one_bit_becomes_0_and_255(tmp_path):
    bits = noise(8, 8) > 127
    PilImage.fromarray(bits).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", bits, photometric="minisblack")
    for name in ("a.png", "a.tif"):
        read = stack(only(tmp_path / name))[0]
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, bits * 255)


def test_palette_is_expanded_and_cmyk_becomes_rgb(tmp_path):
    colour = PilImage.fromarray(noise(8, 8, 3))
    colour.quantize(16).save(tmp_path / "a.png")
    colour.convert("CMYK").save(tmp_path / "a.jpg")
    for name in ("a.png", "a.jpg"):
        with PilImage.open(tmp_path / name) as right:
            rgb = np.asarray(right.convert("RGB"))
        np.testing.assert_array_equal(stack(only(tmp_path / name))[0], rgb)


def test_exif_rotation_is_not_applied(tmp_path):
    exif = PilImage.Exif()
    exif[0x0112] = 6
    PilImage.fromarray(noise(8, 16)).save(tmp_path / "a.jpg", exif=exif)
    assert stack(only(tmp_path / "a.jpg")).shape == (1, 8, 16)


@pytest.mark.parametrize("extension", ["gif", "png", "webp"])
def test_animation_is_a_stack(tmp_path, extension):
    pages = [PilImage.fromarray(noise(8, 8, 3)) for _ in range(3)]
    path = tmp_path / f"a.{extension}"
    pages[0].save(path, save_all=True, append_images=pages[1:], lossless=True)
    source = only(path)
    assert (source.images, source.sequential) == (3, True)
    assert source.image_id(1).endswith(f"a.{extension}#00001")
    read = stack(source)
    assert read.shape[:4] == (3, 8, 8, 3)
    if extension == "png":
        np.testing.assert_array_equal(read[..., :3], [np.asarray(page) for page in pages])


def deep_png(path):
    def chunk(name, body):
        crc = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = zlib.compress(b"\0" + bytes(12))
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    path.write_bytes(head + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def test_sixteen_bit_colour_png_is_refused(tmp_path):
    deep_png(tmp_path / "a.png")
    (bad,) = every(only(tmp_path / "a.png"))
    assert "16-bit colour PNG" in str(bad)


def test_decompression_bomb_is_refused(tmp_path, monkeypatch):
    iio.imwrite(tmp_path / "a.png", noise(40, 40))
    monkeypatch.setattr(PilImage, "MAX_IMAGE_PIXELS", 100)
    (bad,) = every(only(tmp_path / "a.png"))
    assert "decompression bomb" in str(bad)


# ---------------------------------------------------------------- TIFF


def test_tiff_pages_are_numbered_images(tmp_path):
    pages = noise(12, 5, 6, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    source = only(tmp_path / "stack.tif")
    assert source.image_id(11).endswith("stack.tif#00011")
    np.testing.assert_array_equal(stack(source), pages)
    np.testing.assert_array_equal(every(source, 3, 5), pages[3:5])


@pytest.mark.parametrize(("planar", "axes"), [("contig", -1), ("separate", 0)])
def test_tiff_colour_reads_alike_from_planes(tmp_path, planar, axes):
    image = noise(5, 6, 3)
    stored = np.moveaxis(image, -1, axes)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(stack(only(tmp_path / "a.tif")), [image])


def test_tiff_with_one_page_entry_for_all_images(tmp_path):
    pages = noise(7, 16, 16)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", truncate=True)
    source = only(tmp_path / "a.tif")
    assert source.images == 7
    np.testing.assert_array_equal(stack(source), pages)


def test_tiff_palette_keeps_stored_values(tmp_path):
    image = noise(6, 6)
    ramp = np.repeat(np.arange(256, dtype=np.uint16)[None] * 256, 3, 0)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="palette", colormap=ramp)
    np.testing.assert_array_equal(stack(only(tmp_path / "a.tif")), [image])


def test_tiff_cut_short_keeps_its_whole_pages(tmp_path):
    pages = noise(6, 16, 16)
    for page in pages:
        tifffile.imwrite(tmp_path / "a.tif", page, append=True, photometric="minisblack")
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: len(whole) * 2 // 3])
    read = every(only(tmp_path / "a.tif"))
    good = [image for image in read if isinstance(image, np.ndarray)]
    assert 2 <= len(good) < len(read)
    assert isinstance(read[-1], UnreadableError)
    np.testing.assert_array_equal(good, pages[: len(good)])


def test_tiff_lzw_is_read(tmp_path):
    image = PilImage.fromarray(noise(16, 16))
    image.save(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(stack(only(tmp_path / "a.tif")), [np.asarray(image)])


# ---------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((4, 5), None), ((3, 4, 5), None), ((9, 1, 5, 5), 1), ((9, 4, 5, 5), 1), ((9, 5, 5, 3), 3)],
)
def test_channel_axis_rule(shape, axis):
    assert channel_axis(shape) == axis


@pytest.mark.parametrize("shape", [(5,), (9, 5, 5, 5), (1, 2, 3, 4, 5), (0, 4, 4)])
def test_channel_axis_refuses_what_is_no_stack(shape):
    with pytest.raises(UnreadableError, match="array of shape"):
        channel_axis(shape)


@pytest.mark.parametrize("shape", [(6, 7), (5, 6, 7), (5, 3, 6, 7), (5, 6, 7, 1)])
@pytest.mark.parametrize("fortran", [False, True])
def test_npy_and_npz_equal_numpy(tmp_path, shape, fortran):
    array = np.array(noise(*shape), order="F" if fortran else "C")
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", array)
    right = array[None] if array.ndim == 2 else array
    right = np.moveaxis(right, 1, -1) if shape == (5, 3, 6, 7) else right
    for name in ("a.npy", "a.npz"):
        np.testing.assert_array_equal(stack(only(tmp_path / name)), right)
    if array.ndim > 2:
        np.testing.assert_array_equal(every(only(tmp_path / "a.npz"), 2, 4), right[2:4])


def test_npz_array_is_picked_by_name(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, one=noise(2, 3, 4), two=noise(5, 3, 4))
    assert only(f"{path}::two").image_id(4) == f"{tmp_path.name}/a.npz::two#00004"
    for name in (str(path), f"{path}::three"):
        with pytest.raises(PixtallyError, match="there: one, two"):
            list_sources(name)


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}]], dtype=object))
    np.savez(tmp_path / "a.npz", np.array([[{}]], dtype=object))
    for name in ("a.npy", "a.npz"):
        sources, left_out = list_sources(tmp_path / name)
        assert not sources
        assert "bject" in left_out[0].reason


def test_npz_cut_short(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        np.save(tmp_path / "a.npy", noise(4, 3, 3))
        file.writestr("x.npy", (tmp_path / "a.npy").read_bytes()[:-10])
    read = every(only(tmp_path / "a.npz"))
    assert len(read) == 4
    assert "ends before" in str(read[3])


def test_hdf5_dataset(tmp_path):
    h5py = pytest.importorskip("h5py")
    array = noise(9, 5, 6, dtype=np.uint16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("entry/data", data=array, chunks=(4, 5, 6), compression="gzip")
        file["time"] = np.arange(9)
        file["alias"] = h5py.SoftLink("/entry/data")
    for name in ("a.h5", "a.h5::entry/data", "a.h5::/entry/data", "a.h5::alias"):
        np.testing.assert_array_equal(stack(only(f"{tmp_path}/{name}")), array)
    np.testing.assert_array_equal(every(only(tmp_path / "a.h5"), 3, 8), array[3:8])
    with pytest.raises(PixtallyError, match="no dataset 'nope'; there: entry/data"):
        list_sources(f"{tmp_path}/a.h5::nope")


def test_fits_is_scaled_and_native(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    array = noise(4, 5, 6, dtype=np.uint16)
    array[0, 0, 0] = 65535
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(array), fits.ImageHDU(noise(5, 6))]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    np.testing.assert_array_equal(stack(only(tmp_path / "a.fits")), array)
    assert only(f"{tmp_path}/a.fits::2").images == 1


@pytest.mark.parametrize("kind", ["zarr", "nc"])
def test_xarray_stores(tmp_path, kind):
    array = noise(9, 5, 6)
    dataset = xr.Dataset({"v": (("time", "lat", "lon"), array), "t": ("time", np.arange(9))})
    path = tmp_path / f"a.{kind}"
    if kind == "zarr":
        dataset.to_zarr(path, zarr_format=2)
    else:
        dataset.to_netcdf(path, engine="h5netcdf")
    np.testing.assert_array_equal(stack(only(f"{path}::v")), array)
    assert only(path).images == 9


def test_missing_extra_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(PixtallyError, match=r"pip install 'pixtally\[video\]'"):
        list_sources(tmp_path / "a.mp4")


def test_a_reader_of_ones_own_is_enough(tmp_path, monkeypatch):
    def read(path, inner, start, stop):
        yield from (np.full((2, 2), value) for value in range(start, stop))

    monkeypatch.setattr(
        "pixtally.readers.READERS",
        [*READERS, Reader("fake", (".fake",), lambda path, inner: Found(3, True), read)],
    )
    (tmp_path / "a.fake").write_text("x")
    assert [int(image[0, 0]) for image in every(only(tmp_path / "a.fake"))] == [0, 1, 2]


# ---------------------------------------------------------------- video


@pytest.fixture
def clip(tmp_path):
    av = pytest.importorskip("av")

    def write(name="a.mp4", codec="mpeg4", count=12, **options):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=10, options=options)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for k in range(count):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * k % 256, np.uint8))
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return tmp_path / name

    return write


def test_video_equals_imageio(clip):
    path = clip()
    right = iio.imread(path, plugin="pyav")
    source = only(path)
    assert source.images == 12
    np.testing.assert_array_equal(stack(source), right)
    np.testing.assert_array_equal(every(source, 5, 7), right[5:7])


def test_video_with_hidden_frames_loses_none(clip):
    path = clip("a.webm", "libvpx", 40, **{"auto-alt-ref": "1", "lag-in-frames": "16"})
    source = only(path)
    assert source.images == 40
    assert not any(isinstance(image, UnreadableError) for image in every(source))


def test_video_cut_short_says_where_it_ends(clip):
    import av

    path = clip(count=40)
    cut = path.with_name("cut.mp4")
    front = {"movflags": "faststart"}  # the index in front survives the cut
    with (
        av.open(str(path)) as old,
        av.open(str(cut), "w", options=front) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    source = only(cut)
    read = every(source)
    assert source.images == len(read) == 40
    assert isinstance(read[-1], UnreadableError)
    assert isinstance(read[0], np.ndarray)


# ---------------------------------------------------------------- real collections


@pytest.mark.parametrize(
    ("name", "files", "images", "shape", "dtype"),
    [
        ("video_intel/car-detection.mp4", 1, 377, (432, 768, 3), "uint8"),
        ("micro_trackpy_brightfield", 50, 1, (500, 500), "uint8"),
        ("micro_cp_illum/*.TIF", 36, 1, (512, 512), "uint8"),
        ("xray_httomo/k11-18014-imaging.h5", 1, 3201, (22, 26), "uint16"),
        ("sat_eolearn/NDVI.npy", 1, 68, (101, 100, 1), "float32"),
        ("sat_rasterio_nodata/RGB.byte.tif", 1, 1, (718, 791, 3), "uint8"),
        ("small_signdigits_100", 300, 1, (100, 100, 3), "uint8"),
    ],
)
def test_real_collections(data, name, files, images, shape, dtype):
    sources, left_out = list_sources(data / name)
    assert not left_out
    assert len(sources) == files
    assert {source.images for source in sources} == {images}
    (first,) = every(sources[0], 0, 1)
    assert (first.shape, str(first.dtype)) == (shape, dtype)


# ---------------------------------------------------------------- gray, layout


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32"])
@pytest.mark.parametrize("channels", [3, 4])
def test_luma_is_the_stated_formula(dtype, channels):
    colour = noise(31, 17, channels, dtype=dtype)
    colour[0, 0] = np.iinfo(dtype).max
    red, green, blue = (colour[..., k].astype(object) for k in range(3))
    right = (299 * red + 587 * green + 114 * blue + 500) // 1000
    gray = luma(colour)
    assert gray.dtype == dtype
    np.testing.assert_array_equal(gray, right.astype(dtype))


def test_luma_every_uint8_sum_and_strided_input():
    red, green, blue = np.meshgrid(*[np.arange(0, 256, 3, dtype=np.uint8)] * 3)
    colour = np.stack([red, green, blue])[:, :, ::2].reshape(3, 86, -1)
    wide = colour.astype(np.int64)
    right = (299 * wide[0] + 587 * wide[1] + 114 * wide[2] + 500) // 1000
    np.testing.assert_array_equal(luma(np.moveaxis(colour, 0, -1)), right)


def test_luma_of_floats_and_of_what_has_none():
    colour = RNG.random((5, 6, 3), np.float32)
    right = colour.astype(float) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(luma(colour), right, rtol=1e-6)
    with pytest.raises(TypeError, match="uint64"):
        luma(colour.astype(np.uint64))


@pytest.mark.parametrize(
    ("images", "frame", "itemsize", "chunks", "shards"),
    [
        (1394, (432, 768), 1, (64, 108, 128), (64, 432, 768)),
        (100_000, (1500, 1500), 1, (64, 125, 125), (64, 1500, 1500)),
        (100_000, (512, 512), 1, (64, 128, 128), (1024, 512, 512)),
        (3201, (22, 26), 2, (512, 22, 26), (3584, 22, 26)),
        (10, (3, 191, 400), 1, (10, 3, 191, 100), (10, 3, 191, 400)),
        (1, (4, 4), 8, (1, 4, 4), (1, 4, 4)),
    ],
)
def test_layout_table(images, frame, itemsize, chunks, shards):
    layout = choose_layout(images, frame, itemsize)
    assert (layout.chunks, layout.shards) == (chunks, shards)


def test_layout_refuses_chunks_of_another_rank():
    with pytest.raises(PixtallyError, match="expected 3 lengths"):
        choose_layout(10, (4, 4), 1, (2, 2))
    assert choose_layout(10, (4, 4), 1, (3, 4, 2)).chunks == (3, 4, 2)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 5))
def test_pieces_cover_every_image_once(counts, length):
    layout = choose_layout(sum(counts), (2, 2), 1, (length, 2, 2))
    layout = type(layout)(layout.shape, layout.chunks, layout.chunks)
    pieces = [piece for shard in pieces_of(counts, layout) for piece in shard]
    images = [(p.source, k) for p in pieces for k in range(p.start, p.stop)]
    assert images == [(source, k) for source, n in enumerate(counts) for k in range(n)]
    assert [p.row for p in pieces] == list(np.cumsum([0, *(p.stop - p.start for p in pieces)])[:-1])


def test_source_ids():
    assert Source("/a/b.png", "", "a/b.png").image_id(0) == "a/b.png"
