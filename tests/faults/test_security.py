"""Specs and stores are data: nothing of them is run, nothing is written where it may not be."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import psutil
import pytest
import yaml
from bad_input import call, frames

import pixtally as pt

SPEC = {
    "source": {"images": "run/*.png"},
    "steps": ["pixel_histogram", "median"],
    "output": {"store": "out/hist.zarr"},
}


@pytest.fixture
def folder(tmp_path):
    """A folder in which a pipeline may write, beside one in which it may not."""
    (tmp_path / "elsewhere").mkdir()
    frames(tmp_path / "mine/run")
    (tmp_path / "mine/link").symlink_to(tmp_path / "elsewhere")
    return tmp_path / "mine"


def spec_file(folder, **changes):
    """Write the specification with some dotted names changed."""
    content = {k: dict(v) if isinstance(v, dict) else v for k, v in SPEC.items()}
    for name, value in changes.items():
        group, _, field = name.partition("__")
        content[group][field] = value
    (folder / "spec.yaml").write_text(yaml.safe_dump(content))
    return folder / "spec.yaml"


def everything(folder):
    return {str(p) for p in folder.rglob("*")}


WRITTEN = ["output__store", "output__statistics", "output__png", "output__report", "source__store"]
OUTSIDE = ["../elsewhere/x.zarr", "/tmp/pixtally-never/x.zarr", "link/x.zarr", "out/../../x.zarr",
           "~/pixtally-never.zarr", ".", "out/..", "a\0b"]  # fmt: skip


@pytest.mark.parametrize("where", OUTSIDE)
@pytest.mark.parametrize("name", WRITTEN)
def test_no_path_of_a_spec_leaves_its_folder(name, where, folder):
    spec = spec_file(folder, **{name: where})
    before = everything(folder.parent)
    for command in ("check", "plan"):
        found = call(command, spec)
        assert found.code == 1
        assert name.replace("__", ".") in found.line
    with pytest.raises(pt.PixtallyError, match=r"inside the pipeline's folder|is no path"):
        pt.Pipeline.from_yaml(spec)
    assert everything(folder.parent) == before


def test_the_user_may_name_any_place(folder):
    spec = spec_file(folder)
    place = folder.parent / "elsewhere/hist.zarr"
    pt.Pipeline.from_yaml(spec, {"output.store": str(place)}).run()
    assert pt.open_histogram(place).attrs["n_images"] == 3


def test_a_spec_replaces_nothing_that_it_did_not_make(folder):
    treasure = folder / "treasure"
    treasure.mkdir()
    (treasure / "gold").write_text("mine")
    for name in ("output__store", "output__statistics", "source__store"):
        with pytest.raises(pt.PixtallyError, match="treasure exists and"):
            pt.Pipeline.from_yaml(spec_file(folder, **{name: "treasure"})).run()
        assert (treasure / "gold").read_text() == "mine"


def test_members_of_archives_are_only_names(folder):
    content = io.BytesIO()
    np.save(content, np.zeros((3, 4), np.uint8))
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        archive.writestr("../../escaped.npy", content.getvalue())
        archive.writestr("/tmp/pixtally-escaped.npy", content.getvalue())
    before = everything(folder.parent)
    for member in ("../../escaped", "/tmp/pixtally-escaped", "escaped"):
        call("ingest", f"{folder}/x.npz::{member}", folder / "dest.zarr", "--restart")
    new = everything(folder.parent) - before
    assert all(path.startswith(f"{folder}/dest.zarr") for path in new)
    assert not os.path.exists("/tmp/pixtally-escaped.npy")


# ---------------------------------------------------------------- YAML

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n" for k in range(1, 60))
HOSTILE = {
    "code": ("!!python/object/apply:os.system ['touch never']", "is not YAML"),
    "a name": ("source: !!python/name:os.system", "is not YAML"),
    "a bomb": (BOMB, "unfolds to"),
    "a bomb of mappings": (
        BOMB.replace("[*", "{p: *").replace(", *", ", q: *").replace("]", "}"),
        "spec.yaml",
    ),
    "a bomb in steps": (f"{BOMB}steps: *a59\nsource: *a59\noutput: *a59\n", "unfolds to"),
    "itself": ("&a [*a]", "unfolds to"),
    "itself in a mapping": ("source: &a {zarr: *a}", "unfolds to"),
    "depth": ("[" * 2000, "nested too deeply"),
    "twice": ("source: {zarr: a}\nsource: {zarr: b}", "'source' is there twice (line 2)"),
    "no text": ("\x00\x01", "is not YAML"),
    "a number too long": (f"source: {{demo: {{images: {'9' * 5000}}}}}", "is not YAML"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_yaml(case, folder):
    text, words = HOSTILE[case]
    (folder / "spec.yaml").write_text(text)
    spec_file(folder.parent / "elsewhere")
    for command in (
        ("check", folder / "spec.yaml"),
        ("plan", folder / "spec.yaml"),
        ("plan", folder.parent / "elsewhere/spec.yaml", "--cluster", folder / "spec.yaml"),
    ):
        found = call(*command)
        assert found.code == 1
        assert words in found.line
        assert len(found.line) < 1000
    assert not os.path.exists("never")


def test_bins_that_no_memory_holds(folder):
    spec = spec_file(folder)
    for bins in (10**8, 10**14, 10**30):
        found = call("plan", spec, "--set", f"steps.pixel_histogram.bins={bins}",
                     "--set", "steps.pixel_histogram.range=[0, 256]")  # fmt: skip
        assert found.code == 1
        assert "at most" in found.line


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.Popen",
        "distributed.os.system",
        "distributed.utils.subprocess.Popen",
        "distributed.Client",
        "distributed.deploy.local.LocalCluster.__init__",
        "dask_jobqueue.core.subprocess.run",
        "builtins.eval",
        "distributed",
        ".distributed.LocalCluster",
        "pixtally.demo.write_demo",
    ],
)
def test_a_cluster_file_names_known_classes_only(name, folder):
    content = {"pixtally": {"cluster": {"class": name, "kwargs": {"args": ["touch never"]}}}}
    (folder / "cluster.yaml").write_text(yaml.safe_dump(content))
    found = call("plan", spec_file(folder), "--cluster", folder / "cluster.yaml")
    assert found.code == 1
    assert "cluster.yaml" in found.line
    with pytest.raises(pt.PixtallyError), pt.cluster(folder / "cluster.yaml"):
        pass
    assert not os.path.exists("never")


# ---------------------------------------------------------------- servers


@pytest.mark.slow
def test_servers_listen_on_this_machine_only():
    mine = psutil.Process()
    before = {c.laddr for c in _listening(mine)}
    with pt.cluster():
        found = [c.laddr for p in (mine, *mine.children(recursive=True)) for c in _listening(p)]
    new = {address for address in found if address not in before}
    assert new
    assert {address.ip for address in new} <= {"127.0.0.1", "::1"}


def _listening(process):
    connections = getattr(process, "net_connections", None) or process.connections
    try:
        return [c for c in connections(kind="tcp") if c.status == psutil.CONN_LISTEN]
    except psutil.Error:
        return []
