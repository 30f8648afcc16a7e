"""Commands for clusters: check a file, hand a job over, ask how far it is."""

from __future__ import annotations

import click

from pixtally.cli_common import one_line_errors


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


COMMANDS = (cluster_group,)
