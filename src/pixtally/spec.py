"""The specification of a pipeline: what may stand in its YAML, field by field."""

from __future__ import annotations

from os import PathLike
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from pixtally import equalize_steps as equalize_steps  # registers its steps
from pixtally import model_steps as model_steps  # registers its steps
from pixtally import repair_steps as repair_steps  # registers its steps
from pixtally.cluster_file import first_problem
from pixtally.errors import PixtallyError
from pixtally.safe_yaml import read_yaml
from pixtally.steps import STEPS, Step, steps_schema

WAYS = ("images", "zarr", "demo")
"""The fields that say where images come from."""


class Strict(BaseModel):
    """A model that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid")


class Demo(Strict):
    """A fixed camera with shot noise, a drifting lamp, hot pixels and a moving object."""

    images: int = Field(2000, ge=2, le=1_000_000, description="How many images.")
    shape: tuple[int, int] = Field((256, 256), description="Rows and columns.")
    seed: int = Field(0, ge=0, description="Another seed gives another collection.")

    @field_validator("shape")
    @classmethod
    def _sensible(cls, shape: tuple[int, int]) -> tuple[int, int]:
        if min(shape) < 8 or max(shape) > 4096:
            raise ValueError("rows and columns are between 8 and 4096")
        return shape


class Where(Strict):
    """Where images come from: exactly one of images and zarr (and, for the source, demo)."""

    images: str | list[str] | None = Field(
        None, description="Files, globs, folders, video, file.h5::dataset; relative to the spec."
    )
    zarr: str | None = Field(None, description="A Zarr or NetCDF that holds images already.")
    variable: str | None = Field(None, description="The variable in it.")
    gray: bool = Field(False, description="Turn colour into gray (BT.601 luma).")
    on_error: Literal["stop", "skip"] = Field("stop", description="What a bad image does.")
    store: str | None = Field(
        None, description="Where ingested images go; by default beside the output."
    )

    @property
    def ways(self) -> list[str]:
        """Return the names of the ways that are given."""
        return [n for n in WAYS if getattr(self, n, None) is not None]

    @model_validator(mode="after")
    def _one_way(self) -> Where:
        if len(self.ways) != 1:
            found = " and ".join(self.ways) or "none"
            raise ValueError(f"name exactly one of images, zarr and demo (found {found})")
        if self.variable and self.zarr is None:
            raise ValueError("variable goes with zarr; in files name it as file.h5::variable")
        return self


class Source(Where):
    """The images of the pipeline."""

    demo: Demo | None = Field(None, description="Draw a collection and write it as PNG files.")


class Mask(Where):
    """Samples to leave out: True (or not 0) leaves a sample out."""

    invert: bool = Field(False, description="The file says which samples are valid instead.")


class Output(Strict):
    """Where results go, relative to the spec."""

    store: str = Field(description="Zarr store of the histogram (or of the resulting images).")
    statistics: str | None = Field(
        None, description="Zarr store of statistic images; by default <store>-statistics.zarr."
    )
    png: str | None = Field(None, description="Folder for statistic images as PNG.")
    report: str | None = Field(None, description="HTML report on the histogram to write.")


class Spec(Strict):
    """A whole pipeline."""

    source: Source
    mask: Mask | None = None
    steps: list[SerializeAsAny[Step]] = Field(min_length=1)
    output: Output

    def written(self) -> dict[str, str | None]:
        """Return the paths that the pipeline writes, by dotted name."""
        return {
            "source.store": self.source.store,
            "mask.store": self.mask.store if self.mask else None,
            "output.store": self.output.store,
            "output.statistics": self.output.statistics,
            "output.png": self.output.png,
            "output.report": self.output.report,
        }

    @field_validator("steps", mode="before")
    @classmethod
    def _read_steps(cls, steps: Any) -> list[Step]:
        if not isinstance(steps, list):
            raise ValueError("it is a list of steps such as '- pixel_histogram: {bins: 256}'")
        return [_read_step(step) for step in steps]

    @model_validator(mode="after")
    def _ordered(self) -> Spec:
        stages = [step.stage for step in self.steps]
        if stages != sorted(stages):
            raise ValueError(
                "steps that change images come first, then pixel_histogram, then what follows "
                f"from it, then pictures (found {', '.join(s.name for s in self.steps)})"
            )
        counting = [s.name for s in self.steps if s.stage == 1]
        if len(counting) > 1:
            raise ValueError("one pixel_histogram a pipeline")
        if not counting and stages[-1] > 1:
            raise ValueError(f"{self.steps[-1].name} needs a pixel_histogram before it")
        return self


def _read_step(step: Any) -> Step:
    if isinstance(step, Step):
        return step
    if isinstance(step, str):
        step = {step: {}}
    if not isinstance(step, dict) or len(step) != 1:
        raise ValueError(f"a step is one name with its arguments, not {_shown(step)}")
    ((name, arguments),) = step.items()
    if name not in STEPS:
        raise ValueError(f"there is no step {name!r}; there are {', '.join(STEPS)}")
    if arguments is not None and not isinstance(arguments, dict):
        raise ValueError(f"{name} takes named arguments, not {_shown(arguments)}")
    try:
        return STEPS[name].model_validate(arguments or {})
    except ValidationError as error:
        raise ValueError(f"{name}: {first_problem(error)}") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def read_spec(path: str | PathLike[str], changes: dict[str, Any] | None = None) -> Spec:
    """Read and check a specification.

    Parameters
    ----------
    path : path
        YAML.
    changes : dict, optional
        Values by dotted name that replace those of the file: ``{"output.store": "a.zarr"}``;
        steps by name or number: ``steps.pixel_histogram.bins``.

    Raises
    ------
    PixtallyError
        In one line: which field, what was found, what is expected.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise PixtallyError(f"{path} is no pipeline; it needs source, steps and output")
    for name, value in (changes or {}).items():
        _change(content, name, value)
    return make_spec(content, str(path))


def make_spec(content: dict[str, Any], name: str = "the pipeline") -> Spec:
    """Check a specification that was read already."""
    try:
        return Spec.model_validate(content)
    except ValidationError as error:
        raise PixtallyError(f"{name}: {first_problem(error)}") from None


def _change(content: Any, name: str, value: Any) -> None:
    """Set one value by its dotted name."""
    *parents, last = name.split(".")
    place = content
    for part in parents:
        place = _child(place, part, name)
    if not isinstance(place, dict):
        raise PixtallyError(f"--set {name}: there is no such field in the pipeline")
    if last in WAYS:
        # Another source replaces the one in the file rather than contradicting it.
        for way in WAYS:
            place.pop(way, None)
    place[last] = value


def _child(place: Any, part: str, name: str) -> Any:
    if isinstance(place, list):
        place[:] = [{s: {}} if isinstance(s, str) else s for s in place]
        if part.isdigit() and int(part) < len(place):
            part = next(iter(place[int(part)]), part)
        place = next((s for s in place if isinstance(s, dict) and part in s), None)
        if place is None:
            raise PixtallyError(f"--set {name}: there is no step {part!r} in the pipeline")
    if not isinstance(place, dict):
        raise PixtallyError(f"--set {name}: {part!r} is no group of fields")
    if place.get(part) is None:
        place[part] = {}
    return place[part]


def spec_schema() -> dict[str, Any]:
    """Return the JSON schema of a pipeline, for editors."""
    schema = Spec.model_json_schema()
    schema["properties"]["steps"] |= {"items": steps_schema()}
    schema["title"] = "pixtally pipeline"
    return schema
