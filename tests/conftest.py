"""What tests share: where the real collections are, quiet Dask, a client."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("suite", deadline=None, max_examples=60, print_blob=True)
hypothesis.settings.load_profile("suite")

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "drive"))  # what several test files use


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real image collections; a test that needs it skips where it is absent."""
    place = Path(os.environ.get("PIXTALLY_DATA", ROOT.parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"no real collections at {place}; set PIXTALLY_DATA to their folder")
    return place


@pytest.fixture(scope="session")
def client() -> Iterator[object]:
    """A Dask client with two worker processes, in use while a test asks for it."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit="4GiB"
        ) as cluster,
        Client(cluster, set_as_default=False) as made,
    ):
        yield made


@pytest.fixture(autouse=True)
def _no_client_is_left() -> Iterator[None]:
    """Fail the test that leaves a Dask client behind: what is computed later would wait for it."""
    yield
    if "distributed" in sys.modules:
        from distributed.client import _get_global_client

        left = _get_global_client()
        if left is not None:
            status = left.status
            left.close(timeout=5)
            pytest.fail(f"a Dask client is left ({status}, {left.scheduler})")
