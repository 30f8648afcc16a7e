"""What follows from a histogram, lazily: quantiles, moments, mode, entropy, CDF, PDF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.axis import BinAxis
from pixtally.errors import PixtallyError
from pixtally.kernels import answers as kernels
from pixtally.schema import BIN, COUNTS, axis_of


def _values(axis: BinAxis) -> NDArray[np.float64]:
    """Return what a count in each bin stands for: the value itself, or the centre."""
    return axis.labels.astype(np.float64)


def _per_pixel(
    function: Callable[..., NDArray[Any]], hist: xr.Dataset, name: str, **settings: Any
) -> xr.DataArray:
    """Apply a function of (..., bins) that gives one number a pixel."""
    found = xr.apply_ufunc(
        function,
        hist[COUNTS],
        input_core_dims=[[BIN]],
        kwargs=settings,
        dask="parallelized",
        output_dtypes=[np.float64],
        keep_attrs=False,
    )
    return _named(found, name)


def _named(found: xr.DataArray, name: str) -> xr.DataArray:
    return found.rename(name).assign_attrs(long_name=f"{name} of each pixel over the images")


def quantile(hist: xr.Dataset, q: float | Sequence[float]) -> xr.DataArray:
    """Return quantiles of each pixel over the images; see `TallyAccessor.quantile`."""
    axis = axis_of(hist)
    wanted = np.atleast_1d(np.asarray(q, dtype=np.float64))
    if wanted.ndim != 1 or not ((wanted >= 0) & (wanted <= 1)).all():
        raise PixtallyError(f"q is {q!r}; quantiles are probabilities between 0 and 1")
    found = xr.apply_ufunc(
        kernels.quantiles,
        hist[COUNTS],
        input_core_dims=[[BIN]],
        output_core_dims=[["quantile"]],
        kwargs={"q": wanted, "edges": axis.edges, "exact": axis.kind == "integer"},
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"quantile": wanted.size}},
        output_dtypes=[np.float64],
    )
    found = _named(found.assign_coords(quantile=wanted), "quantile")
    return found.isel(quantile=0) if np.ndim(q) == 0 else found


def median(hist: xr.Dataset) -> xr.DataArray:
    """Return the median of each pixel."""
    return _named(quantile(hist, 0.5).drop_vars("quantile"), "median")


def _mean(counts: NDArray[Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return kernels.moments(counts, values)[0]


def _variance(counts: NDArray[Any], values: NDArray[np.float64], ddof: int) -> NDArray[np.float64]:
    return kernels.moments(counts, values, ddof)[1]


def mean(hist: xr.Dataset) -> xr.DataArray:
    """Return the mean of each pixel."""
    return _per_pixel(_mean, hist, "mean", values=_values(axis_of(hist)))


def var(hist: xr.Dataset, ddof: int = 0) -> xr.DataArray:
    """Return the variance of each pixel."""
    return _per_pixel(_variance, hist, "var", values=_values(axis_of(hist)), ddof=ddof)


def std(hist: xr.Dataset, ddof: int = 0) -> xr.DataArray:
    """Return the standard deviation of each pixel."""
    spread: xr.DataArray = xr.ufuncs.sqrt(var(hist, ddof))
    return _named(spread, "std")


def mode(hist: xr.Dataset) -> xr.DataArray:
    """Return the most frequent bin of each pixel."""
    return _per_pixel(kernels.modes, hist, "mode", values=_values(axis_of(hist)))


def entropy(hist: xr.Dataset) -> xr.DataArray:
    """Return the entropy of each pixel in bits."""
    return _per_pixel(kernels.entropies, hist, "entropy").assign_attrs(units="bit")


def total(hist: xr.Dataset) -> xr.DataArray:
    """Return how many samples of each pixel fell into the bins."""
    axis_of(hist)
    weighted = hist[COUNTS].dtype.kind == "f"
    found = hist[COUNTS].sum(BIN, dtype=np.float64 if weighted else np.uint64)
    return _named(found, "total")


def cdf(hist: xr.Dataset) -> xr.DataArray:
    """Return the part of each pixel's samples up to each bin's upper edge."""
    number = total(hist)
    found = hist[COUNTS].astype(np.float64).cumsum(BIN) / number.where(number > 0)
    return _named(found.assign_coords({BIN: hist[BIN]}), "cdf")


def pdf(hist: xr.Dataset) -> xr.DataArray:
    """Return each pixel's probability density: its integral over the bins is 1."""
    number = total(hist)
    widths = xr.DataArray(axis_of(hist).widths, dims=BIN)
    return _named(hist[COUNTS] / number.where(number > 0) / widths, "pdf")


STATISTICS: dict[str, Callable[[xr.Dataset], xr.DataArray]] = {
    "median": median,
    "mean": mean,
    "var": var,
    "std": std,
    "mode": mode,
    "entropy": entropy,
    "total": total,
}
"""One number a pixel each, by name."""


def statistics(hist: xr.Dataset, names: Sequence[str] | None = None) -> xr.Dataset:
    """Return several statistics in one Dataset, which are computed in one pass over the counts."""
    wanted = list(names or STATISTICS)
    unknown = [n for n in wanted if n not in STATISTICS]
    if unknown:
        raise PixtallyError(
            f"unknown statistics {', '.join(unknown)}; there are {', '.join(STATISTICS)}"
        )
    return xr.Dataset({name: STATISTICS[name](hist) for name in wanted})
