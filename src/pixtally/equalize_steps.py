"""The steps of a pipeline that equalize images, and what their arguments name on disk."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import imageio.v3 as iio
import xarray as xr
from pydantic import Field

from pixtally.clahe import clahe
from pixtally.equalize import equalize
from pixtally.errors import PixtallyError
from pixtally.match import match_histogram
from pixtally.steps import ImagesStep, register
from pixtally.store import open_histogram, open_images


class EqualizingStep(ImagesStep):
    """A step that leaves masked samples out and may read another store."""

    def apply(self, images: xr.DataArray) -> xr.DataArray:
        """Return the equalized images; paths start where the program does."""
        return self.apply_within(images, Path(), None)


@register
class Equalize(EqualizingStep):
    """Equalize every image, all images together, or every pixel."""

    name: ClassVar[str] = "equalize"

    method: Literal["interp", "cdf", "lut", "opencv", "rank", "matlab"] = Field(
        "interp", description="Whose equalization."
    )
    bins: int | None = Field(None, ge=2, description="Bins, or output levels of matlab.")
    range: tuple[float, float] | None = Field(None, description="Ends of the bins.")
    scope: Literal["image", "collection", "pixel"] = Field(
        "image", description="Whose distribution."
    )
    histogram: str | None = Field(None, description="Store of a histogram, for scope: pixel.")
    dtype: str | None = Field(None, description="Of the result, such as uint8.")
    normalize: bool = Field(False, description="Divide ranks by the number of samples less one.")
    fill: float | None = Field(None, description="What invalid samples become.")
    channels: Literal["each", "luminance"] = Field("each", description="What is equalized.")

    def apply_within(
        self, images: xr.DataArray, folder: Path, mask: xr.DataArray | None
    ) -> xr.DataArray:
        """Return the equalized images; the histogram's path starts at `folder`."""
        arguments = self.model_dump(exclude={"histogram"})
        hist = None if self.histogram is None else open_histogram(folder / self.histogram)
        return equalize(images, **arguments, histogram=hist, mask=mask)


@register
class Clahe(EqualizingStep):
    """Equalize every image tile by tile with limited contrast."""

    name: ClassVar[str] = "clahe"

    clip_limit: float = Field(2.0, ge=0, description="Clip at so many times a flat histogram.")
    tiles: tuple[int, int] = Field((8, 8), description="Tiles down and across.")
    range: tuple[float, float] | None = Field(None, description="What floats span.")

    def apply_within(
        self, images: xr.DataArray, folder: Path, mask: xr.DataArray | None
    ) -> xr.DataArray:
        """Return the equalized images."""
        return clahe(images, **self.model_dump(), mask=mask)


@register
class MatchHistogram(EqualizingStep):
    """Give every image the histogram of a reference."""

    name: ClassVar[str] = "match_histogram"

    reference: str = Field(description="An image file, a collection, or a stored histogram.")
    dtype: str | None = Field(None, description="Of the result, such as uint8.")

    def apply_within(
        self, images: xr.DataArray, folder: Path, mask: xr.DataArray | None
    ) -> xr.DataArray:
        """Return the matched images; the reference's path starts at `folder`."""
        reference = open_reference(folder / self.reference)
        return match_histogram(images, reference, dtype=self.dtype, mask=mask)


def open_reference(path: Path) -> xr.DataArray | xr.Dataset:
    """Open what images are matched to: a histogram, a collection, or one image file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Dataset or DataArray

    Raises
    ------
    PixtallyError
        When it is none of them.
    """
    if path.is_dir():
        return open_histogram(path) if (path / "counts").exists() else open_images(path)
    try:
        image = iio.imread(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise PixtallyError(f"reference {path} cannot be read as an image: {reason}") from None
    if image.ndim == 3:
        return xr.DataArray(image, dims=("y", "x", "channel"))
    return xr.DataArray(image, dims=("y", "x"))
