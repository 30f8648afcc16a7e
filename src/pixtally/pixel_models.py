"""A model for every pixel from its histogram: Gaussian mixtures and evenly spaced photon peaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally._version import __version__
from pixtally.errors import PixtallyError
from pixtally.kernels.peaks import fit_pixel_peaks
from pixtally.kernels.pixel_mixture import fit_pixels
from pixtally.schema import BIN, BOUNDS, COUNTS


def pixel_mixture(
    hist: xr.Dataset,
    components: int = 3,
    *,
    tol: float = 3e-4,
    max_iter: int = 100,
    reg_covar: float = 1e-6,
) -> xr.Dataset:
    """Fit a one-dimensional Gaussian mixture to the histogram of every pixel, lazily.

    Parameters
    ----------
    hist : Dataset
        From `pixel_histogram`. Samples in underflow, overflow and invalid are left out.
    components : int
        Gaussians of each pixel.
    tol : float
        EM has converged when the mean log-likelihood of the pixel changes by less.
    max_iter : int
        Most iterations.
    reg_covar : float
        Added to every variance. A pixel whose values hardly change gets very narrow components;
        ``1 / 12`` keeps them as wide as the rounding to whole numbers.

    Returns
    -------
    Dataset
        ``weights``, ``means``, ``stds`` ``(..., component)``, sorted by mean, and
        ``log_likelihood``, ``n_iter`` ``(...)``. A pixel never seen is NaN. A pixel with fewer
        distinct values than components has as many components as values; the rest have weight 0,
        mean and std NaN.

    Raises
    ------
    PixtallyError
        When `hist` is no histogram, or components is not positive.

    Notes
    -----
    The EM of `sklearn.mixture.GaussianMixture` on the bins' counts, from the better of two starts
    without chance. On an integer axis a bin is its value. Else samples lie anywhere inside their
    bin: the variance that the centres add, width²/12, is taken off (Sheppard's correction), down
    to that of samples which all lie in one bin.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> frames = np.random.default_rng(0).choice([10, 11, 60], (50, 4, 5)).astype("uint8")
    >>> model = pt.pixel_mixture(pt.pixel_histogram(frames), components=2)
    >>> model.means.dims
    ('y', 'x', 'component')
    """
    if components < 1:
        raise PixtallyError(f"components is {components}; a mixture has at least 1")
    counts, centres, widths = _bins(hist)
    made = _apply(
        _mixture_block,
        counts,
        {
            "centres": centres,
            "widths": widths,
            "n_components": int(components),
            "tol": tol,
            "max_iter": max_iter,
            "reg_covar": reg_covar,
        },
        outputs=[("weights", True), ("means", True), ("stds", True), ("log_likelihood", False)],
        size=int(components),
    )
    settings = {"components": components, "tol": tol, "reg_covar": reg_covar}
    made = made.assign_coords(component=np.arange(components))
    return _describe(made, hist, "Gaussian mixture of every pixel", centres, widths, settings)


def fit_peaks(
    hist: xr.Dataset,
    peaks: int = 16,
    gain: tuple[float, float] | None = None,
    *,
    tol: float = 1e-8,
    max_iter: int = 500,
) -> xr.Dataset:
    """Fit evenly spaced photon peaks to the histogram of every pixel, lazily.

    Parameters
    ----------
    hist : Dataset
        From `pixel_histogram`. Samples in underflow, overflow and invalid are left out.
    peaks : int
        Most peaks, the one of no photon included.
    gain : (float, float), optional
        Least and largest distance of neighbouring peaks to look for.
    tol : float
        EM has converged when the mean log-likelihood of the pixel changes by less.
    max_iter : int
        Most iterations.

    Returns
    -------
    Dataset
        ``offset``, ``gain``, ``noise`` (standard deviation of a peak), ``rate`` (photons a sample)
        and ``log_likelihood``, in the units of the bins; NaN where the counts do not hold two
        peaks.

    Raises
    ------
    PixtallyError
        When `hist` is no histogram, peaks < 2, or the gains are not two rising numbers.

    Notes
    -----
    A mixture of Gaussians at ``offset + n·gain`` of equal width with the Poisson weights of
    ``rate``, fitted by EM. With N samples the gain's standard error is near
    ``noise / sqrt(N·rate)``.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> rng = np.random.default_rng(0)
    >>> frames = 100 + 30 * rng.poisson(0.3, (2000, 2, 2)) + rng.normal(0, 4, (2000, 2, 2))
    >>> found = pt.fit_peaks(pt.pixel_histogram(frames, bins=300, range=(50, 350)))
    >>> bool((abs(found.gain / 30 - 1) < 0.05).all())
    True
    """
    if peaks < 2:
        raise PixtallyError(f"peaks is {peaks}; a spacing needs at least 2")
    low, high = gain or (0.0, np.inf)
    if not 0 <= low < high:
        raise PixtallyError(f"gain is {gain}; it is the least and the largest, such as (10, 50)")
    counts, centres, widths = _bins(hist)
    made = _apply(
        _peaks_block,
        counts,
        {
            "centres": centres,
            "widths": widths,
            "n_peaks": int(peaks),
            "gain_range": (float(low), float(high)),
            "tol": tol,
            "max_iter": max_iter,
        },
        outputs=[(name, False) for name in ("offset", "gain", "noise", "rate", "log_likelihood")],
    )
    return _describe(made, hist, "photon peaks of every pixel", centres, widths, {"peaks": peaks})


def _bins(
    hist: xr.Dataset,
) -> tuple[xr.DataArray, NDArray[np.float64], NDArray[np.float64]]:
    """Return the counts, the values that stand for the bins, and the widths that blur them."""
    missing = [v for v in (COUNTS, BIN, BOUNDS) if v not in getattr(hist, "variables", ())]
    if missing:
        raise PixtallyError(
            f"hist has no {', '.join(missing)}; make one with pixel_histogram or open_histogram"
        )
    centres = np.asarray(hist[BIN].values, np.float64)
    bounds = np.asarray(hist[BOUNDS].transpose(BIN, ...).values, np.float64)
    # On an integer axis a bin is labelled by its lower edge: the sample's very value.
    exact = np.array_equal(centres, bounds[:, 0])
    widths = np.zeros(centres.size) if exact else bounds[:, 1] - bounds[:, 0]
    return hist[COUNTS], centres, widths


def _apply(
    block: Callable[..., Any],
    counts: xr.DataArray,
    settings: dict[str, Any],
    outputs: list[tuple[str, bool]],
    size: int = 0,
) -> xr.Dataset:
    """Apply a function of (..., bin) counts to every block; each output may have components."""
    if counts.chunks is not None:
        # Compiled here, so that not all workers do it at once.
        block(np.zeros((1, counts.sizes[BIN]), counts.dtype), **settings)
    made = xr.apply_ufunc(
        block,
        counts.drop_vars([BIN, BOUNDS], errors="ignore"),
        kwargs=settings,
        input_core_dims=[[BIN]],
        output_core_dims=[["component"] if many else [] for _, many in outputs] + [[]],
        dask="parallelized",
        output_dtypes=[np.float64] * len(outputs) + [np.int32],
        dask_gufunc_kwargs={
            "output_sizes": {"component": size} if size else {},
            "allow_rechunk": True,
        },
    )
    names = [name for name, _ in outputs] + ["n_iter"]
    return xr.Dataset(dict(zip(names, made, strict=True))).drop_vars("image_id", errors="ignore")


def _mixture_block(counts: NDArray[Any], **settings: Any) -> tuple[NDArray[Any], ...]:
    return _on_rows(fit_pixels, counts, settings)


def _peaks_block(counts: NDArray[Any], **settings: Any) -> tuple[NDArray[Any], ...]:
    return _on_rows(fit_pixel_peaks, counts, settings)


def _on_rows(
    kernel: Callable[..., Any], counts: NDArray[Any], settings: dict[str, Any]
) -> tuple[NDArray[Any], ...]:
    """Give a kernel the pixels as rows, and its answers the pixels' shape."""
    shape = counts.shape[:-1]
    made = kernel(counts.reshape(-1, counts.shape[-1]), **settings)
    return tuple(answer.reshape(shape + answer.shape[1:]) for answer in made)


def _describe(
    made: xr.Dataset,
    hist: xr.Dataset,
    title: str,
    centres: NDArray[np.float64],
    widths: NDArray[np.float64],
    settings: dict[str, Any],
) -> xr.Dataset:
    spacing = float(np.median(np.diff(centres))) if centres.size > 1 else 1.0
    bounds = float(np.median(widths)) or spacing
    kept = {"n_images": hist.attrs["n_images"]} if "n_images" in hist.attrs else {}
    return made.assign_attrs(
        title=title, bin_width=bounds, pixtally_version=__version__, **kept, **settings
    )
