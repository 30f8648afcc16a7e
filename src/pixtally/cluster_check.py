"""Is a cluster file sound, what would it start, and do its workers fit this machine's pixtally."""

from __future__ import annotations

import inspect
import logging
import secrets
import time
from collections import defaultdict
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any

import dask

from pixtally.cluster import cluster, cluster_class, leaves
from pixtally.cluster_file import CLASSES, ClusterBlock, nearest, read_cluster
from pixtally.cluster_plan import promised
from pixtally.errors import PixtallyError
from pixtally.node import look_around, versions
from pixtally.plan import Resources
from pixtally.sizes import size_text

log = logging.getLogger("pixtally")

FREE = ("distributed.nanny.pre-spawn-environ", "logging", "distributed.logging", "pixtally")
"""Settings under which any name may stand."""


@dataclass
class Check:
    """What is known about a cluster file.

    Attributes
    ----------
    lines : list of (str, str)
        What it says, and what was found, by subject.
    problems : list of str
        One line each, with the fix.
    resources : Resources or None
        What it would start; None for a scheduler that runs already.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    resources: Resources | None = None

    def text(self) -> str:
        """Return it as people read it."""
        width = max(len(subject) for subject, _ in self.lines)
        return "\n".join(f"{subject:<{width}}  {said}" for subject, said in self.lines)


def check_cluster(path: str | PathLike[str], *, connect: bool = False, folder: Any = ".") -> Check:
    """Check a cluster file, and with `connect` the cluster itself.

    Parameters
    ----------
    path : path
        The file.
    connect : bool
        Start or contact the cluster, and run a tiny task on every worker.
    folder : path
        Where images and results will lie: do all workers see it?

    Returns
    -------
    Check

    Raises
    ------
    PixtallyError
        For what makes the file unusable: the first problem, with the nearest name and the fix.
    """
    block, config = read_cluster(path)
    found = Check()
    if block.class_ is None:
        found.lines.append(("contacts", str(block.address or block.scheduler_file)))
    else:
        _check_class(found, str(path), block)
    _check_settings(str(path), config)
    if block.security:
        found.lines.append(("encrypts", f"TLS, signed by {block.security.tls_ca_file}"))
    if connect:
        _check_workers(found, path, block, Path(folder))
    return found


def _check_class(found: Check, path: str, block: ClusterBlock) -> None:
    name = block.class_ or ""
    kind = CLASSES[name]
    made = cluster_class(name)
    if (known := arguments_of(made)) is not None:
        for argument in block.kwargs:
            if argument not in known:
                hint = nearest(argument, known) or f"see the documentation of {name}"
                raise PixtallyError(f"{path}: kwargs: {name} has no argument {argument!r}; {hint}")
    found.resources = promised(block)
    workers = str(found.resources.workers)
    if block.adapt:
        workers = f"{block.adapt.minimum} to {block.adapt.maximum}, as the work asks,"
    found.lines.append(("starts", name))
    found.lines.append(
        (
            "workers",
            f"{workers} × {found.resources.threads} threads × "
            f"{size_text(found.resources.memory)} each",
        )
    )
    if kind.extra:
        found.lines.append(("extra", f"pixtally[{kind.extra}] is here: {_release(kind.package)}"))


def _release(package: str) -> str:
    name = package.replace("_", "-")
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name


def arguments_of(made: Any) -> set[str] | None:
    """Return the names of the arguments that a cluster class takes; None where any may do."""
    if made.__module__.startswith("dask_gateway"):
        return None  # options are the server's
    classes = list(made.__mro__[:-1]) if inspect.isclass(made) else []
    job = getattr(made, "job_cls", None)
    classes += list(job.__mro__[:-1]) if job is not None else []
    functions = [vars(c)["__init__"] for c in classes if "__init__" in vars(c)] or [made]
    if made.__name__ in ("LocalCluster", "SSHCluster"):
        from distributed import Nanny, SpecCluster, Worker

        others = (Nanny, Worker) if made.__name__ == "LocalCluster" else (SpecCluster,)
        functions += [vars(c)["__init__"] for c in others]
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        p.name
        for function in functions
        for p in inspect.signature(function).parameters.values()
        if p.kind not in kinds and p.name != "self"
    }


def _check_settings(path: str, config: dict[str, Any]) -> None:
    """Refuse settings that neither Dask nor the packages of the file know."""
    import distributed  # noqa: F401  (fills in its defaults)

    known = {_dashed(name) for name, _ in leaves(dask.config.global_config)}
    groups = {name.rpartition(".")[0] for name in known} | known
    for name, _ in leaves(config):
        name = _dashed(name)
        free = any(name.startswith(f"{prefix}.") for prefix in FREE)
        inside = any(name.startswith(f"{k}.") and k in known for k in _parents(name))
        if name not in groups and not free and not inside:
            hint = nearest(name, known) or "see docs.dask.org/en/stable/configuration-reference"
            raise PixtallyError(f"{path}: Dask has no setting {name}; {hint}")


def _dashed(name: str) -> str:
    return str(name).replace("_", "-")


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _check_workers(found: Check, path: Any, block: ClusterBlock, folder: Path) -> None:
    """Start or contact the cluster, and look around on every worker."""
    begin = time.perf_counter()
    with cluster(path) as client:
        expected = block.adapt.minimum if block.adapt else (block.scale or 0)
        expected = expected or (found.resources.workers if found.resources else 1)
        expected = 1 if block.adapt and not block.adapt.minimum else expected
        came = _wait(client, expected, block.timeout)
        seconds = time.perf_counter() - begin
        found.lines.append(("scheduler", str(client.scheduler.address)))
        found.lines.append(("came", f"{came} of {expected} workers in {seconds:.1f} s"))
        if came < expected:
            found.problems.append(
                f"{expected - came} of {expected} workers did not come within {block.timeout:g} s; "
                "raise timeout: in the file, or ask for fewer"
            )
        reports = _ask(found, client, folder)
    _compare(found, reports, folder)


def _wait(client: Any, expected: int, timeout: float) -> int:
    if not client.scheduler_info(n_workers=-1)["workers"]:
        client.submit(int, pure=False).result(timeout)  # an adaptive cluster starts with work
    try:
        client.wait_for_workers(expected, timeout=timeout)
    except TimeoutError:
        log.info("not all workers came")
    return len(client.scheduler_info(n_workers=-1)["workers"])


def _ask(found: Check, client: Any, folder: Path) -> list[dict[str, Any]]:
    """Run one tiny task on every worker; what fails there is a problem."""
    reports = []
    for worker, report in _look_around(client, folder).items():
        if isinstance(report, Exception):
            reason = " ".join(str(report).split())[:200]
            found.problems.append(f"the worker {worker} fails at a tiny task: {reason}")
        else:
            reports.append(report)
    return reports


def _look_around(client: Any, folder: Path) -> dict[str, dict[str, Any] | Exception]:
    """Let every worker look at a file that only a shared folder shows it, and write another."""
    token = secrets.token_hex(8)
    mark = folder.absolute() / f".pixtally-check-{token}"
    mark.write_text(token)
    try:
        workers = list(client.scheduler_info(n_workers=-1)["workers"])
        tasks = {
            w: client.submit(look_around, str(mark), token, workers=[w], pure=False)
            for w in workers
        }
        reports: dict[str, dict[str, Any] | Exception] = {}
        for worker, task in tasks.items():
            try:
                report = task.result(timeout=60)
            except Exception as error:
                reports[worker] = error
                continue
            wrote = mark.with_name(f"{mark.name}-{report['host']}-{report['pid']}")
            reports[worker] = report | {"shown": report["sees"] and wrote.exists()}
        return reports
    finally:
        for file in mark.parent.glob(f"{mark.name}*"):
            file.unlink(missing_ok=True)


def blind_workers(client: Any, folder: Path) -> list[str]:
    """Return the hosts of workers to which `folder` is not the folder that it is here."""
    reports = _look_around(client, folder)
    for worker, report in reports.items():
        if isinstance(report, Exception):
            reason = " ".join(str(report).split())[:200]
            raise PixtallyError(f"the worker {worker} fails at a tiny task: {reason}")
    found = [r for r in reports.values() if not isinstance(r, Exception)]
    return sorted({r["host"] for r in found if not r["shown"]})


def _compare(found: Check, reports: list[dict[str, Any]], folder: Path) -> None:
    hosts: dict[str, int] = defaultdict(int)
    for report in reports:
        hosts[report["host"]] += 1
    found.lines.append(("hosts", ", ".join(f"{h} ({n})" for h, n in sorted(hosts.items()))))
    here = versions()
    differing: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        for package, there in report["versions"].items():
            if there != here.get(package):
                differing[f"{package} {there} (here {here.get(package)})"].add(report["host"])
    for what, where in differing.items():
        found.problems.append(f"{', '.join(sorted(where))}: {what}; install the same version")
    if reports and not differing:
        found.lines.append(("versions", "the same on all workers as here"))
    blind = sorted({r["host"] for r in reports if not r["shown"]})
    if blind:
        found.problems.append(
            f"{folder.absolute()} is another folder on {', '.join(blind)}; put images and results "
            "on a file system that all see under one path, and name it: --folder"
        )
    elif reports:
        found.lines.append(("files", f"all workers read and write {folder.absolute()}"))
    threads = max((r["threads"] for r in reports), default=1)
    found.lines.append(("below Dask", f"{threads} thread a task"))
    if threads > 1:
        found.problems.append(
            f"a library below Dask uses {threads} threads a task; set OMP_NUM_THREADS=1 there"
        )
