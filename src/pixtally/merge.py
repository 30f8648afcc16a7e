"""Adding histograms of different images of the same pixels."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pixtally import schema
from pixtally.errors import PixtallyError


def merge_histograms(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """Add two histograms of different images of the same pixels.

    Parameters
    ----------
    first, second : Dataset
        Of equal axes, pixels and dimensions.

    Returns
    -------
    Dataset
        Lazy where they are lazy; counters wide enough for both.

    Raises
    ------
    PixtallyError
        When the axes or pixels differ, or an image was counted in both.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> images = np.zeros((4, 1, 1), "uint8")
    >>> both = pt.merge_histograms(pt.pixel_histogram(images), pt.pixel_histogram(images[:2]))
    Traceback (most recent call last):
    ...
    pixtally.errors.PixtallyError: 2 images are in both histograms (0, 1); merge histograms of \
different images, each with its image_id
    """
    check_mergeable(first, second)
    axis = schema.axis_of(first)
    images = int(first.attrs["n_images"]) + int(second.attrs["n_images"])
    weighted = bool(first.attrs["weighted"] or second.attrs["weighted"])
    dtype = schema.counter_dtype(images, weighted)
    left = first.drop_vars(schema.IMAGE_ID)
    right = second.drop_vars(schema.IMAGE_ID)
    merged = left.astype(dtype) + right.astype(dtype).assign_coords(left.coords)
    ids = np.concatenate([schema.as_text(h[schema.IMAGE_ID]) for h in (first, second)])
    history = f"merged of:\n{first.attrs['history']}\nand:\n{second.attrs['history']}"
    for name in merged.data_vars:
        merged[name].attrs = first[name].attrs
    merged = merged.assign_coords({schema.IMAGE_ID: ("image", ids)})
    return merged.assign_attrs(schema.result_attrs(axis, images, weighted, history))


def check_mergeable(first: xr.Dataset, second: xr.Dataset) -> None:
    """Raise a `PixtallyError` unless two histograms may be added."""
    axes = schema.axis_of(first), schema.axis_of(second)
    if axes[0] != axes[1]:
        raise PixtallyError(
            f"the histograms have different axes, {axes[0]} and {axes[1]}; count one of them again"
        )
    pixels = [{d: h.counts.sizes[d] for d in h.counts.dims} for h in (first, second)]
    if pixels[0] != pixels[1]:
        raise PixtallyError(
            f"the histograms have different pixels, {pixels[0]} and {pixels[1]}; "
            "they must be of images of one shape"
        )
    ids = [schema.as_text(h[schema.IMAGE_ID]) for h in (first, second)]
    both = np.intersect1d(ids[0], ids[1])
    if both.size:
        some = ", ".join(both[:3]) + (", …" if both.size > 3 else "")
        raise PixtallyError(
            f"{both.size} images are in both histograms ({some}); merge histograms of different "
            "images, each with its image_id"
        )
