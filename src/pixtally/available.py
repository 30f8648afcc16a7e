"""What the Dask client in use has, or is promised: workers, threads, memory."""

from __future__ import annotations

import dataclasses
from typing import Any

import dask

from pixtally.jobs import current_client
from pixtally.plan import Resources


def current_resources() -> Resources | None:
    """Return what the Dask client in use has or is promised, or None without one."""
    client = current_client()
    if client is None:
        return None
    live = live_resources(client)
    given = dask.config.get("pixtally.resources", None)
    if given is None:
        return live
    promised = Resources(*given)
    if live is None:
        return promised
    # Workers that are still on their way, in a queue say, will take their share.
    return dataclasses.replace(live, workers=max(live.workers, promised.workers))


def live_resources(client: Any) -> Resources | None:
    """Return what the workers of a Dask client have, or None where there are none."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not workers:
        return None
    return Resources(
        workers=len(workers),
        threads=max(w["nthreads"] for w in workers),
        memory=min(w["memory_limit"] or Resources.local().memory for w in workers),
    )
