"""Real clusters on one machine: a pipeline, the store it must give, processes that are started."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import pixtally as pt
from pixtally.cluster import cluster
from pixtally.demo import write_demo

sys.path.insert(0, str(Path(__file__).parent))

from machines import DASK, MEMORY, Processes, free_port

SPEC = {
    "source": {"images": "frames/*.png"},
    "steps": [
        {"fill": {"where": 0}},
        {"equalize": {"method": "opencv"}},
        {"pixel_histogram": {"bins": 64, "range": [0, 256]}},
        "median",
    ],
}


def pytest_collection_modifyitems(config, items):
    """Leave real clusters out of the ordinary suite: they take minutes."""
    if "clusters" in (config.option.markexpr or ""):
        return
    for item in items:
        if item.get_closest_marker("clusters"):
            item.add_marker(pytest.mark.skip(reason="real clusters run with: pytest -m clusters"))


@pytest.fixture(scope="session")
def frames(tmp_path_factory) -> Path:
    """Images that every cluster counts."""
    return write_demo(tmp_path_factory.mktemp("collection") / "frames", 150, (96, 128))


@pytest.fixture
def folder(tmp_path, frames) -> Path:
    """A folder with the images and the pipeline ``spec.yaml``."""
    (tmp_path / "frames").symlink_to(frames)
    content = SPEC | {"output": {"store": "out/hist.zarr"}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


@pytest.fixture(scope="session")
def expected(tmp_path_factory, frames) -> Path:
    """The store that this machine alone makes, with as many workers as every cluster here has."""
    here = tmp_path_factory.mktemp("expected")
    block = {
        "class": "distributed.LocalCluster",
        "kwargs": {"n_workers": 2, "threads_per_worker": 1, "memory_limit": MEMORY},
    }
    (here / "local.yaml").write_text(yaml.safe_dump({"pixtally": {"cluster": block}}))
    (here / "frames").symlink_to(frames)
    with cluster(here / "local.yaml"):
        pt.Pipeline(SPEC | {"output": {"store": "out/hist.zarr"}}, here).run(progress=False)
    return here / "out/hist.zarr"


@pytest.fixture
def processes(tmp_path_factory) -> Iterator[Processes]:
    made = Processes(tmp_path_factory.mktemp("logs"))
    yield made
    made.end()


@pytest.fixture
def scheduler(processes):
    """Start a scheduler and two workers as processes of their own; returns the address."""

    def start(*options: str, protocol: str = "tcp", workers: int = 2) -> str:
        port = free_port()
        processes.start(
            *(*DASK, "scheduler", "--host", f"{protocol}://127.0.0.1", "--port", port),
            *("--dashboard-address", "127.0.0.1:0", *options),
            until="Scheduler at",
        )
        address = f"{protocol}://127.0.0.1:{port}"
        for _ in range(workers):
            processes.start(
                *(*DASK, "worker", address, "--nthreads", "1", "--memory-limit", MEMORY),
                *("--no-dashboard", *options),
                until="Starting established connection",
            )
        return address

    return start


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """PEM files of two parties that sign for themselves: ours, and a stranger's."""
    pytest.importorskip("cryptography", reason="certificates are made by cryptography")
    from distributed.security import Security

    found = {}
    for name in ("ours", "stranger"):
        made = Security.temporary()
        place = tmp_path_factory.mktemp(name)
        (place / "ca.pem").write_text(made.tls_ca_file)
        (place / "cert.pem").write_text(made.tls_client_cert)
        (place / "key.pem").write_text(made.tls_client_key)
        found[name] = {
            "tls_ca_file": str(place / "ca.pem"),
            "tls_client_cert": str(place / "cert.pem"),
            "tls_client_key": str(place / "key.pem"),
        }
    return found
