"""What a report tells: the overview of a histogram, some pixels of it, and how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml
from numpy.typing import NDArray

from pixtally import schema
from pixtally.axis import FLOWS
from pixtally.errors import PixtallyError
from pixtally.glance import evenly, glance
from pixtally.overview import Overview, look_over
from pixtally.provenance import Provenance, read_provenance
from pixtally.store import open_histogram
from pixtally.unusual import KINDS

THUMBNAILS = 12
A_KIND = 3
"""Pixels shown of each kind."""

MIXTURE = ("weights", "means", "stds")


@dataclass
class ShownPixel:
    """A pixel with its histogram.

    Attributes
    ----------
    kind : str
        ``"chosen"``, or the name of a `Kind`.
    place : dict
        Its position by dimension.
    counts : ndarray, shape (bins,)
    flows : dict
        Samples in underflow, overflow and invalid.
    facts : dict
        Median, mean, std and entropy.
    mixture : dict
        ``weights``, ``means``, ``stds`` of shape (component,), or empty.
    """

    kind: str
    place: dict[str, int]
    counts: NDArray[Any]
    flows: dict[str, Any]
    facts: dict[str, float]
    mixture: dict[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass
class Gathered:
    """All that a report needs."""

    path: Path
    hist: xr.Dataset
    overview: Overview
    made: Provenance
    pixels: list[ShownPixel]
    thumbnails: xr.DataArray | None
    missing: str
    """Why there are no thumbnails."""
    left_out: list[dict[str, str]]
    spec: str | None
    units: str
    mixture_from: str | None


def gather(
    store: str | Path,
    pixels: Sequence[Sequence[int]] = (),
    mixture: str | Path | None = None,
) -> Gathered:
    """Collect what a report tells.

    Parameters
    ----------
    store : path
        A histogram.
    pixels : sequence of (row, column)
        Pixels to show beside the unusual ones; the middle one by default.
    mixture : path, optional
        A pixel mixture of it; by default one among the statistics beside it.

    Raises
    ------
    PixtallyError
        When the store is no histogram, or a pixel is outside.
    """
    path = Path(store)
    hist = open_histogram(path)
    overview = look_over(hist)
    made = read_provenance(path)
    model, called = _mixture(path, hist, mixture)
    thumbnails, missing = _thumbnails(made.source)
    places = [("chosen", place) for place in _chosen(overview, pixels)]
    for kind in KINDS:
        places += [(kind.name, place) for place, _ in overview.best[kind.name].choose(A_KIND)]
    return Gathered(
        path=path,
        hist=hist,
        overview=overview,
        made=made,
        pixels=[_pixel(kind, place, hist, overview, model) for kind, place in places],
        thumbnails=thumbnails,
        missing=missing,
        left_out=made.left_out or _left_out(made.source),
        spec=_spec(path, made),
        units=str(hist[schema.BIN].attrs.get("units", "") or _units(thumbnails)),
        mixture_from=called,
    )


def _chosen(overview: Overview, pixels: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return the pixels that were asked for, as (plane, row, column)."""
    planes, rows, columns = overview.shape
    if not pixels:
        return [(0, rows // 2, columns // 2)]
    found = []
    for pixel in pixels:
        y, x = (int(n) for n in pixel[-2:])
        if not (0 <= y < rows and 0 <= x < columns):
            raise PixtallyError(
                f"pixel {y},{x} is outside the image; rows are 0…{rows - 1}, columns "
                f"0…{columns - 1}"
            )
        found += [(plane, y, x) for plane in range(min(planes, 4))]
    return found


def _indexers(place: tuple[int, int, int], hist: xr.Dataset, dims: Sequence[str]) -> dict[str, int]:
    """Return the position of a pixel by the dimensions that the histogram has."""
    planes = np.unravel_index(place[0], tuple(hist.sizes[d] for d in dims[:-2]) or (1,))
    found = dict(zip(dims[:-2], map(int, planes), strict=False))
    return found | dict(zip(dims[-2:], place[3 - min(2, len(dims)) :], strict=True))


def _pixel(
    kind: str,
    place: tuple[int, int, int],
    hist: xr.Dataset,
    overview: Overview,
    model: xr.Dataset | None,
) -> ShownPixel:
    at = _indexers(place, hist, overview.pixel_dims)
    one = hist.isel(at).compute()
    facts = one.tally.statistics(["median", "mean", "std", "entropy"])
    fitted = model.isel(at).compute() if model is not None else None
    return ShownPixel(
        kind=kind,
        place=at,
        counts=one[schema.COUNTS].values,
        flows={name: one[name].item() for name in FLOWS},
        facts={str(name): float(facts[name]) for name in facts.data_vars},
        mixture={} if fitted is None else {v: fitted[v].values for v in MIXTURE},
    )


def _mixture(
    path: Path, hist: xr.Dataset, named: str | Path | None
) -> tuple[xr.Dataset | None, str | None]:
    """Open the pixel mixture of a histogram, where there is one."""
    place = Path(named) if named else path.with_name(f"{path.stem}-statistics.zarr")
    if not (place / "zarr.json").exists():
        if named:
            raise PixtallyError(f"{named} does not exist; name a store of pixtally mixture")
        return None, None
    found = xr.open_zarr(place, consolidated=False)
    prefix = "" if all(v in found for v in MIXTURE) else "mixture_"
    if not all(f"{prefix}{v}" in found for v in MIXTURE):
        if named:
            raise PixtallyError(f"{named} holds no pixel mixture; make one with pixtally mixture")
        return None, None
    model = found[[f"{prefix}{v}" for v in MIXTURE]].rename({f"{prefix}{v}": v for v in MIXTURE})
    here = {d: n for d, n in hist.sizes.items() if d in model.dims}
    if any(model.sizes[d] != n for d, n in here.items()):
        raise PixtallyError(
            f"{place} is of {dict(model.sizes)} pixels, the histogram of {here}; name its own"
        )
    return model, place.name


def _thumbnails(source: Path | None) -> tuple[xr.DataArray | None, str]:
    if source is None:
        return None, "The collection that was counted is not recorded or no longer where it was."
    places: list[int] = []

    def choose(n: int) -> Sequence[int]:
        places.extend(evenly(THUMBNAILS)(n))
        return places

    try:
        images = glance([str(source)], choose)
        if "image_id" not in images.coords:
            images = images.assign_coords(image_id=("image", [str(k) for k in places]))
        return images, ""
    except (PixtallyError, OSError, ValueError) as error:
        return None, f"The collection could not be read: {str(error).splitlines()[0]}"


def _units(images: xr.DataArray | None) -> str:
    return "" if images is None else str(images.attrs.get("units", ""))


def _left_out(source: Path | None) -> list[dict[str, str]]:
    if source is None:
        return []
    from pixtally.describe import left_out

    return left_out(source)


def _spec(path: Path, made: Provenance) -> str | None:
    """Return the resolved specification as YAML."""
    if "spec" in made.pipeline:
        return str(yaml.safe_dump(made.pipeline["spec"], sort_keys=False))
    beside = path.with_name(f"{path.stem}-resolved.yaml")
    return beside.read_text("utf-8") if beside.exists() else None
