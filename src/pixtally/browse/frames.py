"""Frames of a collection: read a few at a time, changed live, as values and as pictures."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.browse.cut import Window
from pixtally.browse.shelf import Shelf
from pixtally.clahe import clahe
from pixtally.equalize import equalize
from pixtally.errors import PixtallyError
from pixtally.render import display_limits, render
from pixtally.sizes import MiB
from pixtally.transforms.fill import fill

RUN_BYTES = 96 * MiB
"""Neighbouring frames are read together up to this size: they are stored together."""


class Frames:
    """A collection of images, frame by frame.

    Parameters
    ----------
    images : DataArray, shape (image, y, x) or (image, channel, y, x)
        From `open_images`; anything with an ``image`` dimension.
    """

    def __init__(self, images: xr.DataArray) -> None:
        if images.ndim not in (3, 4) or "image" not in images.dims:
            raise PixtallyError(
                f"{images.name or 'images'} has {dict(images.sizes)}; frames are (image, y, x) or "
                "(image, channel, y, x)"
            )
        colour = ("channel",) if images.ndim == 4 and "channel" in images.dims else ()
        dims = [d for d in images.dims if d not in ("image", *colour)]
        self.images = images.transpose("image", *colour, *dims)
        if self.images.ndim == 4 and not colour:
            self.images = self.images.rename({dims[0]: "channel"})
        self.number = int(images.sizes["image"])
        self.channels = self.images.sizes.get("channel", 1)
        self.shape: tuple[int, int] = cast(tuple[int, int], self.images.shape[-2:])
        self.dtype = images.dtype
        self._shelf = Shelf(2 * RUN_BYTES)
        self._step = self._run()

    def _run(self) -> int:
        """Return how many frames are read together."""
        chunk = (self.images.encoding.get("chunks") or (1,))[0]
        frame = self.images.dtype.itemsize * int(np.prod(self.images.shape[1:]))
        return max(1, min(int(chunk), RUN_BYTES // max(1, frame)))

    def name(self, place: int) -> str:
        """Return the id of a frame, or its number."""
        ids = self.images.coords.get("image_id")
        return str(place) if ids is None else str(ids.values[place])

    def frame(self, place: int) -> NDArray[Any]:
        """Return a frame, shape (y, x) or (channel, y, x); places beyond the end are the last."""
        place = min(max(place, 0), self.number - 1)
        first = place // self._step * self._step
        run = self._shelf.get(first)
        if run is None:
            part = self.images[first : first + self._step]
            run = self._shelf.put(first, np.asarray(part.compute(scheduler="threads").values))
        found: NDArray[Any] = run[place - first]
        return found


def changed(frame: NDArray[Any], change: str, where: str = "0") -> NDArray[Any]:
    """Return a frame after a change, as the functions of the same names make it.

    Parameters
    ----------
    frame : ndarray, shape (y, x) or (channel, y, x)
        Real numbers.
    change : str
        ``none``, ``equalize-METHOD``, ``clahe`` or ``fill-METHOD``.
    where : str
        What `fill` replaces: a number, or ``nan``.

    Raises
    ------
    PixtallyError
        When the change does not fit the samples.

    Examples
    --------
    >>> changed(np.array([[0, 7], [9, 9]], "uint8"), "fill-median").tolist()
    [[9, 7], [9, 9]]
    """
    what, _, method = change.partition("-")
    if what == "none":
        return frame
    images = _as_collection(frame)
    made: Any
    if what == "clahe":
        made = clahe(images, range=None if frame.dtype.kind in "iu" else _ends(frame))
    elif what == "fill":
        made = fill(images, where if where == "nan" else float(where), cast(Any, method))
    else:
        made = equalize(images, cast(Any, method))
    result: NDArray[Any] = np.asarray(made.values)[0]
    return result


def _as_collection(frame: NDArray[Any]) -> xr.DataArray:
    dims = ("image", "y", "x") if frame.ndim == 2 else ("image", "channel", "y", "x")
    return xr.DataArray(frame[None], dims=dims)


def _ends(frame: NDArray[Any]) -> tuple[float, float]:
    low, high = display_limits(frame, "minmax")
    return low, high if high > low else low + 1


def picture(
    frame: NDArray[Any], window: Window, style: str, cmap: str
) -> tuple[NDArray[np.uint32], tuple[float, float] | None]:
    """Return what imshow would show of the part in view, as RGBA words, and its limits.

    Parameters
    ----------
    frame : ndarray, shape (y, x) or (channel, y, x)
        The whole frame: limits follow from all of it.
    window : Window
        The view.
    style : {"minmax", "matlab", "imagesc", "matplotlib"}
        Whose limits.
    cmap : str
        Colours.

    Returns
    -------
    words : ndarray of uint32, shape ``window.shape``
        Red is the lowest byte.
    limits : (float, float) or None
        None for colour images, which are shown as they are.
    """
    whose: Any = "matplotlib" if style == "matplotlib" else "matlab"
    limits = None
    shown = frame
    if frame.ndim == 3 and frame.shape[0] not in (3, 4):
        shown = frame[0]
    if shown.ndim == 2:
        limits = display_limits(shown, cast(Any, style))
    rows, columns = window.region.slices
    part = shown[
        ..., rows.start : rows.stop : window.stride, columns.start : columns.stop : window.stride
    ]
    if part.ndim == 3:
        part = np.moveaxis(part, 0, -1)
    rgb = render(part, limits, whose, cmap)
    opaque = np.full((*rgb.shape[:2], 4), 255, np.uint8)
    opaque[..., :3] = rgb
    return opaque.view(np.uint32)[..., 0], limits


def counted(frame: NDArray[Any], bins: int = 256) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the histogram of a frame's finite samples over their range, and its edges."""
    if frame.dtype.kind == "b":
        frame = frame.view(np.uint8)
    values = frame[np.isfinite(frame)] if frame.dtype.kind == "f" else frame.ravel()
    if not values.size:
        return np.zeros(1, np.int64), np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    if frame.dtype.kind in "iu" and high - low < bins:
        return np.histogram(values, np.arange(low, high + 2) - 0.5)
    return np.histogram(values, bins, (low, high if high > low else low + 1))
