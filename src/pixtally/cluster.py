"""Clusters from configuration files: plain Dask configuration and one block that names a class."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import dask
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pixtally.errors import PixtallyError
from pixtally.plan import Resources
from pixtally.safe_yaml import read_yaml

ALLOWED = ("distributed", "dask_jobqueue", "dask_kubernetes", "dask_gateway")
"""Naming a class is running its code, so only these packages may be named."""

EXTRAS = {
    "dask_jobqueue": "dask-jobqueue",
    "dask_kubernetes": "dask-kubernetes",
    "dask_gateway": "dask-gateway",
}

SINGLE_THREADED = {
    "OMP_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
    "MKL_NUM_THREADS": 1,
    "NUMBA_NUM_THREADS": 1,
    "RAYON_NUM_THREADS": 1,
    # Blocks of many MiB come and go all the time: returning each to the system and getting it
    # back page by page would take a good part of the time of decoding it.
    "MALLOC_TRIM_THRESHOLD_": 256 * 2**20,
    "MALLOC_MMAP_THRESHOLD_": 64 * 2**20,
}
"""Environment of workers: Dask's threads are the only ones."""


class ClusterBlock(BaseModel):
    """The block ``pixtally: {cluster: ...}`` of a cluster file."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    class_: str | None = Field(None, alias="class", description="Cluster class, with its package.")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="Its arguments.")
    scale: int | None = Field(None, ge=1, description="Workers to ask for after it started.")
    adapt: dict[Literal["minimum", "maximum"], int] | None = Field(
        None, description="Bounds between which the number of workers follows the work."
    )
    address: str | None = Field(None, description="A running scheduler.")
    scheduler_file: str | None = Field(None, description="File that a running scheduler wrote.")

    @model_validator(mode="after")
    def _one_way(self) -> ClusterBlock:
        ways = [w for w in (self.class_, self.address, self.scheduler_file) if w]
        if len(ways) != 1:
            raise ValueError("name exactly one of class, address and scheduler_file")
        package = (self.class_ or "distributed.").split(".")[0]
        if package not in ALLOWED or (self.class_ and "." not in self.class_):
            raise ValueError(f"class {self.class_!r} is not of {', '.join(ALLOWED)}")
        return self


DEFAULT = ClusterBlock.model_validate(
    {
        "class": "distributed.LocalCluster",
        "kwargs": {"n_workers": os.cpu_count() or 1, "threads_per_worker": 1},
    }
)
"""What runs without a cluster file: a process a core on this machine."""


def read_cluster(path: str | PathLike[str]) -> tuple[ClusterBlock, dict[str, Any]]:
    """Read a cluster file.

    Parameters
    ----------
    path : path
        YAML: Dask configuration, and ``pixtally: {cluster: ...}``.

    Returns
    -------
    block : ClusterBlock
    config : dict
        The rest, for `dask.config`.

    Raises
    ------
    PixtallyError
        When it cannot be read, or names something that is not there or not allowed.
    """
    content = read_yaml(path)
    block = content.get("pixtally") if isinstance(content, dict) else None
    if not isinstance(block, dict) or not isinstance(block.get("cluster"), dict):
        raise PixtallyError(
            f"{path} has no block 'pixtally: {{cluster: ...}}'; see cluster/local.yaml"
        )
    try:
        found = ClusterBlock.model_validate(block["cluster"])
    except ValidationError as error:
        raise PixtallyError(f"{path}: {first_problem(error)}") from None
    return found, {k: v for k, v in content.items() if k != "pixtally"}


def first_problem(error: ValidationError) -> str:
    """Return the first problem of a validation in one line: where, what, what was found."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"{where} is not known here; remove it or see 'pixtally schema'"
    if problem["type"] == "missing":
        return f"{where} is missing"
    found = problem.get("input")
    shown = "" if isinstance(found, dict | list) else f" (found {found!r})"
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"


@contextmanager
def cluster(path: str | PathLike[str] | None = None) -> Iterator[Any]:
    """Start, or connect to, the cluster of a configuration file, for a ``with`` block.

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
    with dask.config.set(dask_settings(config)), _started(block) as client:
        yield client


def dask_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return what to set in `dask.config`, by dotted name: ours, then that of the file.

    Set one by one, they leave everything else of Dask's configuration as it is.
    """
    import distributed  # noqa: F401  (fills in its own defaults first)

    ours = {f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in SINGLE_THREADED.items()}
    return ours | dict(_leaves(config))


def _leaves(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@contextmanager
def _started(block: ClusterBlock) -> Iterator[Any]:
    from distributed import Client

    if block.class_ is None:
        if block.scheduler_file and not Path(block.scheduler_file).exists():
            # Dask would wait for the file to appear, without a word.
            raise PixtallyError(
                f"no scheduler answers at {block.scheduler_file} (no such file); start one with "
                "'dask scheduler --scheduler-file ...'"
            )
        address = {"address": block.address} if block.address else {}
        file = {"scheduler_file": block.scheduler_file} if block.scheduler_file else {}
        with _connected(Client, **address, **file) as client:
            yield client
        return
    made = _cluster_class(block.class_)(**block.kwargs)
    with made:
        if block.scale is not None:
            made.scale(block.scale)
        if block.adapt is not None:
            made.adapt(**block.adapt)
        with Client(made) as client:
            yield client


@contextmanager
def _connected(client_class: Any, **where: Any) -> Iterator[Any]:
    try:
        client = client_class(**where, timeout=15)
    except (OSError, TimeoutError) as error:
        place = where.get("address") or where.get("scheduler_file")
        reason = str(error).strip().split("\n")[0]
        raise PixtallyError(
            f"no scheduler answers at {place} ({reason}); start one with 'dask scheduler'"
        ) from None
    with client:
        yield client


def _cluster_class(name: str) -> Any:
    package = name.split(".")[0]
    module, _, class_name = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), class_name)
    except ImportError:
        raise PixtallyError(
            f"class {name} needs a package that is not installed: "
            f"pip install {EXTRAS.get(package, package)}"
        ) from None
    except AttributeError:
        raise PixtallyError(f"{module} has no class {class_name}; check the name") from None
    if not (isinstance(found, type) and hasattr(found, "close")):
        raise PixtallyError(f"{name} is no cluster class")
    return found


def planned_resources(path: str | PathLike[str] | None = None) -> Resources:
    """Return what a cluster file promises, without starting anything.

    A file that does not say is taken for workers of one thread on this machine's memory.
    """
    block, _ = read_cluster(path) if path is not None else (DEFAULT, {})
    here = Resources.local()
    kwargs = block.kwargs
    workers = int(block.scale or kwargs.get("n_workers") or here.threads)
    threads = int(kwargs.get("threads_per_worker") or kwargs.get("cores") or 1)
    limit = kwargs.get("memory_limit") or kwargs.get("memory")
    if limit is None or limit == "auto":
        local = block.class_ == "distributed.LocalCluster"
        memory = here.memory // workers if local else here.memory
    else:
        memory = int(dask.utils.parse_bytes(limit))
    return Resources(workers, threads, memory)
