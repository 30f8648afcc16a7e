"""Pipelines: a specification joined to the functions that carry it out, planned and run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
import yaml

from pixtally import display
from pixtally.demo import write_demo
from pixtally.errors import PixtallyError
from pixtally.histogram import prepare
from pixtally.image_plan import ImagesPlan
from pixtally.ingest import Ingested, ingest_images, survey
from pixtally.journal import Journal, note_stage
from pixtally.layout import choose_layout
from pixtally.node import versions
from pixtally.plan import Plan, Resources
from pixtally.progress import preparing, stage
from pixtally.provenance import write_pipeline
from pixtally.report import report as write_report
from pixtally.run_report import Report
from pixtally.spec import Mask, Source, Spec, Where, make_spec, read_spec
from pixtally.status import journal_path
from pixtally.step_rehearsal import steps_rehearsed
from pixtally.steps import AnswerStep, ImagesStep, PictureStep, PixelHistogram
from pixtally.store import open_images
from pixtally.unfilled import warn_of_unfilled
from pixtally.unread import Unread
from pixtally.write import write_histogram
from pixtally.write_images import plan_writing, write_images
from pixtally.zarr_io import write_small

SHOWN_IMAGES = 12
"""Resulting images that a pipeline without statistics writes as PNG."""


class Pipeline:
    """A pipeline that is checked and ready to be planned and run.

    Parameters
    ----------
    spec : Spec or dict
        The specification.
    folder : path
        What relative paths start from.

    Examples
    --------
    >>> import pixtally as pt
    >>> report = pt.Pipeline(
    ...     {
    ...         "source": {"demo": {"images": 20, "shape": [16, 16]}},
    ...         "steps": ["pixel_histogram", "median"],
    ...         "output": {"store": "out/hist.zarr"},
    ...     }
    ... ).run()
    >>> report.n_images
    20
    """

    def __init__(self, spec: Spec | Mapping[str, Any], folder: str | PathLike[str] = ".") -> None:
        self.spec = spec if isinstance(spec, Spec) else make_spec(dict(spec))
        self.folder = Path(folder)

    @classmethod
    def from_yaml(
        cls, path: str | PathLike[str], changes: Mapping[str, Any] | None = None
    ) -> Pipeline:
        """Read a pipeline; relative paths in it start at its folder.

        Parameters
        ----------
        path : path
            YAML.
        changes : mapping, optional
            Values by dotted name that replace those of the file.
        """
        made = cls(read_spec(path, dict(changes or {})), Path(path).absolute().parent)
        made._stay_below(str(path), set(changes or {}))
        return made

    def _stay_below(self, file: str, named_by_user: set[str]) -> None:
        """Refuse a file that writes outside its own folder, unless the caller named the place."""
        for field_name, value in self.spec.written().items():
            if value is None or field_name in named_by_user:
                continue
            try:
                below = self.folder.resolve() in self.path(value).resolve().parents
            except (OSError, ValueError, RuntimeError) as error:
                raise PixtallyError(f"{file}: {field_name} is no path: {error}") from None
            if not below:
                raise PixtallyError(
                    f"{file}: {field_name} is {value}, which is not inside the pipeline's folder; "
                    f"name it yourself: --set {field_name}={value}"
                )

    def path(self, name: str) -> Path:
        """Return a path of the specification as seen from here."""
        return self.folder / Path(name).expanduser()

    @property
    def output(self) -> Path:
        """The store of the histogram."""
        return self.path(self.spec.output.store)

    def _beside(self, suffix: str) -> Path:
        return self.output.with_name(self.output.stem + suffix)

    @property
    def counting(self) -> PixelHistogram | None:
        """The step that counts, if there is one."""
        return next((s for s in self.spec.steps if isinstance(s, PixelHistogram)), None)

    def plan(self, resources: Resources | None = None) -> Plan | ImagesPlan:
        """Return what the job will do and need, without reading or writing anything.

        That is counting, or in a pipeline without ``pixel_histogram`` writing the images.

        Parameters
        ----------
        resources : Resources, optional
            What it may use; by default this machine.

        Raises
        ------
        PixtallyError
            When it does not fit, with both numbers and the way out.
        """
        mask = _as_mask(self.spec.mask, self._foreseen) if self.spec.mask else None
        images, mask = self._transformed(self._foreseen(self.spec.source), mask)
        if self.counting is None:
            return plan_writing(images, resources)[0]
        arguments = self.counting.model_dump()
        if arguments["range"] is None and np.ndim(arguments["bins"] or 0) == 0:
            # Finding the range reads the images; the plan is the same for any.
            arguments["range"] = None if images.dtype.itemsize == 1 else (0.0, 1.0)
        return prepare(images, **arguments, mask=mask, resources=resources).plan

    def _foreseen(self, where: Where) -> xr.DataArray:
        """Return the images, or a stand-in where they are not ingested yet."""
        if where.zarr is not None:
            return open_images(self.path(where.zarr), where.variable)
        store = self._ingested_store(where)
        if store.exists():
            return open_images(store)
        if isinstance(where, Source) and where.demo is not None:
            layout, dtype = choose_layout(where.demo.images, where.demo.shape, 1), "uint8"
        else:
            layout, dtype = survey(self._named(where), gray=where.gray, on_error=where.on_error)
        shape, chunks = layout.shape, layout.chunks
        unread = Unread(shape, chunks, dtype)
        dims = ("image", "channel", "y", "x") if len(shape) == 4 else ("image", "y", "x")
        # In whole frames: a million images have millions of stored chunks.
        frames = (chunks[0], *shape[1:])
        data = da.from_array(unread, chunks=frames, inline_array=True, meta=np.empty((0,), dtype))
        return xr.DataArray(data, dims=dims, name="images")

    def _named(self, where: Where) -> list[str]:
        names = [where.images] if isinstance(where.images, str) else list(where.images or [])
        return [str(self.path(name)) for name in names]

    def _ingested_store(self, where: Where) -> Path:
        name = "-images.zarr" if isinstance(where, Source) else "-mask.zarr"
        return self.path(where.store) if where.store else self._beside(name)

    def _transformed(
        self, images: xr.DataArray, mask: xr.DataArray | None
    ) -> tuple[xr.DataArray, xr.DataArray | None]:
        """Return the images after the steps that change them, and the mask if it still holds."""
        for step in self.spec.steps:
            if isinstance(step, ImagesStep):
                images = step.apply_within(images, self.folder, mask)
                mask = None if step.uses_mask else mask
        return images, mask

    def run(
        self,
        *,
        restart: bool = False,
        progress: bool | None = None,
        about: dict[str, Any] | None = None,
    ) -> Report:
        """Carry out the pipeline on the Dask client in use, else on this machine's cores.

        A run that was interrupted goes on where it stopped.

        Parameters
        ----------
        restart : bool
            Begin again, replacing what earlier runs made.
        progress : bool, optional
            Show bars on stderr; by default on a terminal.
        about : dict, optional
            JSON-able facts for the journal beside the output, which `pixtally status` reads.

        Returns
        -------
        Report

        Raises
        ------
        PixtallyError
            In one line: what is wrong and the fix.
        """
        self.output.parent.mkdir(parents=True, exist_ok=True)
        with Journal(journal_path(self.output), about) as journal:
            report = self._run(restart, progress)
            journal.tell(n_images=report.n_images, left_out=len(report.left_out))
        return report

    def _run(self, restart: bool, progress: bool | None) -> Report:
        report = Report()
        again = self.output.exists() and not restart
        images = self._read(self.spec.source, report, restart, progress)
        mask = None
        if self.spec.mask:
            read = partial(self._read, report=report, restart=restart, progress=progress)
            mask = _as_mask(self.spec.mask, read)
        with ExitStack() as held:
            with preparing(progress) as prepared:
                small = steps_rehearsed(self.spec.steps, self.folder, images, mask is not None)
                prepared.compiled = held.enter_context(small)
            images, mask = self._transformed(images, mask)
            warn_of_unfilled(images)
            self._make(images, mask, report, restart, progress)
        self._write_resolved(report)
        if self.counting is not None:
            self._record(report, again)
            self._report(report, progress)
        return report

    def _make(
        self,
        images: xr.DataArray,
        mask: xr.DataArray | None,
        report: Report,
        restart: bool,
        progress: bool | None,
    ) -> None:
        """Write the histogram and what follows from it, or the resulting images."""
        counting = self.counting
        begin = time.perf_counter()
        note_stage("writing images" if counting is None else "counting", self.output)
        if counting is None:
            write_images(images, self.output, restart=restart, progress=progress)
            report.seconds["writing images"] = time.perf_counter() - begin
            report.n_images = images.sizes["image"]
            report.made["resulting images"] = str(self.output)
            self._show_images(report)
            return
        hist = write_histogram(
            images,
            self.output,
            **counting.model_dump(),
            mask=mask,
            restart=restart,
            progress=progress,
        )
        report.seconds["counting"] = time.perf_counter() - begin
        report.n_images = int(hist.attrs["n_images"])
        report.made["histogram"] = str(self.output)
        self._answer(hist, images, report, progress)

    def _read(
        self, where: Where, report: Report, restart: bool, progress: bool | None
    ) -> xr.DataArray:
        """Open the images, after ingesting them where they are files."""
        if where.zarr is not None:
            return open_images(self.path(where.zarr), where.variable)
        begin = time.perf_counter()
        if isinstance(where, Source) and where.demo is not None:
            folder = self._beside("-frames")
            with stage("drawing the demo", progress):
                write_demo(folder, where.demo.images, where.demo.shape, where.demo.seed)
            report.made["demo frames"] = str(folder)
            names = [str(folder)]
        else:
            names = self._named(where)
        note_stage("reading images", self._ingested_store(where))
        made: Ingested = ingest_images(
            names,
            self._ingested_store(where),
            gray=where.gray,
            on_error=where.on_error,
            restart=restart,
            progress=progress,
        )
        kind = "images" if isinstance(where, Source) else "mask"
        report.made[kind] = str(made.dest)
        report.left_out += [{"image": bad.image, "reason": bad.reason} for bad in made.left_out]
        report.seconds[f"reading {kind}"] = time.perf_counter() - begin
        return open_images(made.dest)

    def _answer(
        self, hist: xr.Dataset, images: xr.DataArray, report: Report, progress: bool | None
    ) -> None:
        """Compute all statistic images together, in one pass over the counts, and write them."""
        found: dict[str, xr.DataArray] = {}
        for step in self.spec.steps:
            if isinstance(step, AnswerStep):
                found |= step.answer(hist)
        if not found:
            return
        begin = time.perf_counter()
        note_stage("statistics", self.output)
        with stage("statistics", progress):
            statistics = (
                xr.Dataset(found)
                .compute()
                .assign_attrs(title="statistic images", history=hist.attrs["history"])
            )
        named = self.spec.output.statistics
        store = self.path(named) if named else self._beside("-statistics.zarr")
        write_small(statistics, store)
        report.made["statistics"] = str(store)
        if self.spec.output.png is not None:
            folder = self.path(self.spec.output.png)
            report.made["pictures"] = str(folder)
            display.save_pictures(statistics, folder)
        self._picture(images, statistics, report)
        report.seconds["statistics"] = time.perf_counter() - begin

    def _picture(self, images: xr.DataArray, statistics: xr.Dataset, report: Report) -> None:
        """Write the pictures of the steps that make some."""
        for step in self.spec.steps:
            if isinstance(step, PictureStep):
                for name, picture in step.pictures(images, statistics).items():
                    named = self.spec.output.png
                    folder = self.path(named) if named else self.output.parent
                    folder.mkdir(parents=True, exist_ok=True)
                    path = display.save_png(picture, folder / f"{name}.png", (0, 255))
                    report.made[f"picture of {step.name}"] = str(path)

    def _show_images(self, report: Report) -> None:
        """Write the first resulting images as PNG, where the pipeline asks for pictures."""
        if self.spec.output.png is None:
            return
        folder = self.path(self.spec.output.png)
        folder.mkdir(parents=True, exist_ok=True)
        images = open_images(self.output)
        span = (0, 255) if images.dtype == np.uint8 else None
        for number, image in enumerate(images[:SHOWN_IMAGES]):
            display.save_png(image, folder / f"image-{number:04d}.png", span)
        report.made["pictures"] = str(folder)

    def _resolved(self) -> dict[str, Any]:
        content = self.spec.model_dump(mode="json", exclude={"steps"})
        content["steps"] = [{s.name: s.model_dump(mode="json")} for s in self.spec.steps]
        return content | {"versions": versions()}

    def _record(self, report: Report, again: bool) -> None:
        """Write into the store what a report on it tells: the specification, times, images."""
        where = self.spec.source
        images = self.path(where.zarr) if where.zarr else self._ingested_store(where)
        write_pipeline(
            self.output,
            keep_times=again,
            spec=self._resolved(),
            seconds={name: round(spent, 4) for name, spent in report.seconds.items()},
            images=os.path.relpath(images, self.output.absolute().parent),
            left_out=report.left_out,
        )

    def _report(self, report: Report, progress: bool | None) -> None:
        """Write the HTML report, where the pipeline asks for one."""
        if self.spec.output.report is None:
            return
        path = self.path(self.spec.output.report)
        fitted = any(step.name == "pixel_mixture" for step in self.spec.steps)
        with stage("report", progress):
            write_report(self.output, path, mixture=report.made["statistics"] if fitted else None)
        report.made["report"] = str(path)

    def _write_resolved(self, report: Report) -> None:
        """Write the specification as it was understood, and the versions, beside the output."""
        content = self._resolved()
        path = self._beside("-resolved.yaml")
        path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
        report.made["resolved pipeline"] = str(path)


def _as_mask(where: Mask, read: Callable[[Where], xr.DataArray]) -> xr.DataArray:
    mask = read(where).astype(bool).drop_vars("image_id", errors="ignore")
    return ~mask if where.invert else mask


def plan_json(plan: Plan | ImagesPlan) -> str:
    """Return a plan as JSON text."""
    return json.dumps(plan.to_dict(), indent=2)
