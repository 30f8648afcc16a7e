"""What images give to EM: distinct colours, a sample, statistics; summed over chunks in a tree."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import xarray as xr
from dask._task_spec import Task, TaskRef
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from pixtally.errors import PixtallyError
from pixtally.kernels.colours import MAX_CHANNELS, ColourCounts, count_colours, merge_colours
from pixtally.kernels.mixture import expect
from pixtally.kernels.mixture_fit import factors_of
from pixtally.kernels.mixture_start import Mixture
from pixtally.reduce import tree_reduce

SAMPLE = 1 << 16
"""Samples, at most about, on which mixtures of data other than 8 bits start."""

PIECE = 1 << 18
"""Samples of a block that are turned into doubles at a time, so that a large one needs little."""

FEATURES = "channel"

Floats = NDArray[np.float64]


class Gathered(NamedTuple):
    """What one pass found: where the samples of a sample lie, the samples, their weights."""

    positions: NDArray[np.int64]
    values: Floats
    weights: Floats
    total: float
    not_finite: int
    negative: int


@dataclass(frozen=True)
class Pixels:
    """Images as samples of d features, in blocks.

    Attributes
    ----------
    values : ndarray or dask array, shape (..., d)
        The features last, in one chunk.
    mask : ndarray or dask array of bool, shape (...), or None
        True leaves the sample out.
    weights : ndarray or dask array of float64, shape (...), or None
        Of each sample.
    features : ndarray, shape (d,)
        Names of the features.
    """

    values: Any
    mask: Any
    weights: Any
    features: NDArray[Any]

    @property
    def few_values(self) -> bool:
        """Tell whether the samples are colours of 8 bits, of which distinct ones are counted."""
        return bool(self.values.dtype == np.uint8) and self.values.shape[-1] <= MAX_CHANNELS

    @property
    def n_samples(self) -> int:
        """Number of samples, those left out included."""
        return int(np.prod(self.values.shape[:-1]))

    def colours(self) -> ColourCounts:
        """Return all distinct colours with their counts."""
        found: ColourCounts = self._sum(_block_colours, _merge_all)
        return found

    def gather(self) -> Gathered:
        """Return a sample that depends on positions only, not on chunks; and what is wrong."""
        share = min(1.0, SAMPLE / max(self.n_samples, 1))
        found: Gathered = self._sum(_block_sample, _join, share=share, shape=self.values.shape[:-1])
        order = np.argsort(found.positions)
        return found._replace(values=found.values[:, order], weights=found.weights[order])

    def statistics(self, mixture: Mixture) -> tuple[Floats, float]:
        """Return the sufficient statistics and the log-likelihood of all samples."""
        factors, constants = factors_of(mixture)
        found: tuple[Floats, float] = self._sum(
            _block_statistics, _add, model=(mixture.means, factors, constants)
        )
        return found

    def _sum(self, leaf: Callable[..., Any], combine: Callable[..., Any], **settings: Any) -> Any:
        """Apply `leaf` to every block and combine the results in a tree."""
        if not isinstance(self.values, da.Array):
            return leaf(self.values, self.mask, self.weights, None, **settings)
        self._compile(leaf, combine, settings)
        beside = [a for a in (self.mask, self.weights) if a is not None]
        name = "mixture-" + tokenize(leaf, self.values.name, [a.name for a in beside], settings)
        grid = list(np.ndindex(*self.values.numblocks[:-1]))
        graph: dict[Hashable, Any] = {}
        for number, index in enumerate(grid):
            refs = [TaskRef((self.values.name, *index, 0))]
            refs += [a if a is None else TaskRef((a.name, *index)) for a in self._beside()]
            key = (f"{name}-leaf", number)
            graph[key] = Task(key, leaf, *refs, self._corner(index), **settings)
        tree, root = tree_reduce(name, (0,), list(graph), combine)
        layer = HighLevelGraph.from_collections(
            name, graph | tree, dependencies=[self.values, *beside]
        )
        return Delayed(root, layer, layer=name).compute()

    def _compile(
        self, leaf: Callable[..., Any], combine: Callable[..., Any], settings: dict[str, Any]
    ) -> None:
        """Run the kernels on one sample here, so that not all workers compile them at once."""
        one = np.zeros((1, self.values.shape[-1]), self.values.dtype)
        weights = None if self.weights is None else np.ones(1)
        if "shape" in settings:
            settings = {**settings, "shape": (1,)}
        part = leaf(one, None, weights, None, **settings)
        combine([part, part])

    def _beside(self) -> tuple[Any, Any]:
        return self.mask, self.weights

    def _corner(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """Return where a block begins."""
        chunks = self.values.chunks[:-1]
        return tuple(sum(sizes[:i]) for sizes, i in zip(chunks, index, strict=True))


def as_pixels(images: Any, mask: Any = None, weights: Any = None) -> Pixels:
    """Bring images, mask and weights to one form.

    Parameters
    ----------
    images : DataArray, ndarray or dask array
        Features along the dimension ``channel``, wherever it stands; one feature without it. A
        plain array whose last axis has at most four entries has its channels there, else
        ``(y, x)``, ``(image, y, x)`` or ``(image, channel, y, x)``.
    mask, weights : DataArray or array, optional
        Of the images' dimensions or some of them.
    """
    named = name_dimensions(images)
    if 0 in named.shape:
        raise PixtallyError(f"images has shape {named.shape}: there is nothing to fit")
    if named.dtype.kind not in "biuf":
        raise PixtallyError(f"images is {named.dtype}; a mixture needs integers or floats")
    if named.dtype == np.bool_:
        named = named.astype(np.uint8)
    if FEATURES not in named.dims:
        named = named.expand_dims(FEATURES, -1)
    labels = named.coords.get(FEATURES)
    features = np.arange(named.sizes[FEATURES]) if labels is None else labels.values
    bare = named.drop_vars(list(named.coords)).transpose(..., FEATURES)
    one = bare.isel({FEATURES: 0})
    values = bare.data
    if isinstance(values, da.Array):
        values = values.rechunk({-1: -1})
    return Pixels(
        values,
        _beside(mask, one, values, "mask", np.dtype(bool)),
        _beside(weights, one, values, "weights", np.dtype(np.float64)),
        features,
    )


def name_dimensions(images: Any) -> xr.DataArray:
    """Return images with named dimensions: see `as_pixels`."""
    if isinstance(images, xr.DataArray):
        return images
    if isinstance(images, xr.Dataset):
        raise PixtallyError("images is a Dataset; pick one variable: images['name']")
    data = images if isinstance(images, da.Array) else np.asarray(images)
    if data.ndim in (3, 4) and data.shape[-1] <= MAX_CHANNELS:
        dims: tuple[str, ...] = ("image", "y", "x", FEATURES)[-data.ndim :]
    else:
        dims = {1: ("x",), 2: ("y", "x"), 3: ("image", "y", "x")}.get(
            data.ndim, ("image", FEATURES, "y", "x")
        )
    if data.ndim > len(dims) or data.ndim == 0:
        raise PixtallyError(
            f"images has shape {data.shape}; wrap it in xarray.DataArray with named dimensions"
        )
    return xr.DataArray(data, dims=dims)


def _beside(given: Any, one: xr.DataArray, values: Any, name: str, dtype: np.dtype[Any]) -> Any:
    """Return a mask or weights of the samples' shape and chunks."""
    if given is None:
        return None
    if not isinstance(given, xr.DataArray):
        given = _name_beside(given, one, name)
    given = given.drop_vars(list(given.coords))
    if name == "mask":
        if given.dtype != bool:
            raise PixtallyError(f"mask is {given.dtype}; it is boolean, True leaves the sample out")
        if FEATURES in given.dims:
            given = given.any(FEATURES)
    wrong = {d: n for d, n in given.sizes.items() if one.sizes.get(d) != n}
    if wrong:
        raise PixtallyError(
            f"{name} has {dict(given.sizes)}, the samples {dict(one.sizes)}; it must have some of "
            "their dimensions, in their sizes"
        )
    full = given.astype(dtype).broadcast_like(one).transpose(*one.dims).data
    if isinstance(values, da.Array):
        return da.asarray(full).rechunk(values.chunks[:-1])
    return np.asarray(full)


def _name_beside(given: Any, one: xr.DataArray, name: str) -> xr.DataArray:
    plain = given if isinstance(given, da.Array) else np.asarray(given)
    for dims in (one.dims, one.dims[-2:], one.dims[:1]):
        if plain.shape == tuple(one.sizes[d] for d in dims):
            return xr.DataArray(plain, dims=dims)
    raise PixtallyError(
        f"{name} has shape {plain.shape}; it must be that of the samples {one.shape}, "
        f"of one image {one.shape[-2:]}, or one value an image {one.shape[:1]}"
    )


def _selected(values: Any, mask: Any, weights: Any) -> tuple[NDArray[Any], Floats | None]:
    """Return the samples (n, d) that are not left out, and their weights (n,)."""
    samples = np.asarray(values)
    d = samples.shape[-1]
    planes = np.moveaxis(samples, -1, 0)
    if mask is None and planes.flags.c_contiguous:
        flat = planes.reshape(d, -1).T  # stored channel by channel: no copy
    else:
        flat = samples.reshape(-1, d)
    every = None if weights is None else np.asarray(weights).reshape(-1)
    if mask is not None:
        keep = ~np.asarray(mask).reshape(-1)
        flat = flat[keep]
        every = None if every is None else every[keep]
    return flat, every


def _block_colours(values: Any, mask: Any, weights: Any, corner: Any) -> ColourCounts:
    samples, every = _selected(values, mask, weights)
    _check_weights(every)
    return count_colours(samples, every)


def _check_weights(weights: Floats | None) -> None:
    if weights is not None and not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise PixtallyError(
            "weights holds negative numbers or NaN; give every sample a finite weight ≥ 0"
        )


def _merge_all(parts: Sequence[ColourCounts]) -> ColourCounts:
    total = parts[0]
    for part in parts[1:]:
        total = merge_colours(total, part)
    return total


def _block_sample(
    values: Any, mask: Any, weights: Any, corner: Any, share: float, shape: tuple[int, ...]
) -> Gathered:
    samples, every = _selected(values, mask, weights)
    positions = _positions(np.shape(values)[:-1], corner, shape)
    if mask is not None:
        positions = positions[~np.asarray(mask).reshape(-1)]
    finite = np.isfinite(samples).all(axis=1)
    given = np.ones(len(samples)) if every is None else every
    # A hash of the position decides, so that the sample is the same for any chunks.
    hashed = (positions.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    taken = finite & (hashed < share * 2**32) & (given > 0)
    return Gathered(
        positions[taken],
        np.ascontiguousarray(samples[taken].T, np.float64),
        given[taken],
        float(given.sum()),
        int(np.count_nonzero(~finite)),
        int(np.count_nonzero(~(given >= 0))),
    )


def _positions(block: tuple[int, ...], corner: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the numbers of a block's samples in the order of the whole."""
    if corner is None:
        return np.arange(int(np.prod(shape)))
    axes = [np.arange(start, start + n) for start, n in zip(corner, block, strict=True)]
    return np.ravel_multi_index(np.ix_(*axes), shape).reshape(-1).astype(np.int64)


def _join(parts: Sequence[Gathered]) -> Gathered:
    positions, values, weights, *sums = zip(*parts, strict=True)
    total, not_finite, negative = (sum(s) for s in sums)
    return Gathered(
        np.concatenate(positions),
        np.concatenate(values, axis=1),
        np.concatenate(weights),
        float(total),
        int(not_finite),
        int(negative),
    )


def _block_statistics(
    values: Any, mask: Any, weights: Any, corner: Any, model: tuple[Floats, Floats, Floats]
) -> tuple[Floats, float]:
    samples, every = _selected(values, mask, weights)
    parts = []
    for start in range(0, max(len(samples), 1), PIECE):
        piece = samples[start : start + PIECE]
        given = np.ones(len(piece)) if every is None else every[start : start + PIECE]
        planes = np.ascontiguousarray(piece.T, np.float64)
        parts.append(expect(planes, np.ascontiguousarray(given, np.float64), *model))
    return _add(parts)


def _add(parts: Sequence[tuple[Floats, float]]) -> tuple[Floats, float]:
    moments, likelihoods = zip(*parts, strict=True)
    return np.sum(moments, axis=0), float(sum(likelihoods))
