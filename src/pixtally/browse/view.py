"""What a person looks at, as one record that a link can carry."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pixtally.browse.cut import Region
from pixtally.errors import PixtallyError

STATISTICS = ("median", "mean", "std", "mode", "entropy", "quantile")
SHOWN = (*STATISTICS, "frame", "score")
COLOURS = ("auto", "gray", "viridis", "magma", "cividis", "turbo")
CONTRASTS = ("robust", "full", "view")
STYLES = ("minmax", "matlab", "imagesc", "matplotlib")
EQUALIZERS = ("interp", "cdf", "lut", "opencv", "rank", "matlab")
FILLERS = ("nearest", "linear", "harmonic", "median", "mean")
CHANGES = (
    "none",
    *(f"equalize-{m}" for m in EQUALIZERS),
    "clahe",
    *(f"fill-{m}" for m in FILLERS),
)
MODELS = ("none", "1", "2", "3", "4", "5", "peaks")


@dataclass(frozen=True)
class View:
    """Everything that decides what is on the screen.

    Attributes
    ----------
    show : str
        A statistic, ``frame``, or ``score`` (how far a frame is from its background).
    q : float
        Of the quantile.
    frame, plane : int
        Image of the collection; channel.
    a, b : Region or None
        The selected pixels or boxes.
    at : (float, float, float) or None
        Column and row in the middle, columns across; None: the whole image.
    cmap, contrast : str
        Colours (``auto``: those that suit what is shown), and where they begin and end.
    log : bool
        Counts on a logarithmic axis.
    model : str
        Gaussians (or photon peaks) over the histogram.
    style, change, where : str
        Of frames: display limits, what is done to them, and what `fill` replaces.
    theme : str
        ``auto``: as the browser likes it.
    """

    show: str = "median"
    q: float = 0.5
    frame: int = 0
    plane: int = 0
    a: Region | None = None
    b: Region | None = None
    at: tuple[float, float, float] | None = None
    cmap: str = "auto"
    contrast: str = "robust"
    log: bool = False
    model: str = "none"
    style: str = "minmax"
    change: str = "none"
    where: str = "0"
    theme: str = "auto"

    def colours(self) -> str:
        """Return the name of the colormap."""
        usual = {"frame": "gray", "score": "magma"}.get(self.show, "viridis")
        return usual if self.cmap == "auto" else self.cmap

    def query(self) -> dict[str, str]:
        """Return the fields that are not as usual, as texts of a link."""
        found = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                found[field.name] = _text(value)
        return found

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> View:
        """Return the view of a link; what is unknown or no good is as usual.

        A link may be old, cut off or written by hand: it must show something.

        Examples
        --------
        >>> View.of({"show": "quantile", "q": "0.9", "a": "3,4", "b": "rubbish"}).a
        Region(y0=3, y1=4, x0=4, x1=5)
        """
        found = {}
        for name, read in _READERS.items():
            try:
                found[name] = read(str(query[name]))
            except (KeyError, ValueError, OverflowError):
                continue
        return cls(**found)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return ",".join(f"{v:.6g}" for v in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return read


def _share(text: str) -> float:
    return min(max(_finite(text), 0.0), 1.0)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _place(text: str) -> tuple[float, float, float]:
    x, y, width = map(_finite, text.split(","))
    if width <= 0:
        raise ValueError(text)
    return x, y, width


def _region(text: str) -> Region | None:
    try:
        return Region.parse(text) if text else None
    except PixtallyError as error:
        raise ValueError(text) from error


def _number_or_nan(text: str) -> str:
    if text != "nan":
        _finite(text)
    return text


_READERS: dict[str, Callable[[str], Any]] = {
    "show": _one_of(SHOWN),
    "q": _share,
    "frame": lambda text: max(0, int(text)),
    "plane": lambda text: max(0, int(text)),
    "a": _region,
    "b": _region,
    "at": _place,
    "cmap": _one_of(COLOURS),
    "contrast": _one_of(CONTRASTS),
    "log": lambda text: text in ("1", "true", "True"),
    "model": _one_of(MODELS),
    "style": _one_of(STYLES),
    "change": _one_of(CHANGES),
    "where": _number_or_nan,
    "theme": _one_of(("auto", "light", "dark")),
}
