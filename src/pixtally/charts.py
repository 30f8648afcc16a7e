"""What a chart of a histogram needs, whatever draws it: view, bars, ticks, numbers as text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixtally.axis import BinAxis

MOST_BARS = 192
"""More bins than this are joined: bars would be narrower than a few dots of a screen."""


@dataclass(frozen=True)
class Bars:
    """A histogram ready to be drawn.

    Attributes
    ----------
    edges : ndarray of float64, shape (bars + 1,)
        On an integer axis bar k reaches from k - 1/2 to k + 1/2, so that it stands over its value.
    heights : ndarray of float64, shape (bars,)
    joined : int
        Bins in a bar.
    """

    edges: NDArray[np.float64]
    heights: NDArray[np.float64]
    joined: int = 1

    @property
    def span(self) -> tuple[float, float]:
        """Outer edges."""
        return float(self.edges[0]), float(self.edges[-1])


def drawn_edges(axis: BinAxis) -> NDArray[np.float64]:
    """Return the edges at which an axis is drawn: around the values of an integer axis."""
    return axis.edges - 0.5 if axis.kind == "integer" else axis.edges


def bars(counts: NDArray[Any], axis: BinAxis, *, zoom: bool = False, most: int = MOST_BARS) -> Bars:
    """Return the bars of a histogram.

    Parameters
    ----------
    counts : ndarray, shape (bins,)
        Counts or sums of weights.
    axis : BinAxis
        Of the bins.
    zoom : bool
        Leave out the empty bins at both ends, but for a margin.
    most : int
        Bins are joined, a power of two at a time, until there are no more bars than this.

    Examples
    --------
    >>> from pixtally.axis import make_axis
    >>> made = bars(np.array([0, 3, 1, 0]), make_axis("uint8", 4, (0, 4)))
    >>> made.edges.tolist(), made.heights.tolist()
    ([-0.5, 0.5, 1.5, 2.5, 3.5], [0.0, 3.0, 1.0, 0.0])
    """
    edges = drawn_edges(axis)
    heights = np.asarray(counts, np.float64)
    filled = np.flatnonzero(heights)
    first, last = 0, heights.size
    if zoom and filled.size:
        margin = max(2, int(filled[-1] - filled[0] + 1) // 12)
        first, last = max(0, filled[0] - margin), min(heights.size, filled[-1] + 1 + margin)
    joined = 1
    while (last - first) / joined > most:
        joined *= 2
    first -= first % joined
    begins = np.arange(first, last, joined)
    ends = np.minimum(begins + joined, heights.size)
    summed = np.add.reduceat(heights[: ends[-1]], begins)
    return Bars(np.append(edges[begins], edges[ends[-1]]), summed, joined)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers from `low` to `high`, near `about` of them.

    Examples
    --------
    >>> ticks(0, 256)
    [0.0, 50.0, 100.0, 150.0, 200.0, 250.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / about
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * next(m for m in (1, 2, 5, 10) if m * size >= 0.75 * rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def number(value: float) -> str:
    """Return a number as people read it, four digits at most unless it is whole.

    Examples
    --------
    >>> number(1394), number(0.123456), number(71.0), number(2.5e-7), number(462_495_744)
    ('1,394', '0.1235', '71', '2.5e-07', '462.5 million')
    """
    if not math.isfinite(value):
        return "–"
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if abs(value) >= size and abs(value) < 1e15:
            return f"{float(f'{value / size:.4g}'):,g} {name}"
    if value == int(value) or abs(value) >= 1e4:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.4g}"
    return f"{value:.4g}"


def short(value: float) -> str:
    """Return a number in three digits, or whole.

    Examples
    --------
    >>> short(27.514), short(4.1), short(191.0), short(0.67381), short(60430.2)
    ('27.5', '4.1', '191', '0.674', '60,430')
    """
    if not math.isfinite(value) or abs(value) >= 1000:
        return number(round(value) if math.isfinite(value) else value)
    return f"{float(f'{value:.3g}'):g}"


def step_path(
    made: Bars, size: tuple[float, float], *, log: bool = False, top: float | None = None
) -> str:
    """Return the outline of bars as the path of an SVG, closed along the bottom.

    Parameters
    ----------
    made : Bars
    size : (float, float)
        Width and height of the drawing.
    log : bool
        Heights by their logarithm (of 1 + height, so that a single count is seen).
    top : float, optional
        Height that reaches the upper edge; by default the highest bar.
    """
    width, height = size
    low, high = made.span
    across = (made.edges - low) / ((high - low) or 1) * width
    up = height - scaled(made.heights, top, log) * height
    words = [f"M{across[0]:.1f} {height:g}"]
    before = height
    for k in range(up.size):
        if up[k] != before:
            words.append(f"H{across[k]:.1f}V{up[k]:.1f}")
            before = up[k]
    words.append(f"H{across[-1]:.1f}V{height:g}Z")
    return "".join(words)


def scaled(
    heights: NDArray[np.float64], top: float | None = None, log: bool = False
) -> NDArray[np.float64]:
    """Return heights as parts of the highest, linear or logarithmic."""
    most = float(heights.max(initial=0.0)) if top is None else top
    if log:
        return np.log1p(heights) / (np.log1p(most) or 1.0)
    return heights / (most or 1.0)


def curve_path(
    values: NDArray[np.float64],
    heights: NDArray[np.float64],
    span: tuple[float, float],
    size: tuple[float, float],
    top: float,
) -> str:
    """Return a line through points as the path of an SVG, linear; the upper edge cuts it off."""
    width, height = size
    across = (values - span[0]) / ((span[1] - span[0]) or 1) * width
    up = height - np.clip(heights / (top or 1.0), 0, 1.02) * height
    points = [f"{x:.1f} {y:.1f}" for x, y in zip(across, up, strict=True)]
    return "M" + "L".join(points)


def gaussians(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    stds: NDArray[np.float64],
    least_std: float,
) -> NDArray[np.float64]:
    """Return the density of each component of a mixture, shape (components, values).

    Components narrower than `least_std` are drawn that wide: a line would not be seen.
    """
    kept = np.isfinite(means) & (weights > 0)
    wide = np.maximum(stds[kept], least_std)[:, None]
    away = (values[None] - means[kept, None]) / wide
    density = weights[kept, None] * np.exp(-0.5 * away**2) / (wide * math.sqrt(2 * math.pi))
    return np.asarray(density)


def many(how_many: float, what: str) -> str:
    """Return a number with its noun, which gets an s unless there is one.

    Examples
    --------
    >>> many(1, "part"), many(1394, "image")
    ('1 part', '1,394 images')
    """
    return f"{number(how_many)} {what}{'' if how_many == 1 else 's'}"
