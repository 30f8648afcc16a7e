"""The command that shows a store in the browser: parse, open, serve."""

from __future__ import annotations

from pathlib import Path

import click

from pixtally.cli_common import one_line_errors


@click.command()
@click.argument("store", type=click.Path())
@click.option("--images", type=click.Path(), help="Collection that the histogram counted.")
@click.option("--port", type=int, help="Default: 5007, or a free one; 0: any free one.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--address", default="127.0.0.1", show_default=True, help="Who may connect.")
@one_line_errors
def view(store: str, images: str | None, port: int | None, no_browser: bool, address: str) -> None:
    r"""Look at a histogram or a collection of images in the browser.

    \b
    Tap a pixel or drag a box: its histogram, CDF, fitted Gaussians. Compare two. Works with a
    histogram that is still being written.
      pixtally view hist.zarr
      pixtally view hist.zarr --images frames.zarr     frames and foreground scores, too
      pixtally view frames.zarr                        frames, before and after equalize or fill
    """
    from pixtally.browse.opening import open_target
    from pixtally.viewer.server import serve_target

    def ready(url: str) -> None:
        click.echo(f"{url}   (Ctrl-C stops)")
        if not no_browser and not _open_browser(url):
            click.echo("no browser here: open the address above in one", err=True)

    target = open_target(Path(store), None if images is None else Path(images))
    try:
        serve_target(target, port, address, ready)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


def _open_browser(url: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False


COMMANDS = (view,)
