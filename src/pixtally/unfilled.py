"""A word on images that a fill step could not repair."""

from __future__ import annotations

import logging

import numpy as np
import xarray as xr

log = logging.getLogger("pixtally")


def warn_of_unfilled(images: xr.DataArray) -> None:
    """Name the images that a fill step leaves invalid pixels in; they are counted as they are."""
    if "unfilled" not in images.coords:
        return
    left = images["unfilled"].compute()
    places = np.flatnonzero(left.values)
    if not places.size:
        return
    ids = images["image_id"].values if "image_id" in images.coords else np.arange(left.size)
    named = ", ".join(f"{ids[k]} ({left.values[k]} pixels)" for k in places[:10])
    more = f" and {len(places) - 10} more" if len(places) > 10 else ""
    log.warning("%d images keep invalid pixels after fill: %s%s", len(places), named, more)
