"""What may stand in a cluster file: plain Dask configuration, and one block that names a class."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pixtally.errors import PixtallyError
from pixtally.safe_yaml import read_yaml


@dataclass(frozen=True)
class Kind:
    """A class of clusters that a file may name.

    Attributes
    ----------
    extra : str
        The extra of pixtally that installs it; empty where nothing more is needed.
    package : str
        The package to look for.
    adapts : bool
        The number of workers can follow the work.
    tls : bool
        The block ``security`` decides its encryption.
    """

    extra: str = ""
    package: str = "distributed"
    adapts: bool = True
    tls: bool = True


_QUEUES = ("HTCondor", "LSF", "Moab", "OAR", "PBS", "SGE", "SLURM")

CLASSES = {
    "distributed.LocalCluster": Kind(),
    "distributed.SSHCluster": Kind("ssh", "asyncssh", adapts=False),
    **{f"dask_jobqueue.{name}Cluster": Kind("jobqueue", "dask_jobqueue") for name in _QUEUES},
    "dask_kubernetes.operator.KubeCluster": Kind("kubernetes", "dask_kubernetes", tls=False),
    "dask_gateway.GatewayCluster": Kind("gateway", "dask_gateway", tls=False),
}
"""Naming a class is running its code, so only these may be named."""


class Adapt(BaseModel):
    """Bounds between which the number of workers follows the work."""

    model_config = ConfigDict(extra="forbid")

    minimum: int = Field(0, ge=0, description="Workers that are always there.")
    maximum: int = Field(ge=1, description="Most workers.")

    @model_validator(mode="after")
    def _ordered(self) -> Adapt:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is more than maximum {self.maximum}")
        return self


class Tls(BaseModel):
    """PEM files with which scheduler, workers and client know each other and talk in secret."""

    model_config = ConfigDict(extra="forbid")

    tls_ca_file: str = Field(description="Certificates of those who sign.")
    tls_client_cert: str = Field(description="Certificate of who types.")
    tls_client_key: str | None = Field(None, description="Its key; may be in the same file.")
    tls_scheduler_cert: str | None = Field(None, description="By default that of the client.")
    tls_scheduler_key: str | None = None
    tls_worker_cert: str | None = Field(None, description="By default that of the client.")
    tls_worker_key: str | None = None

    def files(self) -> dict[str, str]:
        """Return the file of every role; scheduler and workers default to the client's."""
        given = {name: path for name, path in self if path is not None}
        for role in ("scheduler", "worker"):
            if f"tls_{role}_cert" not in given:
                for part in ("cert", "key"):
                    given[f"tls_{role}_{part}"] = given.get(f"tls_client_{part}")
        return {name: path for name, path in given.items() if path is not None}


class ClusterBlock(BaseModel):
    """The block ``pixtally: {cluster: ...}`` of a cluster file."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    class_: str | None = Field(None, alias="class", description="Cluster class, with its package.")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="Its arguments.")
    scale: int | None = Field(None, ge=1, description="Workers to ask for after it started.")
    adapt: Adapt | None = Field(None, description=Adapt.__doc__)
    address: str | None = Field(None, description="A running scheduler.")
    scheduler_file: str | None = Field(None, description="File that a running scheduler wrote.")
    security: Tls | None = Field(None, description=Tls.__doc__)
    timeout: float = Field(60, gt=0, description="Seconds to wait for scheduler and first worker.")

    @field_validator("class_")
    @classmethod
    def _allowed(cls, name: str | None) -> str | None:
        if name is not None and name not in CLASSES:
            near = nearest(name, CLASSES)
            raise ValueError(near or f"it is not of {', '.join(CLASSES)}")
        return name

    @model_validator(mode="after")
    def _one_way(self) -> ClusterBlock:
        ways = [w for w in ("class_", "address", "scheduler_file") if getattr(self, w)]
        if len(ways) != 1:
            found = " and ".join(w.strip("_") for w in ways) or "none"
            raise ValueError(
                f"name exactly one of class, address and scheduler_file (found {found})"
            )
        if self.class_ is None:
            useless = [n for n in ("kwargs", "scale", "adapt") if getattr(self, n)]
            if useless:
                raise ValueError(
                    f"{useless[0]} goes with class; a running scheduler has the workers it has"
                )
            return self
        kind = CLASSES[self.class_]
        if self.adapt and not kind.adapts:
            raise ValueError(f"{self.class_} has a fixed list of hosts; leave out adapt")
        if self.adapt and self.scale:
            raise ValueError("name one of scale (a fixed number of workers) and adapt (bounds)")
        if self.security and not kind.tls:
            raise ValueError(f"{self.class_} makes its own certificates; leave out security")
        return self


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "did you mean ...?" for the known name that is most like `name`, or nothing."""
    lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.55)
    return f"did you mean {lower[found[0]]}?" if found else ""


def read_cluster(path: str | PathLike[str]) -> tuple[ClusterBlock, dict[str, Any]]:
    """Read a cluster file.

    Parameters
    ----------
    path : path
        YAML: Dask configuration, and ``pixtally: {cluster: ...}``.

    Returns
    -------
    block : ClusterBlock
        Its paths to certificates start at the folder of the file.
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
    _refuse_unknown(path, block, ["cluster"], "pixtally")
    _refuse_unknown(path, block["cluster"], _names(ClusterBlock), "pixtally.cluster")
    for name, model in (("adapt", Adapt), ("security", Tls)):
        if isinstance(block["cluster"].get(name), dict):
            where = f"pixtally.cluster.{name}"
            _refuse_unknown(path, block["cluster"][name], _names(model), where)
    try:
        found = ClusterBlock.model_validate(block["cluster"])
    except ValidationError as error:
        raise PixtallyError(f"{path}: {first_problem(error)}") from None
    if found.security:
        found.security = _beside(found.security, Path(path))
    return found, {str(k): v for k, v in content.items() if k != "pixtally"}


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _refuse_unknown(path: Any, content: dict[Any, Any], known: list[str], where: str) -> None:
    for name in content:
        if name not in known:
            hint = nearest(str(name), known) or f"known here: {', '.join(known)}"
            raise PixtallyError(f"{path}: {where} has no field {name!r}; {hint}")


def _beside(security: Tls, path: Path) -> Tls:
    """Let the paths of certificates start at the folder of the cluster file."""
    files = {name: str(path.absolute().parent / Path(f).expanduser()) for name, f in security if f}
    for name, file in files.items():
        if not Path(file).is_file():
            raise PixtallyError(f"{path}: security.{name}: there is no file {file}")
    return security.model_copy(update=files)


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
    shown = "" if isinstance(found, dict | list) else f" (found {repr(found)[:60]})"
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"
