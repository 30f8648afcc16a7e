"""What `pixtally info` reads from metadata alone is what xarray finds in the store."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import pixtally as pt
from pixtally import PixtallyError, describe
from pixtally.zarr_metadata import group_attributes, read_array, text_ends


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    images = np.random.default_rng(0).integers(0, 99, (30, 12, 16), "uint8")
    named = xr.DataArray(images, dims=("image", "y", "x"))
    named = named.assign_coords(image_id=("image", [f"ünï/{k}" for k in range(30)]))
    pt.write_images(named, folder / "images.zarr")
    pt.write_histogram(pt.open_images(folder / "images.zarr"), folder / "hist.zarr")
    pt.write_histogram(
        images.astype(float), folder / "float.zarr", bins=[0, 1, 9], weights=[1] * 30
    )
    return folder


@pytest.mark.parametrize("name", ["images.zarr", "hist.zarr", "float.zarr"])
def test_metadata_says_what_xarray_finds(stores, name, monkeypatch):
    fast = describe.describe(stores / name)
    monkeypatch.setattr(describe, "read_array", lambda path: None)
    assert describe.describe(stores / name) == fast
    assert describe.describe_text(fast)


def test_nothing_heavy_is_imported(stores):
    code = (
        "import sys; from pixtally.cli import main; main(['info', sys.argv[1]], "
        "standalone_mode=False); heavy = {'xarray', 'zarr', 'dask', 'pandas', 'numba', 'scipy'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    for name in ("hist.zarr", "images.zarr"):
        out = subprocess.run(
            [sys.executable, "-c", code, stores / name], capture_output=True, text=True, check=True
        )
        assert "30" in out.stdout


def test_other_formats_are_refused_in_one_line(stores, tmp_path):
    hist = pt.open_histogram(stores / "hist.zarr").load()
    hist["image_id"] = hist["image_id"].astype(object)
    hist.attrs["pixtally_format"] = 99
    hist.drop_encoding().to_zarr(tmp_path / "new.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(PixtallyError, match="format version 99"):
        describe.describe(tmp_path / "new.zarr")


@settings(max_examples=25)
@given(st.lists(st.text(max_size=9), min_size=1, max_size=30), st.integers(1, 30), st.booleans())
def test_ends_of_texts(tmp_path_factory, names, chunk, compressed):
    import zarr

    path = tmp_path_factory.mktemp("texts") / "a.zarr"
    array = zarr.create_array(
        path, shape=(len(names),), chunks=(chunk,), dtype="str", dimension_names=["image"],
        compressors="auto" if compressed else None,
    )  # fmt: skip
    array[:] = np.array(names, dtype=object)
    missing = not (path / "c/0").exists() or not list(
        (path / "c").glob(str((len(names) - 1) // chunk))
    )
    assert text_ends(path) == (None if missing else (names[0], names[-1]))


def test_what_is_not_plain_is_left_to_xarray(stores, tmp_path):
    assert read_array(tmp_path) is None
    assert group_attributes(tmp_path) is None
    assert text_ends(stores / "hist.zarr/counts") is None
    (tmp_path / "zarr.json").write_text('{"node_type": "array", "shape": [1]}')
    assert read_array(tmp_path) is None
    assert group_attributes(tmp_path) is None
