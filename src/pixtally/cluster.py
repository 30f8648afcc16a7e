"""Clusters from configuration files: started, or connected to, for a ``with`` block."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any

import dask

from pixtally.available import live_resources
from pixtally.cluster_file import CLASSES, ClusterBlock, nearest, read_cluster
from pixtally.cluster_plan import promised
from pixtally.errors import PixtallyError
from pixtally.interrupts import interrupt_held_back
from pixtally.node import SINGLE_THREADED
from pixtally.plan import Resources

log = logging.getLogger("pixtally")

DASHBOARD = ("127.0.0.1", 8787)
"""Where the dashboard of a local cluster listens; Dask would listen on every network."""

DEFAULT = ClusterBlock.model_validate(
    {
        "class": "distributed.LocalCluster",
        "kwargs": {"n_workers": os.cpu_count() or 1, "threads_per_worker": 1},
    }
)
"""What runs without a cluster file: a process a core on this machine."""


@contextmanager
def cluster(path: str | PathLike[str] | None = None) -> Iterator[Any]:
    """Start, or connect to, the cluster of a configuration file, for a ``with`` block.

    Every worker, also one that starts later, is made single-threaded below Dask and keeps compiled
    kernels on its own disk.

    Parameters
    ----------
    path : path, optional
        Such as ``cluster/local.yaml``; without it a process a core on this machine.

    Yields
    ------
    distributed.Client
        The client, which is the one in use inside the block.

    Raises
    ------
    PixtallyError
        When the file is wrong, a package is missing, or the scheduler does not answer.

    Examples
    --------
    >>> import pixtally as pt
    >>> with pt.cluster() as client:  # doctest: +SKIP
    ...     hist = pt.write_histogram(images, "hist.zarr")
    """
    block, config = read_cluster(path) if path is not None else (DEFAULT, {})
    with _configured(config, block), _started(block) as client:
        _set_up_workers(client, block)
        yield client


@contextmanager
def _configured(config: dict[str, Any], block: ClusterBlock) -> Iterator[None]:
    """Set Dask's configuration for a block, and leave it as it was.

    A client that finds no scheduler would leave itself as the one that computes everything.
    """
    before = dask.config.get("scheduler", None)
    try:
        with dask.config.set(dask_settings(config, block)):
            yield
    finally:
        dask.config.config.pop("scheduler", None)
        if before is not None:
            dask.config.set(scheduler=before)


def dask_settings(config: dict[str, Any], block: ClusterBlock) -> dict[str, Any]:
    """Return what to set in `dask.config`, by dotted name: ours, then that of the file.

    Set one by one, they leave everything else of Dask's configuration as it is.
    """
    import distributed  # noqa: F401  (fills in its own defaults first)

    ours: dict[str, Any] = {
        f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in SINGLE_THREADED.items()
    }
    ours["pixtally.resources"] = None
    if block.class_ is not None:
        resources = promised(block)
        ours["pixtally.resources"] = [resources.workers, resources.threads, resources.memory]
    if block.security:
        ours |= _tls_settings(block.security.files())
    return ours | dict(leaves(config))


def _tls_settings(files: dict[str, str]) -> dict[str, Any]:
    """Return the certificates as Dask configuration, which SSHCluster ships to its hosts."""
    found: dict[str, Any] = {"distributed.comm.require-encryption": True}
    for name, file in files.items():
        role, _, part = name.removeprefix("tls_").partition("_")
        found[f"distributed.comm.tls.{'ca-file' if role == 'ca' else f'{role}.{part}'}"] = file
    return found


def leaves(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of nested configuration by dotted name."""
    for name, value in config.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@contextmanager
def _started(block: ClusterBlock) -> Iterator[Any]:
    from distributed import Client

    if block.class_ is None:
        with _connected(block) as client:
            yield client
        return
    with _made(block) as made:
        # A gateway's certificates are its own; everybody else is told ours.
        security = {"security": _security(block)} if block.security else {}
        with Client(made, **security) as client:
            yield client


@contextmanager
def _made(block: ClusterBlock) -> Iterator[Any]:
    """Start the cluster of a file and its workers; what goes wrong on the way is one line."""
    make = cluster_class(block.class_ or "")
    with ExitStack() as held:
        try:
            with _without_tracebacks(), interrupt_held_back(), warnings.catch_warnings():
                # Another port is taken, and said.
                warnings.filterwarnings("ignore", message="Port .* is already in use")
                made = held.enter_context(make(**cluster_arguments(block)))
                _ask_for_workers(made, block)
        except PixtallyError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            # dask-jobqueue tells all about a command that failed, and what it said last.
            reason = reason.rpartition("stderr: ")[2]
            with _without_tracebacks(), suppress(Exception):
                held.close()
            raise PixtallyError(
                f"{block.class_} did not start: {reason[:300]}; see 'pixtally cluster check'"
            ) from error
        try:
            yield made
        except KeyboardInterrupt:
            _stop_at_once(made)
            raise


def _stop_at_once(made: Any) -> None:
    """End the worker processes of this machine, rather than wait for their units.

    What a unit has not recorded is not missed: its files have not got their names yet.
    """
    from distributed import Nanny

    for name in ("nanny", "scheduler", "core", "worker", "batched", "client"):
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
    for worker in getattr(made, "workers", {}).values():
        if isinstance(worker, Nanny) and (pid := worker.pid):
            worker.auto_restart = False
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Keep event loops from printing what is raised anyway."""
    loggers = [logging.getLogger(name) for name in ("tornado.application", "asyncio")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was


def _ask_for_workers(made: Any, block: ClusterBlock) -> None:
    """Ask for the workers of the file, and raise what keeps the first ones from being asked for."""
    from distributed import SpecCluster

    number = block.scale or (block.adapt.minimum if block.adapt else 0)
    if number and isinstance(made, SpecCluster):
        made.sync(_opened, made, number)
    elif number:
        made.scale(number)
    if block.adapt is not None:
        made.adapt(minimum=block.adapt.minimum, maximum=block.adapt.maximum)


async def _opened(made: Any, number: int) -> None:
    """Scale, and wait until the workers are asked for: `scale` alone only logs an error."""
    made.scale(number)
    await made._correct_state()


def cluster_arguments(block: ClusterBlock) -> dict[str, Any]:
    """Return the arguments of the class: those of the file, and what all our clusters need."""
    kwargs = dict(block.kwargs)
    package = (block.class_ or "").split(".")[0]
    if block.class_ == "distributed.LocalCluster":
        kwargs.setdefault("dashboard_address", _dashboard())
    if package == "dask_jobqueue":
        kwargs["job_script_prologue"] = _prologue(block.class_ or "", kwargs)
    if block.security:
        kwargs["security"] = _security(block)
        if block.class_ == "distributed.SSHCluster":
            kwargs["scheduler_options"] = {"protocol": "tls://"} | kwargs.get(
                "scheduler_options", {}
            )
    return kwargs


def _dashboard() -> str:
    """Return the usual address of the dashboard, or any port where that one is taken."""
    host, port = DASHBOARD
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        except OSError:
            port = 0
    return f"{host}:{port}"


def _prologue(name: str, kwargs: dict[str, Any]) -> list[str]:
    """Return the first lines of a job: dask-jobqueue does not ship our configuration."""
    queue = name.rpartition(".")[2].removesuffix("Cluster").lower()
    asked = kwargs.get("job_script_prologue")
    if asked is None:
        asked = dask.config.get(f"jobqueue.{queue}.job-script-prologue", None) or []
    return [*(f"export {k}={v}" for k, v in SINGLE_THREADED.items()), *asked]


def _security(block: ClusterBlock) -> Any:
    from distributed.security import Security

    files = block.security.files() if block.security else {}
    return Security(require_encryption=True, **files)


@contextmanager
def _connected(block: ClusterBlock) -> Iterator[Any]:
    from distributed import Client

    if block.scheduler_file and not Path(block.scheduler_file).exists():
        # Dask would wait for the file to appear, without a word.
        raise PixtallyError(
            f"no scheduler answers at {block.scheduler_file} (no such file); start one with "
            "'dask scheduler --scheduler-file ...'"
        )
    where: dict[str, Any] = {"address": block.address} if block.address else {}
    where |= {"scheduler_file": block.scheduler_file} if block.scheduler_file else {}
    where |= {"security": _security(block)} if block.security else {}
    try:
        client = Client(**where, timeout=block.timeout)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        _forget_unconnected()
        reason = " ".join(str(error).split())
        raise PixtallyError(
            f"no scheduler answers at {block.address or block.scheduler_file} ({reason[:200]}); "
            "start one with 'dask scheduler'"
        ) from None
    with client:
        yield client


def _forget_unconnected() -> None:
    """Put away a client that got no further than its address: all that is computed would wait."""
    from distributed import default_client

    with suppress(ValueError):
        left = default_client()
        if left.status in ("newly-created", "connecting"):
            left.close(timeout=1)
            left.status = "closed"  # one that was never opened does not say so


def _set_up_workers(client: Any, block: ClusterBlock) -> None:
    """Wait for a worker where one will come by itself, and prepare all, also those to come."""
    from pixtally.workers import WorkerSetup, register

    if not (block.adapt and block.adapt.minimum == 0):
        try:
            client.wait_for_workers(1, timeout=block.timeout)
        except TimeoutError:
            raise PixtallyError(
                f"no worker came within {block.timeout:g} s (timeout: in the cluster file); "
                f"{_where_to_look(block)}"
            ) from None
    try:
        register(client, WorkerSetup())
    except Exception as error:
        reason = " ".join(str(error).split())
        raise PixtallyError(
            f"a worker cannot be prepared ({reason[:200]}); it needs the versions that are here: "
            "pip install pixtally there, and see 'pixtally cluster check --connect'"
        ) from error


def _where_to_look(block: ClusterBlock) -> str:
    looks = {
        "dask_jobqueue": "look at the queue (squeue, qstat) and at the logs of the jobs",
        "dask_kubernetes": "look at 'kubectl get pods' and at the operator's log",
        "dask_gateway": "look at the server's logs, or ask its administrator",
    }
    package = (block.class_ or "").split(".")[0]
    return looks.get(package, "start some with 'dask worker ADDRESS'")


def cluster_class(name: str) -> Any:
    """Import a class (or function) that makes clusters.

    Raises
    ------
    PixtallyError
        Naming the extra of pixtally that installs it.
    """
    kind = CLASSES[name]
    module, _, class_name = name.rpartition(".")
    try:
        importlib.import_module(kind.package)
        home = importlib.import_module(module)
    except ImportError as error:
        what = f"pip install 'pixtally[{kind.extra}]'" if kind.extra else "pip install distributed"
        raise PixtallyError(f"{name} needs a package that is not here ({error}): {what}") from None
    found = getattr(home, class_name, None)
    if found is None:
        hint = nearest(class_name, dir(home)) or "install another version of it"
        raise PixtallyError(f"{module} has no {class_name}; {hint}")
    return found


def planned_resources(path: str | PathLike[str] | None = None) -> Resources:
    """Return what a cluster file promises, without starting anything.

    Parameters
    ----------
    path : path, optional
        Cluster file. A scheduler that runs already is asked what it has.

    Raises
    ------
    PixtallyError
        When the file is wrong, or the scheduler that it names does not answer.
    """
    block, config = read_cluster(path) if path is not None else (DEFAULT, {})
    if block.class_ is not None:
        try:
            return promised(block)
        except PixtallyError as error:
            raise PixtallyError(f"{path}: {error}") from None
    with _configured(config, block), _connected(block) as client:
        found = live_resources(client)
    if found is None:
        raise PixtallyError(
            f"the scheduler at {block.address or block.scheduler_file} has no workers; start some "
            "with 'dask worker'"
        )
    return found
