"""Stores whose metadata is missing, wrong, hostile or huge: one line, bounded memory, no result."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr
from bad_input import call, nothing_looks_whole

import pixtally as pt

GONE = object()
"""Stands for a key that is taken away."""


def store(place, **changes):
    """Write a small collection as others do, and change the metadata of its array."""
    group = zarr.open_group(place, mode="w", zarr_format=3)
    array = group.create_array(
        "images", shape=(4, 8, 8), chunks=(2, 8, 8), dtype="u1", dimension_names=("image", "y", "x")
    )
    array[:] = 1
    path = Path(place, "images", "zarr.json")
    found = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in found.items() if v is not GONE}))
    return place


def grid(*chunk):
    return {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}}}


BAD = {
    "no shape": {"shape": GONE},
    "shape of text": {"shape": "abc"},
    "shape of floats": {"shape": [4.5, 8, 8]},
    "negative": {"shape": [-1, 8, 8]},
    "huge shape": {"shape": [10**9, 10**6, 10**6]},
    "overflowing shape": {"shape": [2**63, 2**63, 2**63]},
    "endless": {"shape": [10**12, 8, 8]},
    "unknown codec": {"codecs": [{"name": "evil", "configuration": {}}]},
    "no codecs": {"codecs": GONE},
    "codecs of text": {"codecs": "zstd"},
    "pickle": {"codecs": [{"name": "numcodecs.pickle", "configuration": {}}]},
    "unknown dtype": {"data_type": "object"},
    "no dtype": {"data_type": GONE},
    "version": {"zarr_format": 9},
    "a group": {"node_type": "group"},
    "empty chunks": grid(0, 8, 8),
    "huge chunks": grid(2**40, 2**20, 2**20),
    "negative chunks": grid(-2, 8, 8),
    "few chunks": grid(2, 8),
    "unknown grid": {"chunk_grid": {"name": "spiral", "configuration": {}}},
    "few names": {"dimension_names": ["a"]},
    "fill value": {"fill_value": "zzz"},
    "attributes": {"attributes": [1, 2]},
    "fill in attributes": {"attributes": {"_FillValue": {"a": 1}, "scale_factor": "x"}},
}


@pytest.mark.parametrize("case", BAD)
def test_metadata(case, tmp_path):
    place = store(tmp_path / "bad.zarr", **BAD[case])
    spec = {
        "source": {"zarr": "bad.zarr"},
        "steps": ["pixel_histogram"],
        "output": {"store": "hist.zarr"},
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    dest = tmp_path / "dest.zarr"
    codes = set()
    for command in (
        ("info", place),
        ("verify", place),
        ("plan", tmp_path / "spec.yaml"),
        ("equalize", place, dest, "--method", "opencv"),
        ("ingest", f"{place}::images", dest),
    ):
        found = call(*command)
        codes.add(found.code)
        assert found.code == 0 or "bad.zarr" in found.line
        if found.code:
            nothing_looks_whole(dest)
    assert 1 in codes


@pytest.mark.parametrize(
    "text", ['{"zarr_format": 3,', "", "[]", "null", "5", "{}", "\x00", "[" * 9999]
)
@pytest.mark.parametrize("file", ["zarr.json", "images/zarr.json"])
def test_metadata_that_is_none(file, text, tmp_path):
    place = store(tmp_path / "bad.zarr")
    (place / file).write_text(text)
    for command in ("info", "verify"):
        found = call(command, place)
        if (file, text) == ("zarr.json", "{}"):
            assert found.code in (0, 1)  # a group without a word about it is still a group
            continue
        assert found.code == 1
        assert "bad.zarr" in found.line
    (place / file).unlink()
    assert call("info", place).code == 1


@pytest.fixture
def hist(tmp_path):
    """A stored histogram."""
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8), dtype=np.uint8)
    pt.write_histogram(images, tmp_path / "hist.zarr")
    return tmp_path / "hist.zarr"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("axis", "{"),
        ("axis", "[]"),
        ("axis", '{"kind": "regular"}'),
        (
            "axis",
            '{"kind": "integer", "bins": 1000000000000, "start": 0, "stop": 1, "closed": "left"}',
        ),
        ("n_images", "many"),
        ("pixtally_format", "1; drop"),
        ("weighted", None),
    ],
)
def test_attributes_of_a_histogram(hist, name, value):
    path = hist / "zarr.json"
    found = json.loads(path.read_text())
    found["attributes"][name] = value
    path.write_text(json.dumps(found))
    for command in ("info", "verify"):
        assert call(command, hist).code in (0, 1)
    assert call("info", hist).code == 1


@pytest.mark.parametrize("coordinate", ["bin", "image_id", "bin_bounds"])
def test_a_coordinate_that_claims_too_much(hist, coordinate):
    root = hist / "zarr.json"
    found = json.loads(root.read_text())
    entry = found["consolidated_metadata"]["metadata"][coordinate]
    entry["shape"] = [2**40, *entry["shape"][1:]]
    entry["chunk_grid"]["configuration"]["chunk_shape"] = [2**40, *entry["shape"][1:]]
    root.write_text(json.dumps(found))
    found = call("verify", hist)
    assert found.code == 1
    assert f"hist.zarr/{coordinate} claims" in found.line


class Ran(Exception):
    """The code in a store was run."""


def _run():
    raise Ran


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (_run, ())


@pytest.mark.parametrize("where", ["filters", "compressor"])
@pytest.mark.parametrize("codec", ["pickle", "json2"])
@pytest.mark.parametrize("dtype", ["|u1", "|O"])
def test_old_zarr_cannot_run_code(where, codec, dtype, tmp_path):
    place = tmp_path / "bad.zarr"
    (place / "images").mkdir(parents=True)
    (place / ".zgroup").write_text('{"zarr_format": 2}')
    array = {
        "zarr_format": 2, "shape": [2, 4, 4], "chunks": [2, 4, 4], "dtype": dtype, "order": "C",
        "fill_value": 0, "compressor": None, "filters": None,
        where: [{"id": codec}] if where == "filters" else {"id": codec},
    }  # fmt: skip
    (place / "images/.zarray").write_text(json.dumps(array))
    (place / "images/.zattrs").write_text('{"_ARRAY_DIMENSIONS": ["image", "y", "x"]}')
    (place / "images/0.0.0").write_bytes(pickle.dumps(Evil()))
    for command in (
        ("info", place),
        ("ingest", f"{place}::images", tmp_path / "dest.zarr"),
        ("equalize", place, tmp_path / "even.zarr", "--method", "opencv"),
    ):
        found = call(*command)
        assert found.code == 1, "nor is what is no such codec's output taken for samples"
    assert not (tmp_path / "dest.zarr").exists()


def test_no_module_of_ours_can_unpickle():
    """What is read is data: nothing in the package loads pickles or builds code from text."""
    import ast

    package = Path(pt.__file__).parent
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not {a.name for a in node.names} & {"pickle", "marshal", "shelve", "dill"}
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("eval", "exec", "compile", "yaml.unsafe_load", "yaml.full_load")
                if name in ("np.load", "np.save", "numpy.load"):
                    said = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    assert said.get("allow_pickle") == "False", f"{path.name}:{node.lineno}"
                if name == "yaml.load":
                    assert ast.unparse(node.args[1]) == "PlainLoader"
