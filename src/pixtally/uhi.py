"""Histograms of a pixel or a region as objects of the Scikit-HEP package hist (UHI)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from pixtally.axis import BinAxis
from pixtally.errors import PixtallyError
from pixtally.regions import select
from pixtally.schema import BIN, COUNTS, axis_of

EXTRA = "to_hist needs the package hist, which is not installed: pip install 'pixtally[hist]'"


def to_hist(hist: xr.Dataset, place: dict[str, Any]) -> Any:
    """Return a ``hist.Hist``; see `TallyAccessor.to_hist`."""
    try:
        import hist as package
    except ImportError:
        raise PixtallyError(EXTRA) from None
    one, name = select(hist, place)
    one = one.compute()
    weighted = one[COUNTS].dtype.kind == "f"
    storage = package.storage.Double() if weighted else package.storage.Int64()
    made = package.Hist(_axis(package, axis_of(hist), hist[BIN].attrs), storage=storage)
    made.name, made.label = name, one[COUNTS].attrs.get("long_name", "")
    made.metadata = {
        "invalid": one["invalid"].item(),
        **{
            k: hist.attrs[k] for k in ("n_images", "history", "pixtally_version") if k in hist.attrs
        },
    }
    flows = [np.atleast_1d(one[name].values) for name in ("underflow", "overflow")]
    made.view(flow=True)[...] = np.concatenate([flows[0], one[COUNTS].values, flows[1]])
    return made


def _axis(package: Any, axis: BinAxis, attrs: dict[Any, Any]) -> Any:
    """Return an axis with the same edges, underflow and overflow, named ``value``."""
    units = attrs.get("units")
    named = {"name": "value", "label": f"value [{units}]" if units else "value"}
    if axis.kind == "integer":
        made = package.axis.Integer(int(axis.start), int(axis.stop), **named)
    elif axis.kind == "regular":
        made = package.axis.Regular(axis.bins, axis.start, axis.stop, **named)
    else:
        made = package.axis.Variable(axis.given, **named)
    made.metadata = {"closed": axis.closed, "units": units}
    return made
