"""Images that are damaged, odd or hostile: one line that names them, never part of a result."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
from bad_input import call, frames, nothing_looks_whole
from PIL import Image

import pixtally as pt

RNG = np.random.default_rng(1)
GRAY = RNG.integers(0, 256, (16, 20), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (16, 20, 3), dtype=np.uint8)


@pytest.fixture
def good(tmp_path):
    """A folder with three good images."""
    return frames(tmp_path / "run")


def saved(image, kind, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(array):
    file = io.BytesIO()
    np.savez_compressed(file, a=array)
    return file.getvalue()


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def fits(array):
    file = io.BytesIO()
    pytest.importorskip("astropy.io.fits").writeto(file, array)
    return file.getvalue()


def hdf5(array):
    h5py = pytest.importorskip("h5py")
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened.create_dataset("data", data=array, chunks=True, compression="gzip", fletcher32=True)
    return file.getvalue()


WHOLE = {
    "png": lambda: saved(GRAY, "PNG"),
    "jpg": lambda: saved(GRAY, "JPEG"),
    "bmp": lambda: saved(GRAY, "BMP"),
    "pgm": lambda: saved(GRAY, "PPM"),
    "gif": lambda: saved(GRAY, "GIF"),
    "webp": lambda: saved(COLOUR, "WEBP", lossless=True),
    "tif": lambda: tiff(GRAY),
    "pages.tif": lambda: tiff(np.stack([GRAY, GRAY, GRAY]), photometric="minisblack"),
    "zip.tif": lambda: tiff(GRAY, compression="zlib"),
    "npy": lambda: npy(GRAY),
    "npz": lambda: npz(GRAY),
    "fits": lambda: fits(GRAY),
    "h5": lambda: hdf5(GRAY),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_truncated_at_every_sixteenth(kind, tmp_path):
    content = WHOLE[kind]()
    (tmp_path / f"whole.{kind}").write_bytes(content)
    assert call("ingest", tmp_path / f"whole.{kind}", tmp_path / "whole.zarr").code == 0
    whole = pt.open_images(tmp_path / "whole.zarr").values
    for part in range(16):
        path, dest = tmp_path / f"cut.{kind}", tmp_path / f"{part}.zarr"
        path.write_bytes(content[: len(content) * part // 16])
        found = call("ingest", path, dest)
        if found.code == 0:  # what was cut off held no sample
            np.testing.assert_array_equal(pt.open_images(dest).values, whole)
        else:
            assert f"cut.{kind}" in found.line
            assert "put it right, or leave it out with --on-error skip" in found.line
            nothing_looks_whole(dest)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width, height, depth=8, colour=0):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )


def header(shape, descr="|u1"):
    file = io.BytesIO()
    about = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


def zipped(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def objects():
    file = io.BytesIO()
    np.save(file, np.array([[1, "a"], [None, 2]], object), allow_pickle=True)
    return file.getvalue()


def huge_dataset(shape):
    h5py = pytest.importorskip("h5py")
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened.create_dataset("data", shape=shape, dtype="u1", chunks=(1, 16, 16))
    return file.getvalue()


def bomb_of_zeros():
    """A .npz of 64 KB that unfolds to one image of 64 MB, as its header says, and no more."""
    return zipped("a.npy", header((8_000, 8_000)) + bytes(8_000 * 8_000))


PALETTE = Image.fromarray(GRAY).convert("P")

REFUSED = {
    "wrong magic": ("x.png", lambda: b"\x89PNX" + bytes(100), "cannot be read"),
    "text": ("x.png", lambda: b"hello", "cannot be read"),
    "another kind": ("x.png", lambda: npy(GRAY), "cannot be read"),
    "palette": ("x.gif", lambda: saved(COLOUR, "GIF"), "with 3 channels; expected 16×20 uint8"),
    "colour": ("x.png", lambda: saved(COLOUR, "PNG"), "with 3 channels; expected 16×20 uint8"),
    "alpha": (
        "x.png",
        lambda: saved(RNG.integers(0, 256, (16, 20, 4), dtype=np.uint8), "PNG"),
        "with 4 channels; expected",
    ),
    "16 bits": (
        "x.png",
        lambda: saved(GRAY.astype(np.uint16), "PNG"),
        "is 16×20 uint16; expected 16×20 uint8",
    ),
    "16-bit colour": ("x.png", lambda: png(20, 16, 16, 2), "16-bit colour PNG"),
    "bomb": ("x.png", lambda: png(60_000, 60_000), "decompression bomb"),
    "half a bomb": ("x.png", lambda: png(13_000, 13_000), "cannot be read"),
    "bomb in TIFF": (
        "x.tif",
        lambda: tiff(np.zeros((2, 2), "u1")).replace(
            struct.pack("<HHIHH", 256, 4, 1, 2, 0)[:8] + struct.pack("<I", 2),
            struct.pack("<HHI", 256, 4, 1) + struct.pack("<I", 2**31 - 1),
        ),
        "x.tif",
    ),
    "empty": ("x.png", lambda: b"", "is empty (0 bytes)"),
    "huge .npy": ("x.npy", lambda: header((1, 10**6, 10**6)), "cut short"),
    "huge .npz": ("x.npz", lambda: zipped("a.npy", header((10**6, 10**6))), "claims an image of"),
    "overflowing .npz": ("x.npz", lambda: zipped("a.npy", header((2**40, 2**40))), "claims an"),
    "endless .npz": ("x.npz", lambda: zipped("a.npy", header((10**11, 16, 20))), "at most"),
    "objects": ("x.npy", objects, "x.npy"),
    "objects in .npz": ("x.npz", lambda: zipped("a.npy", objects()), "Python objects"),
    "huge HDF5 image": ("x.h5", lambda: huge_dataset((1, 2**20, 2**20)), "claims an image of"),
    "endless HDF5": ("x.h5", lambda: huge_dataset((2**50, 16, 20)), "at most"),
    "no zip": ("x.npz", lambda: b"PK\x03\x04" + bytes(50), "cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("alone", [False, True], ids=["last", "alone"])
def test_refused_in_one_line(case, alone, good, tmp_path):
    name, content, words = REFUSED[case]
    bad = tmp_path / "spoilt"
    bad.mkdir()
    (bad / name).write_bytes(content())
    dest = tmp_path / "dest.zarr"
    found = call("ingest", *([] if alone else [good]), bad, dest)
    if alone and found.code == 0:
        return  # an odd image is fine where it sets the example
    assert found.code == 1
    assert name in found.line
    assert words in found.line or alone or case in ("huge .npz", "overflowing .npz", "endless .npz")
    nothing_looks_whole(dest)
    if not alone and "endless" not in case:
        skipped = call("ingest", good, bad, dest, "--on-error", "skip")
        assert skipped.code == 3
        assert pt.open_images(dest).shape == (3, 16, 20)


READ = {
    "one bit": ("x.png", lambda: saved(GRAY > 99, "PNG"), (16, 20)),
    "CMYK": ("x.jpg", lambda: _cmyk(), (16, 20, 3)),
    "animated": ("x.gif", lambda: _animation(), (16, 20, 3)),
    "rotated by EXIF": ("x.jpg", lambda: _rotated(), (16, 20)),
}


def _cmyk():
    file = io.BytesIO()
    Image.fromarray(COLOUR).convert("CMYK").save(file, "JPEG")
    return file.getvalue()


def _animation():
    file = io.BytesIO()
    pages = [Image.fromarray(255 - COLOUR), Image.fromarray(COLOUR // 2)]
    Image.fromarray(COLOUR).save(file, "GIF", save_all=True, append_images=pages)
    return file.getvalue()


def _rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(GRAY, "JPEG", exif=exif)


@pytest.mark.parametrize("case", READ)
def test_odd_images_are_read_as_documented(case, tmp_path):
    name, content, shape = READ[case]
    (tmp_path / name).write_bytes(content())
    assert call("ingest", tmp_path / name, tmp_path / "dest.zarr").code == 0
    images = pt.open_images(tmp_path / "dest.zarr")
    pixels = (images.sizes["y"], images.sizes["x"])
    assert pixels == shape[:2], "rotation is not applied"
    assert images.sizes.get("channel", 1) == (shape[2] if len(shape) == 3 else 1)
    assert images.sizes["image"] == (3 if case == "animated" else 1)


def test_a_bomb_of_zeros_takes_its_image_and_no_more(tmp_path):
    (tmp_path / "x.npz").write_bytes(bomb_of_zeros())
    assert call("ingest", tmp_path / "x.npz", tmp_path / "dest.zarr").code in (0, 1)


ODD_NAMES = [b"a b.png", b"line\nbreak.png", b"\xff\xfe.png", "é ß 好.png".encode(), b"[1].png"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_read(name, good, tmp_path):
    os.link(good / "0.png", os.path.join(os.fsencode(good), name))
    dest = tmp_path / "dest.zarr"
    found = call("ingest", good, dest)
    assert found.code == 0, found.line
    assert call("info", dest).code == 0
    ids = pt.open_images(dest).image_id.values.tolist()
    assert len(set(ids)) == 4
    again = call("ingest", good, dest)
    assert "was complete already" in again.out


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_of_bad_images_are_told_in_one_line(name, good, tmp_path):
    with open(os.path.join(os.fsencode(good), name), "wb") as file:
        file.write(b"spoilt")
    found = call("ingest", good, tmp_path / "dest.zarr")
    assert found.code == 1
    assert "cannot be read" in found.line
    nothing_looks_whole(tmp_path / "dest.zarr")
    missing = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"no" + name))
    assert call("ingest", missing, tmp_path / "dest.zarr").code == 1
    assert call("info", missing).code == 1


@pytest.mark.parametrize("name", [b"\xff.zarr", b"line\nbreak.zarr", b"bell\x07.zarr"])
def test_names_that_no_store_can_have(name, good, tmp_path):
    dest = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
    found = call("ingest", good, dest)
    assert found.code == 1
    assert "is no name for a store" in found.line
    assert os.listdir(tmp_path) == ["run"]


def test_folders_and_links(good, tmp_path):
    (good / "folder.png").mkdir()
    (good / "dangling.png").symlink_to("gone")
    (good / "circle").symlink_to(good)
    for name, words in (("folder.png", "is a folder"), ("dangling.png", "is a link to gone")):
        found = call("ingest", good / "0.png", good / name, tmp_path / "dest.zarr")
        assert found.code == 1
        assert words in found.line
        nothing_looks_whole(tmp_path / "dest.zarr")
    (good / "dangling.png").unlink()
    assert call("ingest", good, tmp_path / "dest.zarr").code in (0, 1)
