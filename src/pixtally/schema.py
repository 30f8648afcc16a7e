"""What a per-pixel histogram holds: names, dimensions, dtypes, attributes, and their version."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixtally._version import __version__
from pixtally.axis import FLOWS, BinAxis
from pixtally.errors import PixtallyError

if TYPE_CHECKING:
    import xarray as xr

FORMAT = 1
"""Version of the layout of a histogram; a reader refuses any other."""

IMAGES_FORMAT = 1
"""The same of a collection of images."""

BIN, BOUNDS, COUNTS, IMAGE_ID = "bin", "bin_bounds", "counts", "image_id"
VARIABLES = (COUNTS, *FLOWS)


def counter_dtype(images: int, weighted: bool = False) -> np.dtype[Any]:
    """Return the narrowest unsigned type in which `images` images cannot overflow a counter."""
    return np.dtype(np.float64) if weighted else np.dtype(np.min_scalar_type(max(images, 1)))


def as_text(values: Any) -> NDArray[np.str_]:
    """Return names as NumPy text of fixed width; stores give them in several other forms."""
    return np.array([str(v) for v in np.asarray(values).tolist()], dtype=np.str_)


def bin_coords(axis: BinAxis) -> dict[str, xr.Variable]:
    """Return the coordinates ``bin`` and ``bin_bounds`` (CF bounds) of an axis."""
    import xarray as xr

    kind = "value" if axis.kind == "integer" else "centre"
    attrs = {"long_name": f"bin {kind}", "bounds": BOUNDS}
    return {
        BIN: xr.Variable((BIN,), axis.labels, attrs),
        BOUNDS: xr.Variable((BIN, "bounds"), axis.bounds, {"long_name": "bin edges"}),
    }


def result_attrs(axis: BinAxis, n_images: int, weighted: bool, history: str) -> dict[str, Any]:
    """Return the attributes of a result."""
    return {
        "title": "per-pixel histogram",
        "Conventions": "CF-1.11",
        "pixtally_format": FORMAT,
        "pixtally_version": __version__,
        "n_images": n_images,
        "weighted": int(weighted),
        "axis": json.dumps(axis.to_dict()),
        "history": history,
    }


def label(
    tallies: xr.Variable,
    axis: BinAxis,
    coords: Mapping[Hashable, xr.Variable],
    image_ids: NDArray[Any],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Split tallies, bins and flow slots together along the last dimension, into a Dataset.

    Parameters
    ----------
    tallies : Variable
        Of dimensions (..., "bin"), with ``axis.slots`` along the last.
    axis : BinAxis
        Of the bins.
    coords : mapping
        The images' own coordinates along their pixel dimensions.
    image_ids : ndarray of str, shape (image,)
        What was counted.
    attrs : mapping
        From `result_attrs`.

    Returns
    -------
    Dataset
        ``counts (..., bin)``; ``underflow``, ``overflow``, ``invalid`` ``(...)``.
    """
    import xarray as xr

    counts = tallies[..., : axis.bins]
    counts.attrs["long_name"] = "sum of weights" if attrs["weighted"] else "number of images"
    flows = {name: tallies[..., axis.bins + k] for k, name in enumerate(FLOWS)}
    for name, flow in flows.items():
        flow.attrs["long_name"] = f"{counts.attrs['long_name']}: {_MEANING[name]}"
    return xr.Dataset(
        {COUNTS: counts, **flows},
        coords={**coords, **bin_coords(axis), IMAGE_ID: ("image", image_ids)},
        attrs=dict(attrs),
    )


_MEANING = {
    "underflow": "samples below the lowest edge",
    "overflow": "samples above the highest edge",
    "invalid": "samples that are NaN or masked",
}


def axis_of(hist: xr.Dataset) -> BinAxis:
    """Return the axis of a histogram.

    Raises
    ------
    PixtallyError
        When the Dataset is no histogram, or one of another format version.
    """
    check_histogram(hist)
    return check_attributes(hist.attrs, hist.sizes.get(BIN), "this Dataset")


def check_attributes(attrs: Mapping[Any, Any], bins: int | None, name: str) -> BinAxis:
    """Return the axis of a histogram from its attributes, which anyone may have written.

    Parameters
    ----------
    attrs : mapping
        Of the histogram.
    bins : int
        Bins that it has.
    name : str
        What stands for it in errors.

    Raises
    ------
    PixtallyError
        When they do not hold together.
    """
    try:
        axis = BinAxis.from_dict(json.loads(attrs["axis"]))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise PixtallyError(
            f"{name} has an attribute 'axis' that is no axis ({type(error).__name__}: {error}); "
            "its metadata is damaged: make it again"
        ) from None
    if axis.bins != bins:
        raise PixtallyError(
            f"{name} has {bins} bins, its attribute 'axis' says {axis.bins}; its metadata is "
            "damaged: make it again"
        )
    for number in ("n_images", "weighted"):
        if not isinstance(attrs.get(number), int | np.integer):
            raise PixtallyError(
                f"{name} has the attribute {number} = {attrs.get(number)!r}, which is no whole "
                "number; its metadata is damaged: make it again"
            )
    return axis


def check_histogram(hist: xr.Dataset, name: str = "this Dataset") -> None:
    """Raise a `PixtallyError` unless `hist` is a histogram of the format this version reads."""
    missing = [v for v in (*VARIABLES, BIN) if v not in hist.variables]
    if missing or "axis" not in hist.attrs:
        what = ", ".join(missing or ["the attribute 'axis'"])
        raise PixtallyError(
            f"{name} is not a per-pixel histogram: it has no {what}; "
            "make one with pixel_histogram or write_histogram"
        )
    found = hist.attrs.get("pixtally_format")
    if found != FORMAT:
        raise PixtallyError(
            f"{name} has format version {found}, this pixtally ({__version__}) reads {FORMAT}; "
            "read it with the pixtally that wrote it, or count again"
        )
    check_attributes(hist.attrs, hist.sizes.get(BIN), name)
