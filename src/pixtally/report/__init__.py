"""Reports: one HTML file that shows a histogram to people, with all that is in it."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from pixtally.errors import PixtallyError
from pixtally.report.gather import gather
from pixtally.report.page import page

__all__ = ["report"]


def report(
    store: str | PathLike[str],
    output: str | PathLike[str] | None = None,
    *,
    png: str | PathLike[str] | None = None,
    pixels: Sequence[Sequence[int]] = (),
    mixture: str | PathLike[str] | None = None,
) -> Path:
    """Write a report on a histogram: one HTML file without scripts that needs no network.

    It shows the collection, the statistic images, the histogram of all samples, chosen and
    unusual pixels with theirs, the mixtures of pixels where there are some, and how the store was
    made: time, memory planned and measured, what was left out, the resolved pipeline.

    Parameters
    ----------
    store : path
        A histogram made by `write_histogram` or ``pixtally run``.
    output : path, optional
        The HTML file; by default beside the store: ``hist-report.html``.
    png : path, optional
        A folder for the same figures as PNG files.
    pixels : sequence of (row, column)
        Pixels to show beside the unusual ones; by default the middle one.
    mixture : path, optional
        Of `pixel_mixture`; by default one among the statistics beside the store.

    Returns
    -------
    Path
        The HTML file.

    Raises
    ------
    PixtallyError
        When the store is no histogram, a pixel is outside, or the file cannot be written.

    Notes
    -----
    The counts are gone over once, block by block. Images with a side above 1024 are shown smaller,
    and the page says so.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> frames = np.random.default_rng(0).integers(0, 99, (50, 12, 16), "uint8")
    >>> _ = pt.write_histogram(frames, "hist.zarr")
    >>> pt.report("hist.zarr", "report.html").name
    'report.html'
    """
    place = Path(store)
    target = Path(output) if output is not None else place.with_name(f"{place.stem}-report.html")
    found = gather(place, pixels, Path(mixture) if mixture is not None else None)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page(found), "utf-8")
    except OSError as error:
        raise PixtallyError(
            f"{target} cannot be written: {error.strerror}; name another file with -o"
        ) from None
    if png is not None:
        from pixtally.report.figures import write_figures

        write_figures(found, Path(png))
    return target
