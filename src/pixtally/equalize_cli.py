"""The commands that equalize a stored collection into another: parse, one call, print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pixtally.cli_common import CLUSTER, RESTART, in_cluster, one_line_errors

SOURCE = click.argument("source", type=click.Path())
DEST = click.argument("dest", type=click.Path())
MASK = click.option("--mask", type=click.Path(), help="Zarr of samples to leave out (not 0).")
VARIABLE = click.option("--variable", help="Variable of a Zarr or NetCDF source.")
DTYPE = click.option("--dtype", help="Of the result, such as uint8.")
PREVIEW = click.option(
    "--preview", type=int, metavar="N", help="First draw N images before and after, with both"
    " histograms: <DEST>-preview.png.",
)  # fmt: skip

DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Say what it will do and need, and stop before reading images."
)


def _write(
    source: str,
    dest: str,
    change: Callable[[Any, Any], Any],
    *,
    variable: str | None,
    mask: str | None,
    preview: int | None,
    cluster: str | None,
    restart: bool,
    dry_run: bool,
) -> None:
    """Open, change lazily, draw a preview, write as a job, and say what was made."""
    from pixtally.preview import write_preview
    from pixtally.store import open_images
    from pixtally.write_images import plan_writing, write_images

    images = open_images(source, variable)
    left_out = None
    if mask is not None:
        left_out = open_images(mask).astype(bool).drop_vars("image_id", errors="ignore")
    if dry_run:
        from pixtally.cluster import planned_resources

        resources = planned_resources(cluster)
        click.echo(plan_writing(change(images, left_out), resources)[0].text(resources))
        return
    with in_cluster(cluster, default=False):
        changed = change(images, left_out)
        if preview is not None:
            sheet = Path(dest).with_name(Path(dest).stem + "-preview.png")
            click.echo(f"preview: {write_preview(images, changed, sheet, preview)}")
        note = f"{changed.name} {images.name or 'images'}"
        made = write_images(changed, dest, note=note, restart=restart)
    sizes = ", ".join(f"{name} {size}" for name, size in made.sizes.items())
    click.echo(f"{dest}: {sizes}, {made.dtype}")


@click.command()
@SOURCE
@DEST
@click.option(
    "--method",
    type=click.Choice(["interp", "cdf", "lut", "opencv", "rank", "matlab"]),
    default="interp",
    show_default=True,
    help="Whose equalization.",
)
@click.option("--bins", type=int, help="Bins, or output levels of matlab.")
@click.option("--range", "ends", type=(float, float), help="Ends of the bins: LOW HIGH.")
@click.option(
    "--scope",
    type=click.Choice(["image", "collection", "pixel"]),
    default="image",
    show_default=True,
    help="Whose distribution.",
)
@click.option("--histogram", type=click.Path(), help="Stored histogram, for --scope pixel.")
@click.option("--normalize", is_flag=True, help="Divide ranks by the number of samples less one.")
@click.option("--fill", type=float, help="What invalid samples become.")
@click.option(
    "--channels", type=click.Choice(["each", "luminance"]), default="each", show_default=True
)
@MASK
@DTYPE
@VARIABLE
@PREVIEW
@DRY_RUN
@CLUSTER
@RESTART
@one_line_errors
def equalize(
    source: str,
    dest: str,
    method: Any,
    bins: int | None,
    ends: tuple[float, float] | None,
    scope: Any,
    histogram: str | None,
    normalize: bool,
    fill: float | None,
    channels: Any,
    dtype: str | None,
    **rest: Any,
) -> None:
    r"""Equalize a stored collection into a new store.

    \b
      pixtally equalize frames.zarr equalized.zarr --method opencv --preview 4
      pixtally equalize frames.zarr flat.zarr --scope pixel --histogram hist.zarr --method cdf
    """
    from pixtally.equalize import equalize as equalized
    from pixtally.store import open_histogram

    def change(images: Any, mask: Any) -> Any:
        hist = None if histogram is None else open_histogram(histogram)
        return equalized(
            images,
            method,
            bins,
            ends,
            scope=scope,
            mask=mask,
            histogram=hist,
            dtype=dtype,
            normalize=normalize,
            fill=fill,
            channels=channels,
        )

    _write(source, dest, change, **rest)


@click.command()
@SOURCE
@DEST
@click.option("--clip-limit", type=float, default=2.0, show_default=True, help="0: no clipping.")
@click.option(
    "--tiles", type=(int, int), default=(8, 8), show_default=True, help="Tiles down and across."
)
@click.option("--range", "ends", type=(float, float), help="What floats span: LOW HIGH.")
@MASK
@VARIABLE
@PREVIEW
@DRY_RUN
@CLUSTER
@RESTART
@one_line_errors
def clahe(
    source: str,
    dest: str,
    clip_limit: float,
    tiles: tuple[int, int],
    ends: tuple[float, float] | None,
    **rest: Any,
) -> None:
    r"""Equalize a stored collection tile by tile with limited contrast.

    \b
      pixtally clahe frames.zarr clear.zarr --clip-limit 2 --tiles 8 8 --preview 4
    """
    from pixtally.clahe import clahe as clear

    def change(images: Any, mask: Any) -> Any:
        return clear(images, clip_limit, tiles, range=ends, mask=mask)

    _write(source, dest, change, **rest)


@click.command()
@SOURCE
@DEST
@click.argument("reference", type=click.Path())
@MASK
@DTYPE
@VARIABLE
@PREVIEW
@DRY_RUN
@CLUSTER
@RESTART
@one_line_errors
def match(source: str, dest: str, reference: str, dtype: str | None, **rest: Any) -> None:
    r"""Give every image of a stored collection the histogram of a reference.

    REFERENCE is an image file, a collection or a stored histogram.

    \b
      pixtally match frames.zarr matched.zarr reference.png --dtype uint8
    """
    from pixtally.equalize_steps import open_reference
    from pixtally.match import match_histogram

    def change(images: Any, mask: Any) -> Any:
        return match_histogram(images, open_reference(Path(reference)), mask=mask, dtype=dtype)

    _write(source, dest, change, **rest)


COMMANDS = (equalize, clahe, match)
