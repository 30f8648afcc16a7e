"""TIFF: every page is an image, numbered when there are several.

Decoded by tifffile; a compression that it lacks here (LZW, JPEG) falls back to pillow. Bands
stored as planes and interleaved colour read alike. One-bit pages become uint8 0 and 255. Palettes
(in microscopy a way to show counts, not to hold colours) and minimum-is-white are not applied:
the stored values are kept, as tifffile does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import tifffile
from PIL import Image as Pillow

from pixtally.limits import too_large
from pixtally.readers.base import Found, Image, Reader, UnreadableError
from pixtally.readers.raster import to_array

# tifffile tells the terminal about damaged tags; what matters of it is in our one line.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

ORDER: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
MAX_PIXELS = 178_956_970
"""The size at which pillow refuses an image as a decompression bomb; the same here."""


def scan(path: str, inner: str) -> Found:
    """Count the pages."""
    with tifffile.TiffFile(path) as file:
        images = _images_in_single_page(file) or len(file.pages) + _is_cut_short(file)
    return Found(images, numbered=images > 1)


def _is_cut_short(file: Any) -> bool:
    """Tell whether the last page that can be found points to another one.

    tifffile passes over that silently; here it counts as one more image, which cannot be read.
    """
    size = 8 if file.is_bigtiff else 4
    file.filehandle.seek(file.pages.next_page_offset)
    return int.from_bytes(file.filehandle.read(size), ORDER[file.byteorder]) != 0


def read(path: str, inner: str, start: int, stop: int) -> Iterator[Image | UnreadableError]:
    """Decode the pages ``start`` to ``stop``."""
    with tifffile.TiffFile(path) as file:
        if _images_in_single_page(file):
            yield from _contiguous(file)[start:stop]
            return
        for index in range(start, stop):
            yield _page(file, index, path)


def _images_in_single_page(file: Any) -> int:
    """Count the images where only the first has a page entry (ImageJ above 4 GiB), else 0."""
    if len(file.pages) != 1:
        return 0
    series = file.series[0]
    pixels = file.pages[0].size
    return int(series.size // pixels) if series.size > pixels and series.dataoffset else 0


def _contiguous(file: Any) -> Image:
    series, page = file.series[0], file.pages[0]
    flat = np.memmap(
        file.filehandle.path, file.byteorder + page.dtype.char, "r", series.dataoffset, series.size
    )
    return _channels_last(flat.reshape((-1, *page.shape)), "N" + page.axes)


def _page(file: Any, index: int, path: str) -> Image:
    page = file.pages[index]
    page = page.aspage() if hasattr(page, "aspage") else page
    pixels = page.imagewidth * page.imagelength * page.imagedepth
    if pixels > MAX_PIXELS:
        raise UnreadableError(f"has {pixels} pixels, more than the decompression-bomb limit")
    why = too_large(page.shape, page.dtype.itemsize if page.dtype is not None else 1)
    if why is not None:
        raise UnreadableError(why)
    try:
        image: Image = page.asarray(maxworkers=1)
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        return _by_pillow(path, index, str(error))
    if image.dtype == bool:
        return image.astype(np.uint8) * np.uint8(255)
    return _channels_last(image, page.axes)


def _channels_last(image: Image, axes: str) -> Image:
    return np.moveaxis(image, axes.index("S"), -1) if "S" in axes else image


def _by_pillow(path: str, index: int, lacking: str) -> Image:
    """Decode a page in a compression that tifffile has only with its optional package."""
    try:
        with Pillow.open(path) as file:
            file.seek(index)
            return to_array(file)
    except Exception as error:
        raise UnreadableError(f"cannot be read: {lacking}: pip install imagecodecs") from error


TIFF = Reader("TIFF", (".tif", ".tiff", ".btf", ".tf8"), scan, read)
