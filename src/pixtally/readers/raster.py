"""PNG, JPEG, BMP, PGM, GIF, WebP: one image a file, or an animation as a stack.

Decoded by pillow, the decoder behind imageio, which costs twice as much on small files. Palettes
are expanded to RGB, one-bit images become uint8 0 and 255, CMYK, YCbCr and Lab become RGB as
pillow converts them, 16-bit gray stays 16 bits. EXIF rotation and gamma are not applied: pixels
stay where the camera put them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image as Pillow

from pixtally.readers.base import Found, Image, Reader, UnreadableError

ANIMATED = (".gif", ".webp", ".apng")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
CONVERTED = {"CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "PA": "RGBA"}
CONVERTED |= {"1": "L", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}


def scan(path: str, inner: str) -> Found:
    """Count the images; only animations are opened by a decoder."""
    if path.lower().endswith(ANIMATED) or _is_apng(path):
        with Pillow.open(path) as file:
            images = int(getattr(file, "n_frames", 1))
        return Found(images, numbered=images > 1, sequential=images > 1)
    return Found()


def read(path: str, inner: str, start: int, stop: int) -> Iterator[Image | UnreadableError]:
    """Decode the images ``start`` to ``stop``, one by one."""
    _refuse_deep_colour(path)
    with Pillow.open(path) as file:
        for index in range(start, stop):
            if index:
                file.seek(index)
            yield to_array(file)


def to_array(image: Pillow.Image) -> Image:
    """Return the samples of an image that pillow has opened, converted as this file says."""
    mode = CONVERTED.get(image.mode)
    if image.format == "GIF":
        mode = "RGB"  # pillow changes the mode from frame to frame
    elif image.mode == "P" and image.palette is not None:
        mode = image.palette.mode
    samples: Image = np.asarray(image if mode is None else image.convert(mode))
    # pillow hands 16-bit PGM out as int32
    is_pgm = image.format == "PPM" and image.mode == "I"
    return samples.astype(np.uint16) if is_pgm else samples


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Names and first bytes of the chunks that stand before the image data."""
    if file.read(8) != PNG_SIGNATURE:
        return
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IDAT":
            return
        body = file.read(min(length, 16))
        yield name, body
        file.seek(length - len(body) + 4, 1)


def _is_apng(path: str) -> bool:
    if not path.lower().endswith(".png"):
        return False
    with open(path, "rb") as file:
        return any(name == b"acTL" for name, _ in _png_chunks(file))


def _refuse_deep_colour(path: str) -> None:
    """Pillow silently drops the low byte of 16-bit colour: better to say so and stop."""
    if not path.lower().endswith((".png", ".apng")):
        return
    with open(path, "rb") as file:
        header = next((body for name, body in _png_chunks(file) if name == b"IHDR"), b"")
    depth, colour = (header[8], header[9]) if len(header) >= 10 else (8, 0)
    if depth == 16 and colour != 0:
        raise UnreadableError("is a 16-bit colour PNG, read only to 8 bits; convert it to TIFF")


RASTER = Reader(
    "image",
    (".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".pnm", ".pbm", *ANIMATED),
    scan,
    read,
)
