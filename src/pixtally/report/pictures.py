"""Images of a report as PNG data, coloured, without any file."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixtally.colormaps import colour_table
from pixtally.display import robust_span
from pixtally.screen import ScreenImage, screen_step

THUMBNAIL_SIDE = 240

GRAY = "gray"
SPREAD = "viridis"
CMAPS = {"median": GRAY, "mean": GRAY, "mode": GRAY, "std": "inferno", "entropy": SPREAD}
COLOURS = 255
"""Of a map in a PNG; the last place of its palette is left for what was never seen."""


@dataclass(frozen=True)
class Picture:
    """A coloured image.

    Attributes
    ----------
    png : bytes
    size : (int, int)
        Width and height.
    span : (float, float)
        Values of the first and the last colour.
    cmap : str
    """

    png: bytes
    size: tuple[int, int]
    span: tuple[float, float]
    cmap: str

    @property
    def uri(self) -> str:
        """The image as a data URI."""
        return data_uri(self.png)


def data_uri(png: bytes) -> str:
    """Return PNG data as a URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def coloured(image: NDArray[np.float64], span: tuple[float, float], cmap: str) -> Picture:
    """Return an image of (y, x) as a PNG with a palette; NaN is transparent."""
    low, high = span
    scaled = (image - low) / ((high - low) or 1.0) * COLOURS
    places = np.clip(np.nan_to_num(scaled), 0, COLOURS - 1).astype(np.uint8)
    places[~np.isfinite(image)] = COLOURS
    made = Image.fromarray(places, mode=None)
    made.putpalette(palette(cmap).ravel().tolist())
    return Picture(_png(made, transparency=COLOURS), (image.shape[1], image.shape[0]), span, cmap)


def palette(cmap: str) -> NDArray[np.uint8]:
    """Return the colours of a map as bytes, shape (256, 3); the last stands for no value."""
    table = colour_table(cmap)
    chosen = np.linspace(0, table.size - 1, COLOURS).round().astype(int)
    return np.concatenate([table.bytes[chosen, :3], np.full((1, 3), 128, np.uint8)])


def composite(channels: NDArray[np.float64], span: tuple[float, float]) -> Picture:
    """Return an image of (3, y, x) in its colours."""
    low, high = span
    scaled = (np.moveaxis(channels, 0, -1) - low) / ((high - low) or 1.0) * 255
    made = Image.fromarray(np.clip(np.nan_to_num(scaled), 0, 255).round().astype(np.uint8))
    return Picture(_png(made), (channels.shape[2], channels.shape[1]), span, "channels")


def shared_span(images: list[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the span that shows nearly all of several images alike."""
    low, high = robust_span(np.concatenate([image.ravel() for image in images]))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def thumbnail(values: NDArray[Any], span: tuple[float, float]) -> Picture:
    """Return a small gray or colour image of (y, x) or (3, y, x)."""
    planes = values if values.ndim == 3 else values[None]
    small = []
    for plane in planes[:3] if len(planes) >= 3 else planes[:1]:
        shape = (plane.shape[0], plane.shape[1])
        image = ScreenImage(shape, screen_step(shape, THUMBNAIL_SIDE))
        image.add((0, 0), plane.astype(np.float64))
        small.append(image.mean())
    return coloured(small[0], span, GRAY) if len(small) == 1 else composite(np.stack(small), span)


def gradient(cmap: str) -> str:
    """Return a colormap as the stops of a CSS gradient."""
    table = palette(cmap)
    places = np.linspace(0, COLOURS - 1, 17).round().astype(int)
    return ", ".join("#{:02x}{:02x}{:02x}".format(*table[k]) for k in places)


def _png(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6, **options)
    return file.getvalue()
