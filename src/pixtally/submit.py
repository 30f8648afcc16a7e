"""A pipeline handed to a scheduler that runs already: its driver is a task there, too."""

from __future__ import annotations

import time
import uuid
from os import PathLike
from pathlib import Path
from typing import Any

from pixtally.cluster import cluster
from pixtally.cluster_check import blind_workers
from pixtally.cluster_file import ClusterBlock, read_cluster
from pixtally.errors import PixtallyError
from pixtally.jobs import partial_path, write_json
from pixtally.journal import DEAD, age, alive, read_facts, typed
from pixtally.pipeline import Pipeline
from pixtally.spec import make_spec
from pixtally.status import job_status, journal_path

ACCEPTED = 30.0
"""Seconds within which a scheduler takes a job that is handed to it."""


def submit(
    pipeline: Pipeline, path: str | PathLike[str], *, restart: bool = False
) -> dict[str, str]:
    """Hand a pipeline to the scheduler of a cluster file, and leave.

    The driver, that which `Pipeline.run` does here, becomes one long task on a worker; it gives
    its thread back while it waits. When its worker dies the scheduler starts it on another one,
    and it goes on where it was. `pixtally.status.job_status` tells how far it is.

    Parameters
    ----------
    pipeline : Pipeline
        Its folder is seen by all workers under the same path.
    path : path
        A cluster file that names a running scheduler, or a cluster that stays.
    restart : bool
        Begin again, replacing what earlier runs made.

    Returns
    -------
    dict
        ``store`` that will be made, ``scheduler``, and ``key`` of the driver's task.

    Raises
    ------
    PixtallyError
        When the cluster would end with this process, a worker does not see the folder, the job
        does not fit, or it runs already.
    """
    block, _ = read_cluster(path)
    _refuse_passing(block, path)
    _refuse_running(pipeline)
    pipeline.output.parent.mkdir(parents=True, exist_ok=True)
    key = f"pixtally-{pipeline.output.stem}-{uuid.uuid4().hex[:12]}"
    with cluster(path) as client:
        blind = blind_workers(client, pipeline.output.parent)
        if blind:
            raise PixtallyError(
                f"{pipeline.output.parent} is another folder on {', '.join(blind)}; results lie on "
                "a file system that all workers see under one path"
            )
        about: dict[str, Any] = {
            "command": typed(),
            "scheduler": str(client.scheduler.address),
            "key": key,
            "submitted": time.time(),
        }
        waiting = {**about, "state": "waiting", "since": time.time(), "folder": str(Path.cwd())}
        write_json(journal_path(pipeline.output), waiting)
        _hand_over(client, key, pipeline, about | {"folder": str(Path.cwd())}, restart)
    return {"store": str(pipeline.output), "scheduler": about["scheduler"], "key": key}


def _refuse_passing(block: ClusterBlock, path: Any) -> None:
    """Refuse clusters that end with this process."""
    if block.class_ is not None and block.kwargs.get("shutdown_on_close") is not False:
        stays = ("dask_kubernetes.operator.KubeCluster", "dask_gateway.GatewayCluster")
        hint = (
            "set shutdown_on_close: false in its kwargs"
            if block.class_ in stays
            else (
                "name a running scheduler (cluster/existing.yaml), or use 'pixtally run --cluster'"
            )
        )
        raise PixtallyError(f"{path}: {block.class_} would end with this command; {hint}")


def _refuse_running(pipeline: Pipeline) -> None:
    try:
        found = job_status(pipeline.output)
    except PixtallyError:
        return
    if found["state"] in ("running", "waiting"):
        raise PixtallyError(
            f"{pipeline.output} is being made already; see 'pixtally status {pipeline.output}'"
        )


def _hand_over(
    client: Any, key: str, pipeline: Pipeline, about: dict[str, Any], restart: bool
) -> None:
    """Submit the driver, and stay until the scheduler has it."""
    from distributed import fire_and_forget

    spec = pipeline.spec.model_dump(mode="json", exclude={"steps"})
    spec["steps"] = [{s.name: s.model_dump(mode="json")} for s in pipeline.spec.steps]
    driver = client.submit(
        drive, spec, str(pipeline.folder.absolute()), restart, about, key=key, pure=False
    )
    fire_and_forget(driver)
    ends = time.monotonic() + ACCEPTED
    while not client.run_on_scheduler(_has_task, key=key):
        if time.monotonic() > ends:
            raise PixtallyError(f"the scheduler did not take the job within {ACCEPTED:g} s")
        time.sleep(0.05)


def _has_task(dask_scheduler: Any, key: str) -> bool:
    """Tell whether a scheduler will keep a task when its client goes."""
    task = dask_scheduler.tasks.get(key)
    return task is not None and any(c.client_key == "fire-and-forget" for c in task.who_wants)


def drive(
    spec: dict[str, Any], folder: str, restart: bool, about: dict[str, Any]
) -> dict[str, Any]:
    """Run a pipeline from a worker; the units of work go to all workers.

    Returns
    -------
    dict
        ``made``, ``n_images`` and ``left_out`` of the report.
    """
    from distributed import worker_client

    pipeline = Pipeline(make_spec(spec), folder)
    with worker_client(timeout="60s"):
        again = _take_over(pipeline, about)
        report = pipeline.run(restart=restart and not again, progress=False, about=about)
    return {"made": report.made, "n_images": report.n_images, "left_out": report.left_out}


def _take_over(pipeline: Pipeline, about: dict[str, Any]) -> bool:
    """Remove the locks of an earlier driver of this very job, whose worker is gone.

    The scheduler starts the driver again when it has lost its worker. From another machine nobody
    can see whether a process lives, but the journal has its pulse.
    """
    path = journal_path(pipeline.output)
    before = read_facts(path)
    if before is None or before.get("key") != about["key"] or before.get("state") != "running":
        return False
    while age(path) < DEAD and not _is_gone(before):
        time.sleep(1)
    for store in {str(before.get("store", pipeline.output)), str(pipeline.output)}:
        lock = partial_path(Path(store)) / "pixtally" / "lock.json"
        holder = read_facts(lock) or {}
        if [holder.get(n) for n in ("host", "pid")] == [before.get(n) for n in ("host", "pid")]:
            lock.unlink(missing_ok=True)
    return True


def _is_gone(before: dict[str, Any]) -> bool:
    return alive({k: v for k, v in before.items() if k in ("host", "pid", "since")}) is False
