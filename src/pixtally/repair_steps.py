"""Steps that repair images: fill, colormaps forwards and backwards, translate."""

from __future__ import annotations

from typing import ClassVar, Literal

import xarray as xr
from pydantic import Field

from pixtally.errors import PixtallyError
from pixtally.steps import ImagesStep, register
from pixtally.transforms import colormap, translate
from pixtally.transforms import fill as filling

Colours = str | list[list[float]]
"""A colormap's name, or its colours: 0…1, three or four a row."""


@register
class Fill(ImagesStep):
    """Give invalid pixels values."""

    name: ClassVar[str] = "fill"

    where: float | Literal["nan", "mask"] = Field(
        0, description="What is invalid: a value, nan, or the pipeline's mask (then used up)."
    )
    method: filling.Method = Field("nearest", description="Where the values come from.")
    value: float | None = Field(None, description="For the method constant.")
    max_distance: float | None = Field(None, description="Pixels farther from valid ones stay.")

    @property
    def uses_mask(self) -> bool:
        """Whether the pipeline's mask says what is filled, so that nothing is left out later."""
        return self.where == "mask"

    def apply(self, images: xr.DataArray) -> xr.DataArray:
        """Return the filled images."""
        if self.uses_mask:
            raise PixtallyError("fill: where is 'mask' but the pipeline has none; add mask: to it")
        return filling.fill(images, **self.model_dump())

    def apply_masked(self, images: xr.DataArray, mask: xr.DataArray) -> xr.DataArray:
        """Return the images with what the mask marks filled."""
        arguments = self.model_dump()
        if self.uses_mask:
            arguments["where"] = mask
        return filling.fill(images, **arguments)


class ColormapStep(ImagesStep):
    """What both directions need."""

    cmap: Colours = Field(description="Name of a matplotlib colormap, or its colours, 0 to 1.")
    vmin: float = Field(description="Value at the lower end of the colormap.")
    vmax: float = Field(description="Value at its upper end.")


@register
class ApplyColormap(ColormapStep):
    """Colour the values, as RGBA bytes."""

    name: ClassVar[str] = "apply_colormap"

    def apply(self, images: xr.DataArray) -> xr.DataArray:
        """Return the coloured images, channels before y."""
        coloured = colormap.apply_colormap(images, self.cmap, vmin=self.vmin, vmax=self.vmax)
        return coloured.transpose("image", "channel", ...)


@register
class InvertColormap(ColormapStep):
    """Turn pictures made with a colormap back into values."""

    name: ClassVar[str] = "invert_colormap"

    tolerance: float | None = Field(None, description="Colours farther from the map become NaN.")

    def apply(self, images: xr.DataArray) -> xr.DataArray:
        """Return the values."""
        found = colormap.invert_colormap(images, **self.model_dump())
        return found["value"].rename("images")


@register
class Translate(ImagesStep):
    """Move images by whole or fractional pixels."""

    name: ClassVar[str] = "translate"

    shift: tuple[float, float] | list[tuple[float, float]] = Field(
        description="Pixels right and down: one pair, or one pair an image."
    )
    method: translate.Method = Field("linear", description="Interpolation of fractions.")
    output: translate.Output = Field("same", description="Keep the size, or grow.")
    fill: float = Field(0, description="What moves in from outside.")
    edge: translate.Edge = Field("blend", description="Whether the border mixes with the fill.")

    def apply(self, images: xr.DataArray) -> xr.DataArray:
        """Return the moved images."""
        return translate.translate(images, **self.model_dump())
