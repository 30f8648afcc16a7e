"""Commands for clusters: check a file, hand a job over, ask how far it is."""

from __future__ import annotations

import sys

import click

from pixtally.cli_common import RESTART, SET, one_line_errors, read_changes


@click.group("cluster")
def cluster_group() -> None:
    """Check cluster files."""


@cluster_group.command("check")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--connect", is_flag=True, help="Start or contact it; a tiny task on every worker.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True),
    default=".",
    show_default=True,
    help="With --connect: do all workers see it?",
)
@one_line_errors
def check(file: str, connect: bool, folder: str) -> None:
    r"""Check a cluster file and say what it would start.

    \b
      pixtally cluster check cluster/slurm.yaml
      pixtally cluster check cluster/existing.yaml --connect --folder /shared/images
    """
    from pixtally.cluster_check import check_cluster

    found = check_cluster(file, connect=connect, folder=folder)
    click.echo(found.text())
    for problem in found.problems:
        click.echo(f"pixtally: {problem}", err=True)
    if found.problems:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("spec", type=click.Path(dir_okay=False))
@SET
@click.option(
    "--cluster", type=click.Path(dir_okay=False), required=True, help="Of a running scheduler."
)
@RESTART
@one_line_errors
def submit(spec: str, changes: tuple[str, ...], cluster: str, restart: bool) -> None:
    r"""Hand a pipeline to a scheduler that runs already, and leave.

    \b
      pixtally submit pipeline.yaml --cluster cluster/existing.yaml
      pixtally status out/hist.zarr --watch
    """
    from pixtally.pipeline import Pipeline
    from pixtally.submit import submit as hand_over

    pipeline = Pipeline.from_yaml(spec, read_changes(changes))
    handed = hand_over(pipeline, cluster, restart=restart)
    click.echo(f"{handed['store']} is handed to {handed['scheduler']}; ask how far it is:")
    click.echo(f"  pixtally status {handed['store']} --watch")


@click.command()
@click.argument("store", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Go on until the job ends.")
@click.option("--every", default=2.0, show_default=True, help="Seconds, with --watch.")
@one_line_errors
def status(store: str, as_json: bool, watch: bool, every: float) -> None:
    r"""Say how far a job is, from the records in its store; no scheduler is asked.

    Exit code 0: complete or under way; 1: stopped or failed, with what to type to go on.

    \b
      pixtally status out/hist.zarr
      pixtally status out/hist.zarr --watch
    """
    import json
    import time
    from pathlib import Path

    from pixtally.status import job_status
    from pixtally.status_text import status_text

    while True:
        found = job_status(Path(store))
        text = json.dumps(found) if as_json else status_text(found)
        if watch and not as_json and sys.stdout.isatty():
            click.clear()
        click.echo(text)
        if found["state"] in ("stopped", "failed"):
            raise click.exceptions.Exit(1)
        if not watch or found["state"] == "complete":
            return
        time.sleep(every)


COMMANDS = (cluster_group, submit, status)
