"""The picture that imshow would show: limits, colours, contact sheets, as RGB bytes."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pixtally.colormaps import ColourTable, colour_table
from pixtally.errors import PixtallyError
from pixtally.kernels.palette import apply_table

Style = Literal["matlab", "octave", "imagesc", "matplotlib", "minmax"]
Limits = Literal["minmax"] | tuple[float, float] | None
Picture = NDArray[np.uint8]

MOST_IMAGES = 100
TILE = 160
GAP = 4
LABEL = 12


def display_limits(images: Any, style: Style = "matlab") -> tuple[float, float]:
    """Return the values that imshow would show as the darkest and the brightest colour.

    Parameters
    ----------
    images : DataArray or array
        Real numbers; of a collection, all images together.
    style : str
        ``matlab``, ``octave``: imshow(x): 0 and 1 for floats and logicals, the whole range of the
        class for integers, whatever the values are. ``minmax``: imshow(x, []): smallest and
        largest finite value. ``imagesc``: the same, but ``c - 1`` and ``c + 1`` around a
        constant. ``matplotlib``: smallest and largest finite value for every dtype.

    Returns
    -------
    low, high : float
        0 and 1 where no value is finite.

    Raises
    ------
    PixtallyError
        For an unknown style or samples that are no real numbers.

    Notes
    -----
    This is why ``255*rand(101)`` is nearly white in MATLAB's imshow and shows its range in
    matplotlib's: MATLAB takes floats to be 0…1. Ask for ``minmax`` and both agree.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> pt.display_limits(np.array([[10.0, 45.0]])), pt.display_limits(np.zeros((2, 2), "int16"))
    ((0.0, 1.0), (-32768.0, 32767.0))
    """
    if style not in get_args(Style):
        raise PixtallyError(f"there is no style {style!r}; use {', '.join(get_args(Style))}")
    values = images.data if isinstance(images, xr.DataArray) else images
    values = values if isinstance(values, da.Array) else np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise PixtallyError(f"images is {values.dtype}; only real numbers can be shown")
    if style in ("matlab", "octave"):
        if values.dtype.kind in "iu":
            info = np.iinfo(values.dtype)
            return float(info.min), float(info.max)
        return 0.0, 1.0
    low, high = _finite_range(values)
    if style == "imagesc" and low == high:
        return low - 1, high + 1
    return low, high


def _finite_range(values: Any) -> tuple[float, float]:
    """Return the smallest and largest finite value, in one pass over lazy images."""
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        pair = np.where(finite, values, np.inf).min(), np.where(finite, values, -np.inf).max()
    else:
        pair = values.min(), values.max()
    low, high = map(float, da.compute(*pair))
    return (low, high) if low <= high else (0.0, 1.0)


def render(
    image: Any, limits: Limits = None, style: Style = "matlab", cmap: Any = "gray"
) -> Picture:
    """Return the picture of one image that imshow would show, pixel by pixel.

    Parameters
    ----------
    image : DataArray or array, shape (y, x), or (y, x, channel) with 3 or 4 channels
        A DataArray may have its ``channel`` anywhere.
    limits : None, "minmax" or (low, high)
        None: those of the style (`display_limits`); ``"minmax"``: imshow(x, []).
    style : {"matlab", "octave", "imagesc", "matplotlib"}
    cmap : str, matplotlib Colormap, or array of shape (n, 3) or (n, 4)

    Returns
    -------
    ndarray of uint8, shape (y, x, 3)
        What is transparent shows white.

    Raises
    ------
    PixtallyError
        When the image has other dimensions, or the limits are out of order.

    Notes
    -----
    In MATLAB's styles colour ``fix((x - low) / (high - low) * m)`` of the ``m`` colours is shown,
    clipped to the last, and NaN shows as the lower limit. In matplotlib's, NaN is transparent, and
    colours are cut off to bytes, not rounded: its gray 244/255 is byte 243.
    Images of three channels are colours themselves: bytes as they are, floats clipped to 0…1;
    limits and colormap do not matter.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> pt.render(np.array([[1, 2, 3]]), "minmax")[0, :, 0].tolist()
    [0, 128, 255]
    """
    values = _one_image(image)
    if values.ndim == 3:
        return _over_white(_true_colour(values, style))
    low, high = _limits_of(values, limits, style)
    table = colour_table(cmap)
    if style == "matplotlib":
        return _over_white(_as_matplotlib(values, table, low, high))
    colours = np.floor(table.floats * 255 + 0.5).astype(np.uint8)
    return _over_white(colours[_as_matlab(values, table.size, low, high)])


def _one_image(image: Any) -> NDArray[Any]:
    """Return the samples as (y, x) or (y, x, channel)."""
    if isinstance(image, xr.DataArray) and "channel" in image.dims:
        image = image.transpose(..., "channel")
    values = np.asarray(image)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 2 and not (values.ndim == 3 and values.shape[-1] in (3, 4)):
        raise PixtallyError(
            f"image has shape {np.shape(image)}; one image is (y, x), or (y, x, channel) with 3 "
            "or 4 channels: images.isel(image=0)"
        )
    return values


def _limits_of(values: NDArray[Any], limits: Limits, style: Style) -> tuple[float, float]:
    if limits is None:
        return display_limits(values, style)
    if isinstance(limits, str):
        if limits != "minmax":
            raise PixtallyError(f"limits={limits!r}; use 'minmax', (low, high) or None")
        return display_limits(values, "minmax")
    if len(limits) != 2 or not limits[0] <= limits[1]:
        raise PixtallyError(f"limits={limits}; they are (low, high) with low <= high")
    return float(limits[0]), float(limits[1])


def _as_matlab(values: NDArray[Any], colours: int, low: float, high: float) -> NDArray[np.intp]:
    """Return the place of each sample in a map of so many colours."""
    shown = values.astype(np.float64)
    shown[np.isnan(shown)] = low
    if high > low:
        places = (shown - low) / (high - low) * colours
    else:
        places = np.where(shown > low, float(colours), 0.0)
    return np.trunc(np.clip(places, 0, colours - 1)).astype(np.intp)


def _as_matplotlib(
    values: NDArray[Any], table: ColourTable, low: float, high: float
) -> NDArray[np.uint8]:
    if low < high:
        return apply_table(values, table.bytes, low, high)
    flat = np.where(np.isnan(values.astype(np.float64)), np.nan, 0.0)
    return apply_table(flat, table.bytes, 0.0, 1.0)


def _true_colour(values: NDArray[Any], style: Style) -> NDArray[np.uint8]:
    """Return colours as bytes: MATLAB rounds, matplotlib cuts off."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind in "iu":
        scaled = values.astype(np.float64) / np.iinfo(values.dtype).max
    else:
        scaled = np.nan_to_num(values.astype(np.float64), nan=0.0)
    half = 0.0 if style == "matplotlib" else 0.5
    return np.floor(np.clip(scaled, 0, 1) * 255 + half).astype(np.uint8)


def _over_white(colours: NDArray[np.uint8]) -> Picture:
    """Lay colours over white by their alpha."""
    if colours.shape[-1] == 3:
        return np.ascontiguousarray(colours)
    alpha = colours[..., 3:].astype(np.float64) / 255
    blended = colours[..., :3] * alpha + 255 * (1 - alpha)
    return np.floor(blended + 0.5).astype(np.uint8)


def contact_sheet(
    images: Any,
    *,
    limits: Limits = None,
    style: Style = "matlab",
    cmap: Any = "gray",
    columns: int | None = None,
    most: int = MOST_IMAGES,
    tile: int = TILE,
) -> Picture:
    """Return one picture with many images of a collection side by side, named by their ids.

    Parameters
    ----------
    images : DataArray or array, shape (image, y, x) or (image, channel, y, x)
        Only the images shown are read.
    limits, style, cmap
        As for `render`; limits that follow from values are those of all images shown together,
        so that they compare.
    columns : int, optional
        Images a row; by default about as many as rows.
    most : int
        Larger collections are represented by so many images, evenly spaced.
    tile : int
        Longest side of an image on the sheet, in pixels; larger ones are averaged down.

    Returns
    -------
    ndarray of uint8, shape (y, x, 3)

    Raises
    ------
    PixtallyError
        When the collection is empty or has no dimension ``image``.

    Examples
    --------
    >>> import numpy as np, pixtally as pt
    >>> pt.contact_sheet(np.zeros((6, 20, 30), "uint8"), columns=3).shape
    (76, 106, 3)
    """
    shown = _chosen(images, most)
    chosen = shown.values
    if "channel" not in shown.dims and (limits == "minmax" or limits is None):
        limits = _limits_of(chosen, limits, style)
    rendered = [
        _shrunk(render(shown.isel(image=k), limits, style, cmap), tile) for k in range(len(chosen))
    ]
    names = shown["image_id"].values if "image_id" in shown.coords else shown["image"].values
    return _laid_out(rendered, [str(n) for n in names], columns)


def _chosen(images: Any, most: int) -> xr.DataArray:
    if not isinstance(images, xr.DataArray):
        plain = images if isinstance(images, da.Array) else np.asarray(images)
        names = {3: ("image", "y", "x"), 4: ("image", "channel", "y", "x")}
        images = xr.DataArray(plain, dims=names.get(plain.ndim))
    if "image" not in images.dims or not images.sizes["image"] or most < 1:
        raise PixtallyError(
            f"images has {dict(images.sizes)}; a sheet needs at least one along 'image'"
        )
    n = images.sizes["image"]
    places = np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))
    if "image" not in images.coords:
        images = images.assign_coords(image=np.arange(n))
    picked: xr.DataArray = images.isel(image=places).drop_vars("unfilled", errors="ignore")
    return picked.compute()


def _shrunk(picture: Picture, tile: int) -> Picture:
    """Average a picture down to the size of a tile."""
    from PIL import Image

    height, width = picture.shape[:2]
    scale = tile / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _laid_out(pictures: list[Picture], names: list[str], columns: int | None) -> Picture:
    from PIL import Image, ImageDraw

    height, width = pictures[0].shape[:2]
    columns = columns or max(1, round((len(pictures) * height / width) ** 0.5))
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    step_y, step_x = height + LABEL + GAP, width + GAP
    sheet = Image.new("RGB", (columns * step_x + GAP, rows * step_y + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for k, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        left, top = GAP + k % columns * step_x, GAP + k // columns * step_y
        sheet.paste(Image.fromarray(picture), (left, top))
        while name and draw.textlength(name) > width:
            name = name[1:]  # the end of a name tells files apart
        draw.text((left, top + height), name, fill="black")
    return np.asarray(sheet)


def write_picture(picture: Picture, path: str | PathLike[str]) -> Path:
    """Write RGB bytes as a picture file; its kind follows from the name (PNG, JPEG, TIFF).

    Raises
    ------
    PixtallyError
        When the name has no known ending.
    """
    from PIL import Image

    try:
        Image.fromarray(picture).save(path)
    except (ValueError, OSError) as error:
        raise PixtallyError(f"{path} cannot be written ({error}); name it .png") from None
    return Path(path)
