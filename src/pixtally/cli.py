"""The command line: parse, one library call, print. Heavy imports only where they are used."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from functools import wraps
from pathlib import Path
from typing import Any

import click

from pixtally._version import __version__
from pixtally.cli_common import (
    CLUSTER,
    RESTART,
    SET,
    Settings,
    one_line_errors,
    one_line_logs,
    read_changes,
)
from pixtally.cli_common import in_cluster as _cluster
from pixtally.cluster_cli import COMMANDS as CLUSTER_COMMANDS
from pixtally.equalize_cli import COMMANDS as EQUALIZE_COMMANDS
from pixtally.image_commands import COMMANDS
from pixtally.report_cli import COMMANDS as REPORT_COMMANDS
from pixtally.view_cli import COMMANDS as VIEW_COMMANDS

OVERVIEW = """\
What every pixel does over a huge collection of images.

\b
The four commonest commands:
  pixtally run pipelines/quickstart.yaml        a whole pipeline, from files to pictures
  pixtally ingest 'frames/*.png' frames.zarr    image files, video, HDF5, … to one Zarr store
  pixtally info hist.zarr                       what a store holds
  pixtally report hist.zarr -o report.html      one page to look at; view explores it
"""


@click.group(
    help=OVERVIEW,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Completion: eval "$(_PIXTALLY_COMPLETE=bash_source pixtally)" (or zsh_source, '
    "fish_source).",
)
@click.version_option(__version__, prog_name="pixtally")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
def main(debug: bool, verbose: bool) -> None:
    """Run the command line."""
    Settings.debug = debug
    if not sys.warnoptions and not debug:
        warnings.simplefilter("ignore")  # libraries warn developers; users get our one line
    one_line_logs()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("pixtally: %(message)s"))
    log = logging.getLogger("pixtally")
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.INFO if verbose else logging.WARNING)


def _report_left_out(left_out: list[dict[str, str]]) -> None:
    if left_out:
        click.echo(f"left out {len(left_out)} images:", err=True)
        for bad in left_out[:20]:
            click.echo(f"  {bad['image']}: {bad['reason']}", err=True)
        if len(left_out) > 20:
            click.echo(f"  … and {len(left_out) - 20} more, listed in the store", err=True)


@main.command()
@click.argument("sources", nargs=-1, required=True)
@click.argument("dest", type=click.Path())
@click.option("--gray", is_flag=True, help="Turn colour into gray (BT.601 luma).")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="What a bad image does; skipped ones are listed, exit code 3.",
)
@CLUSTER
@RESTART
@one_line_errors
def ingest(
    sources: tuple[str, ...],
    dest: str,
    gray: bool,
    on_error: str,
    cluster: str | None,
    restart: bool,
) -> None:
    r"""Turn image files into one chunked, sharded Zarr store.

    \b
    SOURCES are files, folders, quoted globs, video, .npy/.npz, file.h5::dataset, FITS, Zarr.
      pixtally ingest 'frames/*.png' frames.zarr
      pixtally ingest camera.mp4 camera.zarr --gray
      pixtally ingest scan.h5::entry/data scan.zarr
    """
    from pixtally.ingest import ingest_images

    with _cluster(cluster, default=False):
        made = ingest_images(list(sources), dest, gray=gray, on_error=on_error, restart=restart)
    shape = " × ".join(map(str, made.shape))
    there = " (was complete already)" if made.already_done else ""
    click.echo(f"{made.dest}: {made.n_images} images, {shape} {made.dtype}{there}")
    left_out = [{"image": bad.image, "reason": bad.reason} for bad in made.left_out]
    _report_left_out(left_out)
    if left_out:
        raise click.exceptions.Exit(3)


@main.command()
@click.argument("spec", type=click.Path(dir_okay=False))
@one_line_errors
def check(spec: str) -> None:
    r"""Check a pipeline without reading any image.

    \b
      pixtally check pipeline.yaml
    """
    from pixtally.pipeline import Pipeline

    steps = Pipeline.from_yaml(spec).spec.steps
    click.echo(f"{spec}: {len(steps)} steps, all known: {', '.join(s.name for s in steps)}")


@main.command()
@click.argument("spec", type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@SET
@CLUSTER
@one_line_errors
def plan(spec: str, as_json: bool, changes: tuple[str, ...], cluster: str | None) -> None:
    r"""Say what a pipeline will do and need, before anything runs.

    \b
      pixtally plan pipeline.yaml
      pixtally plan pipeline.yaml --cluster cluster/slurm.yaml --json
    """
    from pixtally.cluster import planned_resources
    from pixtally.pipeline import Pipeline, plan_json

    resources = planned_resources(cluster)
    made = Pipeline.from_yaml(spec, read_changes(changes)).plan(resources)
    click.echo(plan_json(made) if as_json else made.text(resources))


@main.command()
@click.argument("spec", type=click.Path(dir_okay=False))
@SET
@CLUSTER
@RESTART
@one_line_errors
def run(spec: str, changes: tuple[str, ...], cluster: str | None, restart: bool) -> None:
    r"""Run a pipeline; an interrupted one goes on where it stopped.

    \b
      pixtally run pipelines/quickstart.yaml
      pixtally run pipeline.yaml --set source.images='other/*.png' --set output.store=b.zarr
      pixtally run pipeline.yaml --cluster cluster/existing.yaml
    """
    from pixtally.pipeline import Pipeline

    pipeline = Pipeline.from_yaml(spec, read_changes(changes))
    with _cluster(cluster, default=True) as client:
        click.echo(f"dashboard: {client.dashboard_link}", err=True)
        report = pipeline.run(restart=restart)
    _say(report)


def _say(report: Any) -> None:
    """Print what a pipeline made; exit code 3 when images were left out."""
    done = "counted" if "histogram" in report.made else "written"
    click.echo(f"{report.n_images} images {done}; made:")
    width = max(map(len, report.made), default=0)
    for what, path in report.made.items():
        click.echo(f"  {what:<{width}}  {_short(path)}")
    times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report.seconds.items())
    click.echo(f"time: {times}", err=True)
    kind = "histogram" if "histogram" in report.made else "images"
    store = _short(report.made.get("histogram") or report.made["resulting images"])
    click.echo(f"look at it:\n  pixtally info {store}")
    if kind == "histogram":
        click.echo(f"  pixtally report {store}")
    click.echo(f"  python -c \"import pixtally as pt; print(pt.open_{kind}('{store}'))\"")
    _report_left_out(report.left_out)
    if report.exit_code:
        raise click.exceptions.Exit(report.exit_code)


def _short(path: str) -> str:
    """Return a path as seen from the current folder, where that is shorter."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


@main.command()
@click.argument("store", type=click.Path())
@click.argument("sources", nargs=-1, required=True)
@click.option("--gray", is_flag=True, help="Turn colour into gray (BT.601 luma).")
@click.option("--variable", help="Variable of a Zarr or NetCDF source.")
@CLUSTER
@one_line_errors
def append(
    store: str,
    sources: tuple[str, ...],
    gray: bool,
    variable: str | None,
    cluster: str | None,
) -> None:
    r"""Count more images into a histogram; those already counted are left out.

    \b
      pixtally append hist.zarr frames.zarr
      pixtally append hist.zarr 'new/*.png'
    """
    from pixtally.append import append_sources

    with _cluster(cluster, default=False):
        before, after = append_sources(store, list(sources), gray=gray, variable=variable)
    click.echo(f"{store}: {after - before} images added, {after} in all")


@main.command()
@click.argument("store", type=click.Path())
@click.argument("dest", type=click.Path())
@click.option("-k", "--components", default="3", show_default=True, help="A number, or bic.")
@click.option(
    "--covariance",
    type=click.Choice(["full", "tied", "diag", "spherical"]),
    default="full",
    show_default=True,
    help="Form of the covariances of colours.",
)
@click.option("--seed", default=0, show_default=True, help="Of the random starts.")
@CLUSTER
@one_line_errors
def mixture(
    store: str, dest: str, components: str, covariance: str, seed: int, cluster: str | None
) -> None:
    r"""Fit Gaussians to the colours of images, or to every pixel of a histogram.

    \b
      pixtally mixture photo.zarr model.zarr -k bic
      pixtally mixture hist.zarr background.zarr -k 3
    """
    from pixtally.fit_job import fit_store, model_summary

    number = int(components) if components.isdecimal() else components
    with _cluster(cluster, default=False):
        model = fit_store(store, dest, number, covariance=covariance, seed=seed)
    click.echo(json.dumps({**model_summary(model), "store": dest}, indent=2))


@main.command()
@click.argument("store", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@one_line_errors
def info(store: str, as_json: bool) -> None:
    r"""Say what a store holds, or how far a job has come.

    \b
      pixtally info frames.zarr
      pixtally info hist.zarr --json
    """
    from pixtally.describe import describe, describe_text

    found = describe(Path(store))
    click.echo(json.dumps(found, indent=2) if as_json else describe_text(found))


@main.command()
@click.argument("store", type=click.Path())
@one_line_errors
def verify(store: str) -> None:
    r"""Check every file and every sum of a store; exit code 1 names what is damaged.

    \b
      pixtally verify hist.zarr
    """
    from pixtally.verify import verify_store

    problems, checked = verify_store(Path(store))
    for problem in problems:
        click.echo(f"pixtally: {problem}", err=True)
    if problems:
        raise click.exceptions.Exit(1)
    click.echo(f"{store}: {checked}, all as they should be")


@main.command()
@one_line_errors
def schema() -> None:
    """Print the JSON schema of pipelines, for editors that complete YAML."""
    from pixtally.spec import spec_schema

    click.echo(json.dumps(spec_schema(), indent=2))


def _attach(command: click.Command) -> None:
    """Add a command of another module, with one-line errors; print the report that it returns."""
    body: Any = command.callback

    @one_line_errors
    @wraps(body)
    def run_and_say(**arguments: Any) -> None:
        report = body(**arguments)
        if report is not None:
            _say(report)

    command.callback = run_and_say
    main.add_command(command)


for _command in COMMANDS:
    _attach(_command)
GROUPS = (EQUALIZE_COMMANDS, CLUSTER_COMMANDS, REPORT_COMMANDS, VIEW_COMMANDS)
for _command in (command for group in GROUPS for command in group):
    main.add_command(_command)


def _mark_kept_lines(group: click.Group) -> None:
    """Put click's mark for lines to be kept, a character, where raw docstrings write it out."""
    for command in group.commands.values():
        command.help = (command.help or "").replace("\\b\n", "\b\n")
        if isinstance(command, click.Group):
            _mark_kept_lines(command)


_mark_kept_lines(main)


if __name__ == "__main__":
    main()
