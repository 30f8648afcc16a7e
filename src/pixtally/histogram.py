"""Per-pixel histograms as Dask graphs: what to count, one task a tile, a labelled result."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from dask._task_spec import Dict, Task, TaskRef
from dask.base import tokenize
from numpy.typing import NDArray

from pixtally import schema
from pixtally._version import __version__
from pixtally.axis import BinAxis, Closed, full_range, make_axis
from pixtally.blocks import PerImage, Source, Tile
from pixtally.history import add_line
from pixtally.kernels.slots import slot_dtype
from pixtally.operands import (
    ArrayLike,
    Operand,
    as_images,
    beside,
    dask_samples,
    image_ids,
    on_chunks,
)
from pixtally.plan import Plan, Resources, Work, grid, plan_histogram
from pixtally.reduce import add_counts, tree_reduce
from pixtally.tiles import TileTask, count_tile

log = logging.getLogger("pixtally")


@dataclass
class Tally:
    """A histogram that is fully decided but not computed: its axis, its plan, its readers."""

    images: xr.DataArray
    dim: Hashable
    axis: BinAxis
    plan: Plan
    source: Source
    mask: Operand | None = None
    weights: Operand | None = None
    image_ids: NDArray[Any] = field(default_factory=lambda: np.empty(0, "U1"))
    counted: int = 0

    @property
    def weighted(self) -> bool:
        """Tell whether weights are summed rather than images counted."""
        return self.weights is not None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the result's counters."""
        return schema.counter_dtype(self.plan.shape[0] + self.counted, self.weighted)

    @property
    def pixel_dims(self) -> tuple[Hashable, ...]:
        """Dimensions of the images without the image axis."""
        return tuple(d for d in self.images.dims if d != self.dim)

    @property
    def pixel_shape(self) -> tuple[int, ...]:
        """Sizes of `pixel_dims`."""
        return self.plan.shape[1:]

    def task(self, tile: Tile, segment: int) -> tuple[TileTask, set[Hashable]]:
        """Return the task of one tile and segment, and the keys of the values it needs."""
        images = self.plan.segment_edges[segment : segment + 2]
        span = (images[0], images[1])
        samples, inputs = self.source.reader(tile, span)
        mask, mask_inputs = self.mask.reader(tile, span) if self.mask else (None, set())
        weights, weight_inputs = self.weights.reader(tile, span) if self.weights else (None, set())
        task = TileTask(
            samples=samples,
            mask=mask,
            weights=weights,
            images=span,
            shape=tuple(s.stop - s.start for s in tile),
            axis=self.axis,
            sample_dtype=self.source.array.dtype,
            dtype=schema.counter_dtype(span[1] - span[0], self.weighted),
            batch=self.plan.batch,
        )
        return task, inputs | mask_inputs | weight_inputs

    def input_graph(self, keys: set[Hashable]) -> dict[Hashable, Any]:
        """Return the tasks that make the values which tile tasks share."""
        graph: dict[Hashable, Any] = {}
        for part in (self.source, self.mask, self.weights):
            if isinstance(part, Source):
                graph |= part.input_graph(k for k in keys if k in part.graph)
        return graph

    def coords(self) -> dict[Hashable, xr.Variable]:
        """Return the images' coordinates that do not run along the images."""
        return {
            name: coord.variable
            for name, coord in self.images.coords.items()
            if self.dim not in coord.dims
        }

    def label(self, tallies: Any, history: str = "") -> xr.Dataset:
        """Return the Dataset of tallies of shape (*pixels, slots)."""
        attrs = schema.result_attrs(
            self.axis, self.plan.shape[0], self.weighted, history or self.history()
        )
        variable = xr.Variable((*self.pixel_dims, schema.BIN), tallies)
        made = schema.label(variable, self.axis, self.coords(), self.image_ids, attrs)
        if "units" in self.images.attrs:
            made[schema.BIN].attrs["units"] = self.images.attrs["units"]
        return made

    def history(self) -> str:
        """Return the line of the attribute ``history``: when, by what, from what."""
        name = self.images.name
        called = "images" if name is None or name == self.source.array.name else name
        line = (
            f"pixtally {__version__}: pixel_histogram of {self.plan.shape[0]} {called}, {self.axis}"
        )
        return add_line(line, self.images.attrs.get("history"))


def pixel_histogram(
    images: ArrayLike,
    bins: int | Sequence[float] | NDArray[Any] | None = None,
    range: tuple[float, float] | None = None,
    *,
    closed: Closed = "left",
    mask: ArrayLike | None = None,
    weights: ArrayLike | Sequence[float] | None = None,
    dim: Hashable = "image",
    resources: Resources | None = None,
) -> xr.Dataset:
    """Count, for every pixel, how many images have a value in each bin; lazily.

    Parameters
    ----------
    images : DataArray, shape (image, ...)
        Integers, floats or booleans, of any further dimensions, which are kept, on Dask chunks of
        any shape or on NumPy. A plain array is taken as ``(image, y, x)`` or
        ``(image, channel, y, x)``.
    bins : int or sequence of float, optional
        Number of evenly spaced bins, or the edges. 8-bit images get one bin a value without it.
    range : (float, float), optional
        Outermost edges. Default: the full range of 8-bit images, else the finite minimum and
        maximum, for which the images are read once more.
    closed : {"left", "right"}
        ``"left"``: bins ``[e_i, e_i+1)``, the last closed on both sides, equal to
        `numpy.histogram` of each pixel (in float64). ``"right"``: ``(e_k-1, e_k]``, the first
        closed on both sides, the rule of ``numpy.searchsorted(edges, x)``.
    mask : DataArray of bool, optional
        True: leave the sample out, as in `numpy.ma`. Of the images' dimensions or some of them.
    weights : DataArray, optional
        Of each image, shape (image,), or of each sample; float64 sums replace the counts.
    dim : hashable
        Name of the image dimension.
    resources : Resources, optional
        What the plan may use; by default this machine.

    Returns
    -------
    Dataset
        ``counts (..., bin)`` in the narrowest unsigned type that cannot overflow, and
        ``underflow``, ``overflow``, ``invalid (...)``; together they add up to the number of
        images in every pixel. Coordinates ``bin``, ``bin_bounds (bin, 2)``, ``image_id`` and the
        images' own.

    Raises
    ------
    PixtallyError
        When bins, mask, weights or dimensions do not fit, or a worker's memory is too small.

    References
    ----------
    The rule of the bins is that of `numpy.histogram`, https://numpy.org.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> images = np.array([[[1, 2]], [[1, 5]], [[3, 5]]], dtype="uint8")
    >>> hist = pt.pixel_histogram(images, bins=8, range=(0, 8))
    >>> hist.counts.values[0, 1].tolist()
    [0, 0, 1, 0, 0, 2, 0, 0]
    """
    tally = prepare(
        images,
        bins,
        range,
        closed=closed,
        mask=mask,
        weights=weights,
        dim=dim,
        resources=resources,
        lazy=True,
    )
    return tally.label(lazy_tallies(tally))


def prepare(
    images: ArrayLike,
    bins: int | Sequence[float] | NDArray[Any] | None = None,
    range: tuple[float, float] | None = None,
    *,
    closed: Closed = "left",
    mask: ArrayLike | None = None,
    weights: ArrayLike | Sequence[float] | None = None,
    dim: Hashable = "image",
    resources: Resources | None = None,
    axis: BinAxis | None = None,
    counted: int = 0,
    lazy: bool = False,
) -> Tally:
    """Validate the arguments of `pixel_histogram`, find the range and make the plan.

    With an `axis` bins and range are decided already; `counted` images will be added to these;
    `lazy` plans for a graph rather than a job.
    """
    images = as_images(images, dim)
    samples = dask_samples(images, dim)
    if axis is None:
        axis = _axis(samples, bins, range, closed)
    number = images.get_axis_num(dim)
    source = Source.of(samples, number)
    masking = beside(mask, images, dim, "mask", np.bool_)
    weighing = beside(weights, images, dim, "weights", np.float64)
    direct = source.stored is not None and not any(
        isinstance(b, Source) and b.stored is None for b in (masking, weighing)
    )
    if not direct:
        source.stored = None
        masking, weighing = on_chunks(masking, source), on_chunks(weighing, source)
    work = _work(source, axis, masking, weighing, counted, lazy)
    plan = plan_histogram(work, resources or Resources.local())
    ids, _ = image_ids(images, dim)
    return Tally(images, dim, axis, plan, source, masking, weighing, ids, counted)


def _axis(
    samples: da.Array,
    bins: int | Sequence[float] | NDArray[Any] | None,
    range: tuple[float, float] | None,
    closed: Closed,
) -> BinAxis:
    edges = bins is not None and np.ndim(bins) > 0
    if bins is not None and range is None and not edges and full_range(samples.dtype) is None:
        range = finite_range(samples)
        log.info("range not given: the images span %g…%g", *range)
    return make_axis(samples.dtype, bins, range, closed)


def finite_range(samples: da.Array) -> tuple[float, float]:
    """Return the smallest and largest finite sample as `numpy.histogram` widens them.

    Equal ones become half a unit less and more; where there are none the range is 0…1.
    """
    extremes = dask.delayed(_extremes)
    found = np.array(dask.compute(*(extremes(b) for b in samples.to_delayed().ravel())))
    low, high = float(found[:, 0].min()), float(found[:, 1].max())
    if low > high:
        return 0.0, 1.0
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _extremes(block: NDArray[Any]) -> tuple[float, float]:
    if block.dtype.kind == "f":
        block = block[np.isfinite(block)]
    return (float(block.min()), float(block.max())) if block.size else (math.inf, -math.inf)


def _work(
    source: Source,
    axis: BinAxis,
    mask: Operand | None,
    weights: Operand | None,
    counted: int,
    lazy: bool,
) -> Work:
    samples = source.array
    tabled = axis.rule(samples.dtype).table is not None
    searched = not tabled or mask is not None or weights is not None
    wide = samples.dtype.itemsize <= 4 or samples.dtype == np.float64
    converted = 0 if tabled or (wide and samples.dtype.kind == "f") else 8
    return Work(
        shape=samples.shape,
        chunks=source.chunks,
        itemsize=samples.dtype.itemsize,
        slots=axis.slots,
        counter=schema.counter_dtype(samples.shape[0] + counted, weights is not None).itemsize,
        slot_bytes=(slot_dtype(axis.slots).itemsize + converted) if searched else 0,
        mask_bytes=1 if mask is not None else 0,
        weight_bytes=8 if weights is not None and not isinstance(weights, PerImage) else 0,
        streamed=source.stored is not None,
        lazy=lazy,
    )


def lazy_tallies(tally: Tally) -> da.Array:
    """Return the tallies of every tile as a Dask array of shape (*pixels, slots).

    One task a tile and segment; the segments of a tile are added in a tree.
    """
    plan = tally.plan
    beside = [p.array.name if isinstance(p, Source) else p for p in (tally.mask, tally.weights)]
    name = "pixel_histogram-" + tokenize(
        tally.source.array.name, tally.axis.to_dict(), beside, plan.tile, plan.segment_edges
    )
    graph: dict[Hashable, Any] = {}
    needed: set[Hashable] = set()
    for tile in grid(plan.shape[1:], plan.tile):
        index = tuple(s.start // step for s, step in zip(tile, plan.tile, strict=True))
        leaves = []
        for segment in range(plan.segments):
            key = (f"{name}-part", *index, segment) if plan.segments > 1 else (name, *index, 0)
            task, inputs = tally.task(tile, segment)
            given = Dict({k: TaskRef(k) for k in inputs}) if inputs else None
            graph[key] = Task(key, count_tile, task, given)
            needed |= inputs
            leaves.append(key)
        if plan.segments > 1:
            tree, _ = tree_reduce(name, (*index, 0), leaves, add_counts, dtype=tally.dtype)
            graph |= tree
    graph |= tally.input_graph(needed)
    chunks = da.core.normalize_chunks(plan.tile, plan.shape[1:])
    return da.Array(
        graph,
        name,
        chunks=(*chunks, (tally.axis.slots,)),
        dtype=tally.dtype,
        meta=np.empty((0,) * (len(chunks) + 1), tally.dtype),
    )
