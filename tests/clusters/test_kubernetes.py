"""The Kubernetes file against the operator's own schema; no Kubernetes is run here."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from pixtally.cluster import cluster_arguments, cluster_class
from pixtally.cluster_check import arguments_of
from pixtally.cluster_file import read_cluster

pytest.importorskip("jsonschema", reason="pip install 'pixtally[test]'")
dask_kubernetes = pytest.importorskip(
    "dask_kubernetes", reason="pip install 'pixtally[kubernetes]'"
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def validator():
    """The schema with which the API server would check a DaskCluster."""
    import jsonschema

    folder = Path(dask_kubernetes.__file__).parent / "operator/deployment/helm"
    crd = folder / "dask-kubernetes-operator/crds/daskcluster.yaml"
    definition = yaml.safe_load(crd.read_text())
    (version,) = [v for v in definition["spec"]["versions"] if v["name"] == "v1"]
    assert definition["spec"]["group"] == "kubernetes.dask.org"
    schema = _closed(version["schema"]["openAPIV3Schema"])
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def _closed(schema):
    """Read a structural OpenAPI schema as the server does: ints or texts, no unknown fields."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {k: _closed(v) for k, v in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
        found["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    free = schema.get("x-kubernetes-preserve-unknown-fields")
    if (
        isinstance(schema.get("properties"), dict)
        and schema.get("type") == "object"
        and not free
        and "additionalProperties" not in schema
    ):
        found["additionalProperties"] = False
    return found


def problems(validator, resource):
    # Kind and metadata are the server's business in every resource.
    body = {k: v for k, v in resource.items() if k not in ("apiVersion", "kind", "metadata")}
    return [f"{'.'.join(map(str, e.path))}: {e.message[:200]}" for e in validator.iter_errors(body)]


@pytest.fixture
def resource():
    block, _ = read_cluster(ROOT / "cluster/kubernetes.yaml")
    return copy.deepcopy(block.kwargs["custom_cluster_spec"])


def test_the_file_that_ships_is_a_dask_cluster(validator, resource):
    assert resource["apiVersion"] == "kubernetes.dask.org/v1"
    assert resource["kind"] == "DaskCluster"
    assert not problems(validator, resource)
    selector = resource["spec"]["scheduler"]["service"]["selector"]
    assert selector["dask.org/cluster-name"] == resource["metadata"]["name"]


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("worker", "replicas"), "four"),
        (("worker", "spec", "containers", 0, "imagee"), "x"),
        (("worker", "spec", "containers", 0, "env"), {"OMP_NUM_THREADS": "1"}),
        (("scheduler", "service", "ports"), "8786"),
        (("wroker",), {}),
    ],
)
def test_the_schema_finds_mistakes(validator, resource, where, value):
    place = resource["spec"]
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value
    assert problems(validator, resource)


def test_what_the_operator_makes_of_plain_arguments(validator):
    """The other way to write the file, without a volume: arguments of the class."""
    from dask_kubernetes.operator import make_cluster_spec

    made = make_cluster_spec(
        name="pixtally",
        image="ghcr.io/me/pixtally:latest",
        n_workers=4,
        resources={"limits": {"memory": "5Gi", "cpu": "1"}},
        env={"OMP_NUM_THREADS": "1"},
        worker_command=["dask-worker", "--nthreads", "1"],
    )
    assert not problems(validator, made)


def test_arguments_are_those_of_the_class():
    block, _ = read_cluster(ROOT / "cluster/kubernetes.yaml")
    known = arguments_of(cluster_class(block.class_))
    assert set(cluster_arguments(block)) <= known
