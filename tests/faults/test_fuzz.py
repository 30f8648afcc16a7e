"""Fuzzing: any bytes for images, any metadata for stores, any YAML for specs and cluster files.

300 cases in the suite; 10,000 with ``pytest -m nightly tests/faults/test_fuzz.py``.
"""

from __future__ import annotations

import copy
import io
import json
import resource
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
import zarr
from bad_input import call, frames, nothing_looks_whole
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import pixtally as pt

ROOM = 8 * 2**30
"""Address space that a case may take on top of what there is: a runaway ends in MemoryError."""

FEW = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
MANY_IMAGES = settings(FEW, max_examples=4000)
MANY_STORES = settings(FEW, max_examples=3000)
MANY_SPECS = settings(FEW, max_examples=1500)


@pytest.fixture(scope="module", autouse=True)
def bounded():
    """Bound the memory of this process while cases run."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


class Place:
    """A folder that is emptied after each case."""

    def __enter__(self) -> Path:
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        return self.folder

    def __exit__(self, *exc) -> None:
        shutil.rmtree(self.folder)


# ---------------------------------------------------------------- images


def _seeds():
    gray = np.random.default_rng(0).integers(0, 256, (12, 10), dtype=np.uint8)
    colour = np.random.default_rng(1).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    seeds = {}
    for name, kind, image in (
        ("a.png", "PNG", gray),
        ("b.png", "PNG", colour),
        ("c.jpg", "JPEG", colour),
        ("d.bmp", "BMP", gray),
        ("e.pgm", "PPM", gray),
        ("f.gif", "GIF", gray),
        ("g.webp", "WEBP", colour),
    ):
        file = io.BytesIO()
        Image.fromarray(image).save(file, kind)
        seeds[name] = file.getvalue()
    for name, options in (
        ("h.tif", {}),
        ("i.tif", {"compression": "zlib"}),
        ("j.tif", {"tile": (16, 16)}),
    ):
        file = io.BytesIO()
        tifffile.imwrite(file, gray, **options)
        seeds[name] = file.getvalue()
    file = io.BytesIO()
    np.save(file, np.stack([gray, gray]))
    seeds["k.npy"] = file.getvalue()
    file = io.BytesIO()
    np.savez_compressed(file, a=np.stack([gray, gray]))
    seeds["l.npz"] = file.getvalue()
    try:
        import h5py
        from astropy.io import fits
    except ImportError:
        return seeds
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened.create_dataset("data", data=np.stack([gray, gray]), chunks=True, compression="gzip")
    seeds["m.h5"] = file.getvalue()
    file = io.BytesIO()
    fits.writeto(file, gray)
    seeds["n.fits"] = file.getvalue()
    return seeds


SEEDS = _seeds()


@st.composite
def spoilt_images(draw):
    """A file of a known kind with a few bytes changed, taken out or put in; or any bytes at all."""
    name = draw(st.sampled_from(sorted(SEEDS)))
    content = bytearray(SEEDS[name])
    if draw(st.integers(0, 9)) == 0:
        return name, draw(st.binary(max_size=300))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        change = draw(st.sampled_from(["set", "flip", "cut", "insert", "end", "number"]))
        if change == "set" and content:
            content[at] = draw(st.integers(0, 255))
        elif change == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif change == "cut":
            del content[at : at + draw(st.integers(1, 40))]
        elif change == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=20))
        elif change == "end":
            del content[at:]
        else:
            content[at : at + 4] = draw(
                st.sampled_from([b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(4)])
            )
    return name, bytes(content)


def check_image(case):
    name, content = case
    with Place() as folder:
        (folder / name).write_bytes(content)
        found = call("ingest", folder / name, folder / "dest.zarr")
        if found.code == 0:
            assert call("verify", folder / "dest.zarr").code == 0
        else:
            assert name in found.line
            nothing_looks_whole(folder / "dest.zarr")


test_images = FEW(given(spoilt_images())(check_image))
test_many_images = pytest.mark.nightly(MANY_IMAGES(given(spoilt_images())(check_image)))


# ---------------------------------------------------------------- metadata of stores

NUMBERS = st.one_of(
    st.integers(-3, 100),
    st.sampled_from([0, 2**31, 2**32, 2**40, 2**63, 2**64, -(2**63), 10**30]),
    st.floats(),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=12)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ),
    max_leaves=6,
)


def paths(value, before=()):
    """Return the place of everything in nested lists and mappings."""
    found = [before] if before else []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list):
            found += paths(inner, (*before, key))
        else:
            found.append((*before, key))
    return found


@st.composite
def changed(draw, original, values):
    """Return nested lists and mappings with some entries replaced or taken away."""
    made = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        places = paths(made)
        if not places:
            break
        *parents, last = draw(st.sampled_from(places))
        inside = made
        for key in parents:
            inside = inside[key]
        if draw(st.integers(0, 4)) == 0:
            del inside[last]
        else:
            inside[last] = draw(values)
    return made


def _documents():
    """Metadata of a collection that others wrote, and of a histogram of ours."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-seed-"))
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    group = zarr.open_group(folder / "images.zarr", mode="w", zarr_format=3)
    names = ("image", "y", "x")
    array = group.create_array(
        "images", shape=(4, 8, 8), chunks=(2, 8, 8), dtype="u1", dimension_names=names
    )
    array[:] = images
    pt.write_histogram(images, folder / "hist.zarr")
    found = {
        (store, file): json.loads((folder / store / file).read_text())
        for store, file in (
            ("images.zarr", "images/zarr.json"),
            ("images.zarr", "zarr.json"),
            ("hist.zarr", "zarr.json"),
            ("hist.zarr", "pixtally/units.json"),
            ("hist.zarr", "pixtally/job.json"),
        )
    }
    return folder, found


STORES, DOCUMENTS = _documents()


@st.composite
def spoilt_metadata(draw):
    """Which file of which store, and its text."""
    where = draw(st.sampled_from(sorted(DOCUMENTS)))
    made = draw(changed(DOCUMENTS[where], VALUES))
    text = json.dumps(made)
    if draw(st.integers(0, 9)) == 0:
        text = text[: draw(st.integers(0, len(text)))]
    return (*where, text)


def check_store(case):
    store, file, text = case
    with Place() as folder:
        place = folder / store
        shutil.copytree(STORES / store, place)
        (place / file).write_text(text)
        for command in ("info", "verify"):
            found = call(command, place)
            # What is damaged in more than one place has more than one line.
            assert found.code == 0 or store in found.line
        if store == "images.zarr":
            found = call("equalize", place, folder / "dest.zarr", "--method", "lut")
            if found.code:
                nothing_looks_whole(folder / "dest.zarr")


test_stores = FEW(given(spoilt_metadata())(check_store))
test_many_stores = pytest.mark.nightly(MANY_STORES(given(spoilt_metadata())(check_store)))


# ---------------------------------------------------------------- specifications, cluster files

SPEC = {
    "source": {"images": "run/*.png", "gray": False, "on_error": "stop"},
    "mask": {"images": ["run/0.png"], "invert": True},
    "steps": [
        {"fill": {"where": 0, "method": "nearest"}},
        {"equalize": {"method": "interp", "bins": 16}},
        {"pixel_histogram": {"bins": 16, "range": [0, 256], "closed": "left"}},
        {"quantiles": {"q": [0.1, 0.5]}},
        "median",
    ],
    "output": {"store": "out/hist.zarr", "png": "out/png", "statistics": "out/s.zarr"},
}
CLUSTER = {
    "pixtally": {
        "cluster": {
            "class": "distributed.LocalCluster",
            "kwargs": {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "2GiB"},
            "scale": None,
        }
    },
    "distributed": {"worker": {"memory": {"target": 0.7}}},
}
ODD = st.sampled_from(
    ["..", "/", "~nobody/x", "a\0b", "", "*", "!!python/name:os.system", "os.system", "nan", "::"]
)
YAML_VALUES = st.one_of(VALUES, ODD, st.dates(), st.lists(NUMBERS, max_size=3))


def _text(value):
    try:
        return yaml.safe_dump(value)
    except (yaml.YAMLError, ValueError):
        return "{"


def specs(original):
    """Return YAML text: a changed file, any text, or any data."""
    return st.one_of(
        changed(original, YAML_VALUES).map(_text),
        changed(original, YAML_VALUES).map(_text),
        changed(original, YAML_VALUES).map(_text),
        st.text(max_size=200),
        YAML_VALUES.map(_text),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with images and a sound pipeline."""
    made = tmp_path_factory.mktemp("specs")
    frames(made / "run")
    sound = copy.deepcopy(SPEC)
    del sound["mask"]
    (made / "sound.yaml").write_text(yaml.safe_dump(sound))
    return made


def check_spec(folder, text):
    path = folder / "spec.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    before = {p.name for p in folder.iterdir()}
    found = call("check", path)
    planned = call("plan", path)
    assert found.code == 0 or planned.code == 1, "what is not sound cannot be planned"
    if found.code:
        assert "spec.yaml" in found.line
    assert {p.name for p in folder.iterdir()} == before, "neither writes anything"


def check_cluster(folder, text):
    path = folder / "cluster.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    found = call("plan", folder / "sound.yaml", "--cluster", path)
    assert found.code == 0 or "cluster.yaml" in found.line or "memory" in found.line


def make(check, original, amount):
    """Return a fuzz test of a check."""

    @amount
    @given(text=specs(original))
    def test(folder, text):
        check(folder, text)

    return test


test_specs = make(check_spec, SPEC, settings(FEW, max_examples=50))
test_clusters = make(check_cluster, CLUSTER, settings(FEW, max_examples=50))
test_many_specs = pytest.mark.nightly(make(check_spec, SPEC, MANY_SPECS))
test_many_clusters = pytest.mark.nightly(make(check_cluster, CLUSTER, MANY_SPECS))
