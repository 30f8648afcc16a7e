"""What all commands share: errors in one line, the options for a cluster and a new start."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from pixtally.errors import PixtallyError, one_line


class Settings:
    """What holds for every command."""

    debug = False


def one_line_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what users can put right into one line on stderr and exit code 1."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            message, code = _stopped(), 130
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except PixtallyError as error:
            message, code = str(error), 1
            if Settings.debug:
                raise
        except SystemExit:
            raise
        except BaseException as error:  # compiled libraries panic by an error of their own kind
            if Settings.debug:
                raise
            message, code = _unforeseen(error), 1
        click.echo(f"pixtally: {one_line(message)}", err=True)
        raise click.exceptions.Exit(code)

    return wrapped


def _unforeseen(error: BaseException) -> str:
    """Tell an error that no check foresaw."""
    from pixtally.disk import DiskFullError, is_disk_full

    if is_disk_full(error):
        return str(DiskFullError.at(Path.cwd(), 0, error))
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MemoryError):
        reason = f"out of memory: {reason}; see 'pixtally plan', use fewer bins or smaller images"
    return f"{reason[:500]} ({type(error).__name__}; --debug shows where)"


def _stopped() -> str:
    """Return what Ctrl-C left complete, and the command that goes on."""
    from pixtally.journal import typed
    from pixtally.progress import Interrupted

    at = f" while {Interrupted.stage.how_far()}" if Interrupted.stage is not None else ""
    command = (typed() or "the same command").replace(" --restart", "")
    return f"stopped{at}; go on with: {command}"


def one_line_logs() -> None:
    """Leave tracebacks out of what event loops log: what matters to users is raised, too."""
    factory = logging.getLogRecordFactory()
    if getattr(factory, "one_line", False):
        return

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        if record.name.split(".")[0] in LOOPS and not Settings.debug:
            record.exc_info = record.exc_text = None
        return record

    make.one_line = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make)


LOOPS = ("distributed", "tornado", "asyncio")


CLUSTER = click.option(
    "--cluster", type=click.Path(dir_okay=False), help="Cluster file; default: this machine."
)
RESTART = click.option("--restart", is_flag=True, help="Begin again, replacing earlier results.")


def in_cluster(path: str | None, default: bool) -> Any:
    """Return the context of a cluster: of a file, the default one, or none (threads)."""
    from contextlib import nullcontext

    if path is None and not default:
        return nullcontext()
    from pixtally.cluster import cluster

    return cluster(path)


SET = click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change a field: output.store=…"
)


def read_changes(texts: tuple[str, ...]) -> dict[str, Any]:
    """Read ``a.b=value`` with the value as YAML."""
    from pixtally.safe_yaml import parse_yaml

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise PixtallyError(f"--set {text}: write name=value, such as output.store=a.zarr")
        found[name] = parse_yaml(value, f"the value of --set {text}")
        if name in PATHS:
            found[name] = _from_here(found[name])
    return found


PATHS = {
    f"{group}.{name}"
    for group, names in {
        "source": ("images", "zarr", "store"),
        "mask": ("images", "zarr", "store"),
        "output": ("store", "statistics", "png", "report"),
    }.items()
    for name in names
}
"""Paths on the command line start where the user stands, not at the folder of the pipeline."""


def _from_here(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_here(each) for each in value]
    return str(Path(value).expanduser().absolute()) if isinstance(value, str) else value
