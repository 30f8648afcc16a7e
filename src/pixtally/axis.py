"""The bin axis: edges, the closed side, the flow slots, and the rule that finds a sample's slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from pixtally.errors import PixtallyError

Closed = Literal["left", "right"]
Kind = Literal["integer", "regular", "variable"]

FLOWS = ("underflow", "overflow", "invalid")
"""The slots that follow the bins, in this order."""

MOST_BINS = 2**24
"""More are refused before their edges are made."""


@dataclass(frozen=True)
class SlotRule:
    """How samples of one dtype find their slot: plain arrays, ready for a kernel.

    Attributes
    ----------
    table : ndarray of uint16 or uint32, or None
        Slot of every value of an 8- or 16-bit integer, indexed by its bits as unsigned.
    edges : ndarray of float64
        The ``bins + 1`` edges.
    scale : float
        Bins per unit for evenly spaced edges, 0 for edges found by search.
    right : bool
        Bins are closed on the right.
    direct : bool
        The sample is its own slot (8-bit samples, one bin a value).
    """

    table: NDArray[Any] | None
    edges: NDArray[np.float64]
    scale: float
    right: bool
    direct: bool


@dataclass(frozen=True)
class BinAxis:
    """The bins of a histogram; make one with `make_axis`.

    Attributes
    ----------
    kind : {"integer", "regular", "variable"}
        One bin an integer value, evenly spaced, or by given edges.
    bins : int
        Number of bins, flow slots not counted.
    start, stop : float
        Outermost edges.
    closed : {"left", "right"}
        ``left``: ``[e_i, e_i+1)``, the last bin closed on both sides, as `numpy.histogram`.
        ``right``: ``(e_k-1, e_k]``, the first bin closed on both sides.
    given : tuple of float
        The edges of a variable axis, else empty.
    """

    kind: Kind
    bins: int
    start: float
    stop: float
    closed: Closed = "left"
    given: tuple[float, ...] = ()

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges, shape (bins + 1,), float64."""
        if self.kind == "variable":
            return np.asarray(self.given, dtype=np.float64)
        return np.linspace(self.start, self.stop, self.bins + 1)

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Lower and upper edge of each bin, shape (bins, 2), as CF bounds."""
        edges = self.edges
        return np.stack([edges[:-1], edges[1:]], axis=1)

    @property
    def widths(self) -> NDArray[np.float64]:
        """Width of each bin, shape (bins,)."""
        return np.diff(self.edges)

    @property
    def labels(self) -> NDArray[Any]:
        """The coordinate ``bin``: the value itself on an integer axis, else the centre."""
        if self.kind == "integer":
            return np.arange(int(self.start), int(self.start) + self.bins, dtype=np.int64)
        edges = self.edges
        return (edges[:-1] + edges[1:]) / 2

    @property
    def slots(self) -> int:
        """Bins and flow slots together."""
        return self.bins + len(FLOWS)

    def find(self, samples: ArrayLike) -> NDArray[np.int64]:
        """Return the slot of each sample by plain search: the slow, obvious rule.

        Parameters
        ----------
        samples : array_like
            Numbers of any shape.

        Returns
        -------
        ndarray of int64
            Same shape: ``0 … bins-1``, then underflow, overflow, invalid.
        """
        values = np.asarray(samples).astype(np.float64)
        edges = self.edges
        if self.closed == "left":
            slot = np.searchsorted(edges, values, side="right") - 1
            slot[values == edges[-1]] = self.bins - 1
        else:
            slot = np.searchsorted(edges, values, side="left") - 1
            slot[values == edges[0]] = 0
        slot[values < edges[0]] = self.bins
        slot[values > edges[-1]] = self.bins + 1
        slot[np.isnan(values)] = self.bins + 2
        return slot

    def rule(self, dtype: DTypeLike) -> SlotRule:
        """Return the rule by which a kernel finds the slots of samples of `dtype`."""
        dtype = np.dtype(dtype)
        edges = self.edges
        table = None
        if dtype.kind in "biu" and dtype.itemsize <= 2:
            every = np.arange(256**dtype.itemsize, dtype=f"u{dtype.itemsize}")
            every = every if dtype.kind == "b" else every.view(dtype)
            table = self.find(every).astype(np.uint16 if self.slots <= 2**16 else np.uint32)
        direct = bool(
            table is not None
            and dtype.itemsize == 1
            and np.array_equal(table, np.arange(256, dtype=table.dtype))
        )
        even = self.kind != "variable"
        scale = self.bins / (self.stop - self.start) if even else 0.0
        return SlotRule(table, edges, scale, self.closed == "right", direct)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-able settings, from which `from_dict` makes an equal axis."""
        plain: dict[str, Any] = {"kind": self.kind, "bins": self.bins, "closed": self.closed}
        if self.kind == "variable":
            plain["edges"] = list(self.given)
        else:
            plain |= {"start": self.start, "stop": self.stop}
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> BinAxis:
        """Return the axis of `to_dict`."""
        given = tuple(float(e) for e in plain.get("edges", ()))
        start, stop = (given[0], given[-1]) if given else (plain["start"], plain["stop"])
        return cls(plain["kind"], int(plain["bins"]), start, stop, plain["closed"], given)

    def __str__(self) -> str:
        side = "" if self.closed == "left" else ", closed on the right"
        return f"{self.bins} {self.kind} bins over [{self.start:g}, {self.stop:g}]{side}"


def make_axis(
    dtype: DTypeLike,
    bins: int | Sequence[float] | NDArray[Any] | None = None,
    range: tuple[float, float] | None = None,
    closed: Closed = "left",
) -> BinAxis:
    """Return the axis that a user's ``bins``, ``range`` and ``closed`` mean for samples of `dtype`.

    Parameters
    ----------
    dtype : dtype
        Of the samples.
    bins : int or sequence of float, optional
        Number of bins, or all edges in rising order. Without it 8-bit integers get one bin a
        value; anything wider needs it.
    range : (float, float), optional
        Outermost edges; for 8-bit integers the full range of the dtype by default.
    closed : {"left", "right"}
        Which side of a bin is closed.

    Returns
    -------
    BinAxis

    Raises
    ------
    PixtallyError
        When they are missing, contradict each other, or are out of order.

    Examples
    --------
    >>> str(make_axis("uint8"))
    '256 integer bins over [0, 256]'
    >>> str(make_axis("float32", bins=4, range=(0, 1)))
    '4 regular bins over [0, 1]'
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "biuf":
        raise PixtallyError(f"samples are {dtype}; a histogram needs integers, floats or booleans")
    if closed not in ("left", "right"):
        raise PixtallyError(f"closed is {closed!r}; it is 'left' or 'right'")
    if bins is not None and np.ndim(bins) > 0:
        return _variable_axis(np.asarray(bins), range, closed)
    span = _checked_range(range) if range is not None else full_range(dtype)
    if bins is None:
        bins = _bins_of_full_range(dtype, span)
    number = _checked_number(bins)
    if span is None:
        raise PixtallyError(f"{dtype} samples have no range of their own; pass range=(low, high)")
    return _even_axis(dtype, number, span, closed)


def full_range(dtype: DTypeLike) -> tuple[float, float] | None:
    """Return the range that holds every value of an 8-bit dtype, one bin wide each; else None."""
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return 0, 2
    if dtype.kind in "iu" and dtype.itemsize == 1:
        info = np.iinfo(dtype)
        return int(info.min), int(info.max) + 1
    return None


def _bins_of_full_range(dtype: np.dtype[Any], span: tuple[float, float] | None) -> int:
    if full_range(dtype) is None:
        raise PixtallyError(
            f"{dtype} samples need bins: pass a number, bins=256, or the edges, bins=[0, 10, 100]"
        )
    low, high = span or (0, 0)
    if low != int(low) or high != int(high):
        raise PixtallyError(f"range {low:g}…{high:g} is not whole; pass bins= with it")
    return int(high - low)


def _checked_number(bins: Any) -> int:
    if isinstance(bins, bool) or int(bins) != bins or bins < 1:
        raise PixtallyError(f"bins is {bins!r}; it is a whole number ≥ 1 or a list of edges")
    if bins > MOST_BINS:
        raise PixtallyError(f"bins is {bins}; at most {MOST_BINS} are counted: use fewer")
    return int(bins)


def _checked_range(range: Any) -> tuple[float, float]:
    try:
        low, high = (v.item() if isinstance(v, np.generic) else v for v in range)
        ordered = bool(np.isfinite(low) and np.isfinite(high) and low < high)
    except (TypeError, ValueError):
        raise PixtallyError(f"range is {range!r}; it is two numbers, (low, high)") from None
    if not ordered:
        raise PixtallyError(f"range is {low}…{high}; it needs two finite numbers, the lower first")
    return low, high


def _even_axis(
    dtype: np.dtype[Any], bins: int, span: tuple[float, float], closed: Closed
) -> BinAxis:
    low, high = span
    edges = np.linspace(low, high, bins + 1)
    if not np.all(np.diff(edges) > 0):
        raise PixtallyError(
            f"{bins} bins over {low}…{high} are narrower than float64 can tell apart; "
            "use fewer bins or a wider range"
        )
    unit_wide = low == int(low) and high - low == bins
    integer = dtype.kind in "biu" and unit_wide and closed == "left"
    return BinAxis("integer" if integer else "regular", bins, float(low), float(high), closed)


def _variable_axis(edges: NDArray[Any], range: Any, closed: Closed) -> BinAxis:
    if range is not None:
        raise PixtallyError("bins is a list of edges, which already says the range; drop range")
    if edges.ndim != 1 or len(edges) < 2 or edges.dtype.kind not in "biuf":
        raise PixtallyError(
            f"bins has shape {edges.shape} and dtype {edges.dtype}; edges are 2 or more numbers"
        )
    edges = edges.astype(np.float64)
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise PixtallyError("bins are edges that do not rise all the way; sort them, drop repeats")
    given = tuple(float(e) for e in edges)
    return BinAxis("variable", len(given) - 1, given[0], given[-1], closed, given)
