"""Rectangles of pixels: what is selected, what is in view, and the tiles that a view needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pixtally.errors import PixtallyError


@dataclass(frozen=True, order=True)
class Region:
    """A rectangle of pixels, half open: rows ``y0 … y1-1`` and columns ``x0 … x1-1``."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def pixels(self) -> int:
        """How many pixels."""
        return self.shape[0] * self.shape[1]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns as slices."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def clip(self, shape: tuple[int, int]) -> Region:
        """Return the part inside an image; at least one pixel, the nearest."""
        y0 = min(max(self.y0, 0), shape[0] - 1)
        x0 = min(max(self.x0, 0), shape[1] - 1)
        return Region(
            y0, max(y0 + 1, min(self.y1, shape[0])), x0, max(x0 + 1, min(self.x1, shape[1]))
        )

    def common(self, other: Region) -> Region:
        """Return what lies in both; they must touch."""
        return Region(
            max(self.y0, other.y0),
            min(self.y1, other.y1),
            max(self.x0, other.x0),
            min(self.x1, other.x1),
        )

    def within(self, outer: Region) -> tuple[slice, slice]:
        """Return the slices that cut this region out of an array of `outer`."""
        return (
            slice(self.y0 - outer.y0, self.y1 - outer.y0),
            slice(self.x0 - outer.x0, self.x1 - outer.x0),
        )

    def __str__(self) -> str:
        if self.pixels == 1:
            return f"{self.y0},{self.x0}"
        return f"{self.y0}:{self.y1},{self.x0}:{self.x1}"

    @classmethod
    def parse(cls, text: str) -> Region:
        """Return the region of ``"y,x"`` or ``"y0:y1,x0:x1"``.

        Raises
        ------
        PixtallyError
            For any other text.

        Examples
        --------
        >>> Region.parse("3:5,7").shape
        (2, 1)
        """
        try:
            rows, columns = text.split(",")
            region = cls(*_ends(rows), *_ends(columns))
        except ValueError:
            region = cls(0, 0, 0, 0)
        if min(region.shape) < 1:
            raise PixtallyError(f"{text!r} is no pixel (y,x) and no box (y0:y1,x0:x1)")
        return region


def _ends(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    return int(first), int(last) if colon else int(first) + 1


@dataclass(frozen=True)
class Window:
    """What is in view: the region, and that every `stride`-th row and column of it is shown."""

    region: Region
    stride: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that are shown."""
        return len(samples(self.region.y0, self.region.y1, self.stride)), len(
            samples(self.region.x0, self.region.x1, self.stride)
        )


def samples(first: int, end: int, stride: int) -> range:
    """Return the multiples of `stride` in ``first … end-1``: the rows (or columns) shown."""
    return range(-(-first // stride) * stride, end, stride)


def window_of(
    shape: tuple[int, int],
    screen: tuple[int, int],
    centre: tuple[float, float] | None = None,
    width: float | None = None,
) -> Window:
    """Return what of an image a screen shows.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the image.
    screen : (int, int)
        Width and height of the place for it, in screen pixels.
    centre : (float, float), optional
        Column and row in the middle of the screen; by default the whole image is in view.
    width : float, optional
        Columns across the screen.

    Returns
    -------
    Window
        Where the screen is coarser than the image, the stride that still gives every screen pixel
        a sample of its own.

    Examples
    --------
    >>> window_of((1500, 1500), (700, 700))
    Window(region=Region(y0=0, y1=1500, x0=0, x1=1500), stride=2)
    >>> window_of((1500, 1500), (700, 350), (100.0, 200.0), 70.0)
    Window(region=Region(y0=182, y1=218, x0=65, x1=136), stride=1)
    """
    across, down = max(1, screen[0]), max(1, screen[1])
    if centre is None or width is None:
        scale = max(shape[1] / across, shape[0] / down)
        return Window(Region(0, shape[0], 0, shape[1]), max(1, int(scale)))
    scale = width / across
    stride = max(1, int(scale))
    x0, y0 = centre[0] - width / 2, centre[1] - scale * down / 2
    region = Region(int(y0), int(y0 + scale * down) + 1, int(x0), int(x0 + width) + 1).clip(shape)
    # Sampled rows lie on multiples of the stride, so that tiles are the same in every view.
    aligned = Region(
        region.y0 // stride * stride, region.y1, region.x0 // stride * stride, region.x1
    )
    return Window(aligned, stride)


@dataclass(frozen=True)
class Tiles:
    """A grid of tiles over an image.

    Attributes
    ----------
    shape : (int, int)
        Of the image.
    tile : (int, int)
        Rows and columns of a tile.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]

    def over(self, region: Region) -> Iterator[Region]:
        """Yield the tiles that touch a region, those nearest its middle first."""
        (h, w), (ty, tx) = self.shape, self.tile
        rows = range(region.y0 // ty * ty, min(region.y1, h), ty)
        columns = range(region.x0 // tx * tx, min(region.x1, w), tx)
        middle = (region.y0 + region.y1) / 2, (region.x0 + region.x1) / 2

        def away(tile: Region) -> float:
            return (tile.y0 + ty / 2 - middle[0]) ** 2 + (tile.x0 + tx / 2 - middle[1]) ** 2

        found = [Region(y, min(y + ty, h), x, min(x + tx, w)) for y in rows for x in columns]
        yield from sorted(found, key=away)


def tiles_of(shape: tuple[int, int], chunk: tuple[int, int], pixel_bytes: int, most: int) -> Tiles:
    """Return a grid whose tiles are whole stored chunks, as square as they come.

    Parameters
    ----------
    shape, chunk : (int, int)
        Rows and columns of the image and of a stored chunk.
    pixel_bytes : int
        Of one pixel's counts.
    most : int
        Most bytes of a tile, unless a single chunk is larger.
    """
    ty, tx = min(chunk[0], shape[0]), min(chunk[1], shape[1])
    while True:
        grown = (2 * ty, tx) if (ty <= tx and ty < shape[0]) or tx >= shape[1] else (ty, 2 * tx)
        covers = ty >= shape[0] and tx >= shape[1]
        if covers or grown[0] * grown[1] * pixel_bytes > most:
            return Tiles(shape, (ty, tx))
        ty, tx = grown
