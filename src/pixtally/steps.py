"""The steps of a pipeline by name; each takes the arguments of the function with its name.

To add a step: a class with the function's arguments as fields, of one of the four kinds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pixtally import answers
from pixtally.axis import make_axis


class Step(BaseModel):
    """One step.

    Attributes
    ----------
    name : str
        As written in the YAML.
    stage : int
        0: images to images; 1: images to a histogram; 2: a histogram to statistic images;
        3: images and statistic images to pictures.
    """

    model_config = ConfigDict(extra="forbid")
    name: ClassVar[str] = ""
    stage: ClassVar[int] = 0


class ImagesStep(Step):
    """A step from images to images, lazily."""

    def apply(self, images: xr.DataArray) -> xr.DataArray:
        """Return the images after the step."""
        raise NotImplementedError

    def apply_masked(self, images: xr.DataArray, mask: xr.DataArray) -> xr.DataArray:
        """Return the images after the step, in a pipeline that has a mask (True: invalid)."""
        return self.apply(images)

    @property
    def uses_mask(self) -> bool:
        """Whether the step repairs what the mask marks, so that nothing is left out later."""
        return False

    def apply_within(
        self, images: xr.DataArray, folder: Path, mask: xr.DataArray | None
    ) -> xr.DataArray:
        """Return the images after the step, in a pipeline: its folder, and what it leaves out."""
        return self.apply(images) if mask is None else self.apply_masked(images, mask)


class AnswerStep(Step):
    """A step from a histogram to statistic images, lazily."""

    stage: ClassVar[int] = 2

    def answer(self, hist: xr.Dataset) -> dict[str, xr.DataArray]:
        """Return the statistic images by name."""
        raise NotImplementedError


class PictureStep(Step):
    """A step from images and their statistic images to pictures for people."""

    stage: ClassVar[int] = 3

    def pictures(self, images: xr.DataArray, statistics: xr.Dataset) -> dict[str, xr.DataArray]:
        """Return pictures of (y, x) or (y, x, channel) bytes by name."""
        raise NotImplementedError


STEPS: dict[str, type[Step]] = {}
"""Every step by name."""

StepClass = TypeVar("StepClass", bound=type[Step])


def register(step: StepClass) -> StepClass:
    """Add a step class to `STEPS`."""
    STEPS[step.name] = step
    return step


def steps_schema() -> dict[str, Any]:
    """Return the JSON schema of one step: an object with one of the names."""
    return {
        "oneOf": [
            {
                "type": "object",
                "properties": {name: step.model_json_schema()},
                "required": [name],
                "additionalProperties": False,
            }
            for name, step in STEPS.items()
        ]
    }


@register
class PixelHistogram(Step):
    """Count, for every pixel, how many images have a value in each bin."""

    name: ClassVar[str] = "pixel_histogram"
    stage: ClassVar[int] = 1

    bins: int | list[float] | None = Field(None, description="Number of bins, or their edges.")
    range: tuple[float, float] | None = Field(None, description="Outermost edges.")
    closed: Literal["left", "right"] = Field("left", description="Closed side of a bin.")

    @model_validator(mode="after")
    def _sound(self) -> PixelHistogram:
        """Refuse what no images could make right, before any is read."""
        if isinstance(self.bins, list) or self.range is not None or self.bins is not None:
            span = self.range or (None if isinstance(self.bins, list) else (0, 1))
            make_axis("f8", 1 if self.bins is None else self.bins, span, self.closed)
        return self


@register
class Quantiles(AnswerStep):
    """Quantile images of a histogram."""

    name: ClassVar[str] = "quantiles"

    q: list[float] = Field(description="Probabilities between 0 and 1.", min_length=1)

    def answer(self, hist: xr.Dataset) -> dict[str, xr.DataArray]:
        """Return the variable ``quantiles``."""
        return {"quantiles": answers.quantile(hist, self.q)}


Statistic = Literal["median", "mean", "var", "std", "mode", "entropy", "total"]


@register
class Statistics(AnswerStep):
    """Statistic images of a histogram."""

    name: ClassVar[str] = "statistics"

    names: list[Statistic] = Field(
        default=["median", "mean", "std", "mode", "entropy"], description="Which."
    )

    def answer(self, hist: xr.Dataset) -> dict[str, xr.DataArray]:
        """Return a variable for each name."""
        found = answers.statistics(hist, self.names)
        return {str(name): found[name] for name in found.data_vars}


@register
class Median(AnswerStep):
    """The median image: the background of a fixed camera."""

    name: ClassVar[str] = "median"

    def answer(self, hist: xr.Dataset) -> dict[str, xr.DataArray]:
        """Return the variable ``median``."""
        return {"median": answers.median(hist)}
