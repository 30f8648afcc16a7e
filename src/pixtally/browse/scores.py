"""How far every pixel of a frame is from its background, for what is in view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally import schema
from pixtally.browse.cut import Region, Window, samples
from pixtally.browse.pictures import Canvas, Picture, Pictures, sampled
from pixtally.browse.shelf import Shelf
from pixtally.foreground import foreground
from pixtally.pixel_models import pixel_mixture
from pixtally.sizes import MiB

COMPONENTS = 3
MODELS_BYTES = 256 * MiB
PARTS = ("weights", "means", "stds")


class Scores:
    """Foreground scores of frames, from one mixture a pixel that is fitted where it is looked at.

    Parameters
    ----------
    pictures : Pictures
        Of the histogram of the frames.
    """

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures
        self.models = Shelf(MODELS_BYTES)

    def paint(self, plane: int, frame: NDArray[Any], window: Window) -> Iterator[Picture]:
        """Yield the scores of a frame, rough ones first where models have to be fitted.

        Parameters
        ----------
        plane : int
            Of the counts.
        frame : ndarray, shape (y, x)
            Samples like those that were counted.
        window : Window
            The view.
        """
        pictures, canvas = self.pictures, Canvas(window)
        missing, absent, total = [], 0, 0
        for tile in pictures.tiles.over(window.region):
            total += 1
            if not pictures.counts.complete(plane, tile):
                absent += 1
                continue
            model = self.models.get((plane, window.stride, tile))
            if model is None:
                missing.append(tile)
            else:
                canvas.put(tile, _score(model, frame, tile, window.stride, pictures))
        for left, tile in zip(range(len(missing), 0, -1), missing, strict=True):
            yield Picture(canvas.values.copy(), window, 1 - left / total, absent / total)
            model = self._model(plane, tile, window.stride)
            canvas.put(tile, _score(model, frame, tile, window.stride, pictures))
        yield Picture(canvas.values, window, 1.0, absent / max(1, total))

    def _model(self, plane: int, tile: Region, stride: int) -> NDArray[Any]:
        """Fit the sampled pixels of a tile; weights, means and stds, shape (3, y, x, component)."""
        counts = sampled(self.pictures.block(plane, tile), tile, stride)
        variable = xr.Variable(("y", "x", schema.BIN), counts)
        hist = xr.Dataset(
            {schema.COUNTS: variable}, coords=schema.bin_coords(self.pictures.counts.axis)
        )
        model = pixel_mixture(hist, COMPONENTS)
        stacked = np.stack([model[name].values for name in PARTS])
        return self.models.put((plane, stride, tile), stacked)


def _score(
    model: NDArray[Any], frame: NDArray[Any], tile: Region, stride: int, pictures: Pictures
) -> NDArray[np.float32]:
    ys, xs = samples(tile.y0, tile.y1, stride), samples(tile.x0, tile.x1, stride)
    if not len(ys) or not len(xs):
        return np.empty((len(ys), len(xs)), np.float32)
    part = frame[ys.start : tile.y1 : stride, xs.start : tile.x1 : stride]
    dims = ("y", "x", "component")
    width = float(np.median(pictures.counts.axis.widths))
    fitted = xr.Dataset(
        {name: (dims, model[k]) for k, name in enumerate(PARTS)}, attrs={"bin_width": width}
    )
    found: NDArray[np.float32] = foreground(part, fitted)["score"].values
    return found
