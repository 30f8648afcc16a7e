"""The command ``pixtally report``: a histogram as one HTML file."""

from __future__ import annotations

import click

from pixtally.cli_common import one_line_errors
from pixtally.errors import PixtallyError


@click.command()
@click.argument("store", type=click.Path())
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), help="HTML file; default: beside the store."
)
@click.option("--png", type=click.Path(file_okay=False), help="Folder for the figures as PNG too.")
@click.option(
    "--pixel", "pixels", multiple=True, metavar="ROW,COLUMN", help="A pixel to show; repeatable."
)
@click.option("--mixture", type=click.Path(), help="Pixel mixture of it (pixtally mixture).")
@one_line_errors
def report(
    store: str,
    output: str | None,
    png: str | None,
    pixels: tuple[str, ...],
    mixture: str | None,
) -> None:
    r"""Write a histogram as one HTML file to look at: images, unusual pixels, how it was made.

    \b
      pixtally report hist.zarr -o report.html
      pixtally report hist.zarr -o report.html --pixel 120,200 --png figures
    """
    from pixtally.report import report as write_report

    made = write_report(
        store, output, png=png, pixels=[_place(text) for text in pixels], mixture=mixture
    )
    click.echo(f"{made}: {made.stat().st_size / 2**20:.1f} MiB; open it in a browser")
    if png:
        click.echo(f"{png}: the figures as PNG")


def _place(text: str) -> tuple[int, int]:
    try:
        row, column = (int(n) for n in text.split(","))
    except ValueError:
        raise PixtallyError(f"--pixel {text}: write ROW,COLUMN such as 120,200") from None
    return row, column


COMMANDS = (report,)
