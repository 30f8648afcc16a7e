"""What a cluster file promises: workers, threads and memory, by reading it, starting nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dask.utils import parse_bytes

from pixtally.cluster_file import ClusterBlock
from pixtally.errors import PixtallyError
from pixtally.plan import Resources


def promised(block: ClusterBlock) -> Resources:
    """Return the workers, threads and memory that the class of a cluster file will start.

    What the file does not say is taken from this machine.

    Parameters
    ----------
    block : ClusterBlock
        That names a class.

    Returns
    -------
    Resources
        With all workers that may come: `adapt` counts at its maximum.

    Raises
    ------
    PixtallyError
        When a number or a size is none.
    """
    read = _READERS.get((block.class_ or "").split(".")[0], _dask)
    try:
        found = read(block, block.kwargs)
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PixtallyError(f"kwargs of {block.class_}: {reason}") from None
    workers = block.adapt.maximum if block.adapt else block.scale or found.workers
    return Resources(max(workers, 1), max(found.threads, 1), found.memory)


def _dask(block: ClusterBlock, kwargs: Mapping[str, Any]) -> Resources:
    """Read LocalCluster and SSHCluster."""
    here = Resources.local()
    if block.class_ == "distributed.SSHCluster":
        options = kwargs.get("worker_options") or {}
        hosts = len(kwargs.get("hosts") or []) - 1
        if hosts < 1:
            raise ValueError("hosts: the first runs the scheduler, name at least one more")
        a_host = int(options.get("n_workers", 1))
        memory = _memory(options.get("memory_limit"), here.memory // a_host)
        return Resources(hosts * a_host, int(options.get("nthreads") or here.threads), memory)
    threads = int(kwargs.get("threads_per_worker") or 1)
    workers = int(block.scale or kwargs.get("n_workers") or max(here.threads // threads, 1))
    return Resources(workers, threads, _memory(kwargs.get("memory_limit"), here.memory // workers))


def _jobqueue(block: ClusterBlock, kwargs: Mapping[str, Any]) -> Resources:
    """One job of `cores` and `memory` is cut into `processes` workers."""
    here = Resources.local()
    cores = int(kwargs.get("cores") or 1)
    processes = int(kwargs.get("processes") or 1)
    memory = _memory(kwargs.get("memory"), here.memory)
    workers = int(kwargs.get("n_workers") or processes)
    return Resources(workers, cores // processes, memory // processes)


def _kubernetes(block: ClusterBlock, kwargs: Mapping[str, Any]) -> Resources:
    spec = kwargs.get("custom_cluster_spec")
    if isinstance(spec, dict):
        worker = spec["spec"]["worker"]
        container = worker["spec"]["containers"][0]
        command = [*container.get("command", []), *container.get("args", [])]
        limits = container.get("resources") or {}
        workers = int(worker.get("replicas") or 3)
    else:
        command = kwargs.get("worker_command") or []
        command = command.split() if isinstance(command, str) else list(command)
        limits = kwargs.get("resources") or {}
        workers = int(kwargs.get("n_workers") or 3)
    wanted = {**(limits.get("requests") or {}), **(limits.get("limits") or {})}
    threads = _option(command, "--nthreads") or wanted.get("cpu") or 1
    memory = _option(command, "--memory-limit") or wanted.get("memory")
    return Resources(workers, int(float(threads)), _memory(memory, Resources.local().memory))


def _gateway(block: ClusterBlock, kwargs: Mapping[str, Any]) -> Resources:
    """Read the options that most servers have; theirs are GiB without a unit."""
    memory = kwargs.get("worker_memory")
    if isinstance(memory, int | float) and memory < 2**20:
        memory = f"{memory}GiB"
    cores = int(kwargs.get("worker_cores") or 1)
    return Resources(1, cores, _memory(memory, Resources.local().memory))


_READERS: dict[str, Callable[[ClusterBlock, Mapping[str, Any]], Resources]] = {
    "distributed": _dask,
    "dask_jobqueue": _jobqueue,
    "dask_kubernetes": _kubernetes,
    "dask_gateway": _gateway,
}


def _memory(limit: Any, otherwise: int) -> int:
    """Read a size as Dask and Kubernetes write it (4GiB, 4Gi, bytes, or a part of the machine)."""
    if limit in (None, "auto", 0, "0"):
        return otherwise
    if isinstance(limit, float) and limit <= 1:
        return int(limit * Resources.local().memory)
    text = f"{limit}B" if isinstance(limit, str) and limit.endswith("i") else limit
    return int(parse_bytes(text))


def _option(command: list[str], name: str) -> str | None:
    """Return the value of an option in a command line."""
    for at, word in enumerate(command):
        if str(word).startswith(f"{name}="):
            return str(word).partition("=")[2]
        if word == name and at + 1 < len(command):
            return str(command[at + 1])
    return None
