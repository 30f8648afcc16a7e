"""Commands that repair and show images: fill, colormaps, translate, render, sheet."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from pixtally.errors import PixtallyError

SOURCES = click.argument("sources", nargs=-1, required=True)
DEST = click.argument("dest", type=click.Path())
CLUSTER = click.option("--cluster", type=click.Path(dir_okay=False), help="Cluster file.")
RESTART = click.option("--restart", is_flag=True, help="Begin again, replacing earlier results.")
OUTPUT = click.option(
    "-o", "--output", type=click.Path(dir_okay=False), required=True, help="PNG file to write."
)
LIMITS = click.option(
    "--limits", help="minmax, or LOW,HIGH; by default what the style shows.", metavar="LIMITS"
)
STYLE = click.option(
    "--style",
    type=click.Choice(["matlab", "octave", "imagesc", "matplotlib"]),
    default="matlab",
    show_default=True,
    help="Whose imshow (or imagesc).",
)
CMAP = click.option("--cmap", default="gray", show_default=True, help="Colormap.")
VARIABLE = click.option("--variable", help="Variable of a Zarr or NetCDF source.")


def _run(
    sources: tuple[str, ...],
    dest: str,
    step: dict[str, Any],
    cluster: str | None,
    restart: bool,
    mask: dict[str, Any] | None = None,
) -> Any:
    """Run one step over a collection as a pipeline; files are ingested beside the result."""
    from pixtally.cluster import cluster as on_cluster
    from pixtally.pipeline import Pipeline

    spec = {"source": _where(sources), "steps": [step], "output": {"store": dest}}
    pipeline = Pipeline(spec | ({"mask": mask} if mask else {}), Path.cwd())
    with on_cluster(cluster) if cluster else nullcontext():
        return pipeline.run(restart=restart)


def _where(sources: tuple[str, ...]) -> dict[str, Any]:
    """Say where images come from: a store as it is, anything else is ingested."""
    first = Path(sources[0])
    if len(sources) == 1 and (first.suffix == ".nc" or (first / "zarr.json").exists()):
        return {"zarr": str(first)}
    return {"images": list(sources)}


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


@click.command()
@SOURCES
@DEST
@click.option("--where", default="0", show_default=True, help="Invalid: a value, nan, or mask.")
@click.option("--method", default="nearest", show_default=True, help="Where values come from.")
@click.option("--value", type=float, help="For --method constant.")
@click.option("--max-distance", type=float, help="Pixels farther from valid ones stay.")
@click.option("--mask", help="Image files or store that say what is invalid (not 0).")
@click.option("--invert-mask", is_flag=True, help="They say what is valid instead.")
@CLUSTER
@RESTART
def fill(
    sources: tuple[str, ...],
    dest: str,
    where: str,
    method: str,
    value: float | None,
    max_distance: float | None,
    mask: str | None,
    invert_mask: bool,
    cluster: str | None,
    restart: bool,
) -> Any:
    r"""Give invalid pixels values, for every image of a collection.

    \b
    METHOD: nearest linear harmonic median mean constant temporal_median
      pixtally fill frames.zarr filled.zarr --where 0 --method nearest
      pixtally fill NDVI.npy filled.zarr --mask IS_VALID.npy --invert-mask \
          --method temporal_median
    """
    step = {
        "where": "mask" if mask else _number_or_word(where),
        "method": method,
        "value": value,
        "max_distance": max_distance,
    }
    beside = {**_where((mask,)), "invert": invert_mask} if mask else None
    return _run(sources, dest, {"fill": step}, cluster, restart, beside)


VMIN = click.option("--vmin", type=float, required=True, help="Value of the lowest colour.")
VMAX = click.option("--vmax", type=float, required=True, help="Value of the highest colour.")
NAMED_CMAP = click.option("--cmap", required=True, help="Name of a matplotlib colormap.")


@click.command("apply-colormap")
@SOURCES
@DEST
@NAMED_CMAP
@VMIN
@VMAX
@CLUSTER
@RESTART
def apply_colormap(
    sources: tuple[str, ...],
    dest: str,
    cmap: str,
    vmin: float,
    vmax: float,
    cluster: str | None,
    restart: bool,
) -> Any:
    r"""Colour the values of a collection, as RGBA bytes.

    \b
      pixtally apply-colormap depth.zarr coloured.zarr --cmap jet --vmin 1500 --vmax 4500
    """
    step = {"cmap": cmap, "vmin": vmin, "vmax": vmax}
    return _run(sources, dest, {"apply_colormap": step}, cluster, restart)


@click.command("invert-colormap")
@SOURCES
@DEST
@NAMED_CMAP
@VMIN
@VMAX
@click.option("--tolerance", type=float, help="Colours farther from the map become NaN (0…255).")
@CLUSTER
@RESTART
def invert_colormap(
    sources: tuple[str, ...],
    dest: str,
    cmap: str,
    vmin: float,
    vmax: float,
    tolerance: float | None,
    cluster: str | None,
    restart: bool,
) -> Any:
    r"""Turn pictures made with a colormap back into values.

    \b
      pixtally invert-colormap 'jet/*.png' depth.zarr --cmap jet --vmin 1500 --vmax 4500
    """
    step = {"cmap": cmap, "vmin": vmin, "vmax": vmax, "tolerance": tolerance}
    return _run(sources, dest, {"invert_colormap": step}, cluster, restart)


@click.command()
@SOURCES
@DEST
@click.option("--shift", nargs=2, type=float, help="Pixels right and down, for all images.")
@click.option("--shifts", type=click.Path(dir_okay=False), help="CSV or .npy, one pair an image.")
@click.option("--method", default="linear", show_default=True, help="linear, nearest or cubic.")
@click.option("--output", default="same", show_default=True, help="same size, or full.")
@click.option("--fill", type=float, default=0, show_default=True, help="What moves in.")
@click.option("--edge", default="blend", show_default=True, help="blend or hard.")
@CLUSTER
@RESTART
def translate(
    sources: tuple[str, ...],
    dest: str,
    shift: tuple[float, float] | None,
    shifts: str | None,
    cluster: str | None,
    restart: bool,
    **options: Any,
) -> Any:
    r"""Move images by whole or fractional pixels, right and down.

    \b
      pixtally translate frames.zarr moved.zarr --shift 1.5 -2
      pixtally translate frames.zarr steady.zarr --shifts drift.csv --method cubic
    """
    if (shift is None) == (shifts is None):
        raise PixtallyError("give either --shift DX DY or --shifts FILE")
    moved = list(shift) if shift is not None else _read_shifts(str(shifts))
    return _run(sources, dest, {"translate": {"shift": moved, **options}}, cluster, restart)


def _read_shifts(path: str) -> list[list[float]]:
    import numpy as np

    try:
        if path.endswith(".npy"):
            found = np.load(path, allow_pickle=False)
        else:
            found = np.loadtxt(path, delimiter=",", comments="#")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise PixtallyError(f"{path}: {reason}; it is two columns, dx and dy") from None
    pairs: list[list[float]] = np.atleast_2d(found).tolist()
    return pairs


def _limits(text: str | None) -> Any:
    if text is None or text == "minmax":
        return text
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise PixtallyError(f"--limits {text}: write minmax, or LOW,HIGH such as 0,255") from None
    return low, high


@click.command()
@SOURCES
@OUTPUT
@click.option("--image", "place", default=0, show_default=True, help="Which image.")
@LIMITS
@STYLE
@CMAP
@VARIABLE
def render(
    sources: tuple[str, ...],
    output: str,
    place: int,
    limits: str | None,
    style: str,
    cmap: str,
    variable: str | None,
) -> None:
    r"""Write the picture that imshow would show for one image.

    \b
      pixtally render frames.zarr --image 17 -o frame.png
      pixtally render matrix.npy --style matplotlib --cmap viridis -o matrix.png
      pixtally render matrix.npy --limits minmax -o matrix.png      # imshow(x, [])
    """
    from pixtally.glance import glance, one_at
    from pixtally.render import render as render_image
    from pixtally.render import write_picture

    image = glance(sources, one_at(place), variable).isel(image=0)
    picture = render_image(image, _limits(limits), style, cmap)  # type: ignore[arg-type]
    write_picture(picture, output)
    height, width = picture.shape[:2]
    click.echo(f"{output}: {image['image_id'].item()}, {width} × {height} pixels")


@click.command()
@SOURCES
@OUTPUT
@click.option("--columns", type=int, help="Images a row.")
@click.option("--most", default=100, show_default=True, help="So many at most, evenly spaced.")
@click.option("--tile", default=160, show_default=True, help="Longest side of one, in pixels.")
@LIMITS
@STYLE
@CMAP
@VARIABLE
def sheet(
    sources: tuple[str, ...],
    output: str,
    columns: int | None,
    most: int,
    tile: int,
    limits: str | None,
    style: str,
    cmap: str,
    variable: str | None,
) -> None:
    r"""Write one picture with many images of a collection, named by their ids.

    \b
      pixtally sheet frames.zarr -o sheet.png
      pixtally sheet 'frames/*.png' --most 24 --columns 6 -o sheet.png
    """
    from pixtally.glance import evenly, glance
    from pixtally.render import contact_sheet, write_picture

    images = glance(sources, evenly(most), variable)
    made = contact_sheet(
        images,
        limits=_limits(limits),
        style=style,  # type: ignore[arg-type]
        cmap=cmap,
        columns=columns,
        most=most,
        tile=tile,
    )
    write_picture(made, output)
    click.echo(f"{output}: {images.sizes['image']} images")


COMMANDS = (fill, apply_colormap, invert_colormap, translate, render, sheet)
"""What `cli` adds; those that make a collection return the pipeline's report."""
