"""The steps of a pipeline on a few small images, so that workers have compiled what they need."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import dask
import numpy as np
import xarray as xr

from pixtally.histogram import prepare
from pixtally.jobs import current_client
from pixtally.rehearsal import rehearsed
from pixtally.steps import AnswerStep, ImagesStep, PixelHistogram, Step

SMALL = (3, 48, 56)
"""Images, rows and columns: enough for every kernel's main loop, and its end."""


def steps_rehearsed(
    steps: Sequence[Step], folder: Path, images: xr.DataArray, masked: bool
) -> AbstractContextManager[float | None]:
    """Rehearse on all workers that come during a block; threads of this process need none."""
    if current_client() is None:
        return nullcontext()
    shape = (SMALL[0], *images.shape[1:-2], *SMALL[1:])
    facts = (str(folder.absolute()), shape, str(images.dtype), masked, images.sizes["image"])
    return rehearsed(rehearse_steps, list(steps), *facts)


def rehearse_steps(
    steps: Sequence[Step],
    folder: str,
    shape: tuple[int, ...],
    dtype: str,
    masked: bool,
    n_images: int = 0,
) -> None:
    """Carry out the steps of a pipeline on noise.

    Parameters
    ----------
    steps : sequence of Step
    folder : str
        The pipeline's.
    shape : tuple of int
        ``(image, y, x)`` or ``(image, channel, y, x)``.
    dtype : str
        Data type of the samples.
    masked : bool
        The pipeline has a mask.
    n_images : int
        Images that will be counted.
    """
    noise = np.random.default_rng(0).random(shape)
    samples = (noise * 255 if np.dtype(dtype).kind in "iu" else noise).astype(dtype)
    dims = ("image", "channel", "y", "x") if len(shape) == 4 else ("image", "y", "x")
    images = xr.DataArray(samples, dims=dims, name="images").chunk()
    mask = xr.zeros_like(images, bool) if masked else None
    with dask.config.set(scheduler="synchronous"):
        for step in steps:
            if isinstance(step, ImagesStep):
                images = step.apply_within(images, Path(folder), mask)
                mask = None if step.uses_mask else mask
        images = images.compute()
        counting = next((s for s in steps if isinstance(s, PixelHistogram)), None)
        if counting is None:
            return
        # Counting is rehearsed by its job; here only the counters must be as wide as they will be.
        tally = prepare(images, **counting.model_dump(), mask=mask, counted=n_images)
        counts = np.random.default_rng(0).integers(
            0, 9, (*tally.pixel_shape, tally.axis.slots), tally.dtype
        )
        hist = tally.label(counts)
        for step in steps:
            if isinstance(step, AnswerStep):
                xr.Dataset(step.answer(hist.chunk())).compute()
