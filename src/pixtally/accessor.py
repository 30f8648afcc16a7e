"""The accessor ``.tally`` of a histogram Dataset: short forwards to what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from pixtally import answers


class TallyAccessor:
    """What follows from a per-pixel histogram: ``hist.tally.median()``.

    Everything is lazy on Dask and passes over the counts once; compute several results together
    (``xarray.Dataset.compute``, or `statistics`) and they share that pass. Samples in underflow,
    overflow and invalid take no part. A pixel with no sample in the bins gives NaN.

    On an integer axis (one bin a value) everything is exact. On other axes a sample counts as the
    centre of its bin, and quantiles invert the piecewise-linear CDF: the error is at most a bin
    width.

    Parameters
    ----------
    hist : Dataset
        From `pixel_histogram`, `write_histogram` or `open_histogram`.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> hist = pt.pixel_histogram(np.array([[[1]], [[2]], [[2]], [[9]]], dtype="uint8"))
    >>> float(hist.tally.median()[0, 0]), float(hist.tally.mean()[0, 0])
    (2.0, 3.5)
    """

    def __init__(self, hist: xr.Dataset) -> None:
        self._hist = hist

    def quantile(self, q: float | Sequence[float]) -> xr.DataArray:
        """Return quantiles of each pixel.

        Parameters
        ----------
        q : float or sequence of float
            Probabilities between 0 and 1.

        Returns
        -------
        DataArray of float64, shape (...) or (..., quantile)
            On an integer axis equal to ``numpy.quantile(method="inverted_cdf")``; elsewhere the
            inverse of the piecewise-linear CDF, at most a bin width off.
        """
        return answers.quantile(self._hist, q)

    def median(self) -> xr.DataArray:
        """Return the quantile 0.5 of each pixel, float64."""
        return answers.median(self._hist)

    def mean(self) -> xr.DataArray:
        """Return the mean of each pixel, float64."""
        return answers.mean(self._hist)

    def var(self, ddof: int = 0) -> xr.DataArray:
        """Return the variance of each pixel, divided by ``n - ddof``, float64."""
        return answers.var(self._hist, ddof)

    def std(self, ddof: int = 0) -> xr.DataArray:
        """Return the standard deviation of each pixel, float64."""
        return answers.std(self._hist, ddof)

    def mode(self) -> xr.DataArray:
        """Return the label of each pixel's fullest bin, the lowest of equals, float64."""
        return answers.mode(self._hist)

    def entropy(self) -> xr.DataArray:
        """Return the Shannon entropy of each pixel's bins in bits, float64."""
        return answers.entropy(self._hist)

    def total(self) -> xr.DataArray:
        """Return how many samples of each pixel fell into the bins."""
        return answers.total(self._hist)

    def cdf(self) -> xr.DataArray:
        """Return the part of each pixel's samples up to each bin's upper edge, (..., bin)."""
        return answers.cdf(self._hist)

    def pdf(self) -> xr.DataArray:
        """Return each pixel's probability density at each bin, (..., bin)."""
        return answers.pdf(self._hist)

    def statistics(self, names: Sequence[str] | None = None) -> xr.Dataset:
        """Return several of median, mean, var, std, mode, entropy, total in one Dataset."""
        return answers.statistics(self._hist, names)

    def plot(
        self,
        *,
        ax: Any = None,
        log: bool = False,
        density: bool = False,
        zoom: bool = True,
        **place: Any,
    ) -> Any:
        """Draw the histogram of a pixel, of a region, or of several pixels with matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.
        log : bool
            Draw counts on a logarithmic axis.
        density : bool
            Draw the probability density, to compare regions of different size.
        zoom : bool
            Leave out the empty bins at both ends.
        **place
            ``y=, x=`` and any further dimension, by the nearest coordinate where the images have
            one, else by position. Numbers: one pixel. Slices: a region, summed up. Lists of one
            length: several pixels, drawn over each other. Nothing: all pixels together.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        PixtallyError
            When a dimension is missing, nothing lies inside, or there are too many pixels.

        Examples
        --------
        >>> import numpy as np, pixtally as pt
        >>> frames = np.random.default_rng(0).integers(0, 99, (50, 8, 8), "uint8")
        >>> hist = pt.pixel_histogram(frames)
        >>> hist.tally.plot(y=3, x=slice(0, 4)).get_title()
        'y 3, x 0…3'
        """
        from pixtally.plots import plot_histogram

        return plot_histogram(self._hist, place, ax=ax, log=log, density=density, zoom=zoom)

    def to_hist(self, **place: Any) -> Any:
        """Return the histogram of a pixel or region as an object of the package hist (UHI).

        Parameters
        ----------
        **place
            As for `plot`: numbers for one pixel, slices for a region, nothing for all pixels.

        Returns
        -------
        hist.Hist
            One axis ``value`` with the same edges. Counts are Int64 (Double where weighted), with
            underflow and overflow in their flow bins; ``invalid`` is in its ``metadata``, as
            there is no bin for it.

        Raises
        ------
        PixtallyError
            When the package is missing, or as for `plot`.

        References
        ----------
        The Unified Histogram Interface, https://uhi.readthedocs.io.

        Examples
        --------
        >>> import numpy as np, pixtally as pt
        >>> hist = pt.pixel_histogram(np.full((50, 8, 8), 7, "uint8"))
        >>> hist.tally.to_hist(y=3, x=slice(0, 4))[7j]
        200
        """
        from pixtally.uhi import to_hist

        return to_hist(self._hist, place)

    def explore(self, images: xr.DataArray | None = None, *, port: int = 0) -> Any:
        """Look at the histogram in the browser; in a notebook, inline.

        Tap pixels, drag boxes, move quantiles; see ``pixtally view``. The page is served on
        loopback by a thread of this process until ``close()`` of what is returned.

        Parameters
        ----------
        images : DataArray, optional
            What was counted: adds frames and their foreground scores.
        port : int
            0: any that is free.

        Returns
        -------
        Explorer
            Shown inline as the last value of a cell; ``url`` is its address.
        """
        from pixtally.browse.opening import target_of
        from pixtally.viewer.server import Explorer

        return Explorer(target_of(self._hist, images), port)
