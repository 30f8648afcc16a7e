"""Pipelines: read, refused in one line, planned, run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import pixtally as pt
from pixtally import PixtallyError
from pixtally.cluster_file import read_cluster
from pixtally.demo import demo_image, write_demo
from pixtally.pipeline import Pipeline
from pixtally.spec import make_spec, read_spec, spec_schema

ROOT = Path(__file__).parents[1]

SPEC = {
    "source": {"demo": {"images": 30, "shape": [16, 24]}},
    "steps": [
        {"pixel_histogram": {"bins": 256, "range": [0, 256]}},
        {"quantiles": {"q": [0.05, 0.5]}},
        "median",
        {"statistics": {"names": ["mean", "entropy"]}},
    ],
    "output": {"store": "out/hist.zarr", "png": "out/png"},
}


def written(folder, content, name="spec.yaml"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_demo_road(tmp_path):
    path = written(tmp_path, SPEC)
    report = Pipeline.from_yaml(path).run()
    assert report.exit_code == 0
    assert report.n_images == 30
    images = np.stack([demo_image(k, 30, (16, 24)) for k in range(30)])
    hist = pt.open_histogram(tmp_path / "out/hist.zarr")
    np.testing.assert_array_equal(hist.tally.mean(), images.mean(0))
    statistics = xr.open_zarr(tmp_path / "out/hist-statistics.zarr", consolidated=False)
    np.testing.assert_array_equal(
        statistics["median"], np.quantile(images, 0.5, axis=0, method="inverted_cdf")
    )
    assert statistics.quantiles.dims == ("y", "x", "quantile")
    pictures = {p.name for p in (tmp_path / "out/png").iterdir()}
    assert pictures >= {"median.png", "quantile-0.05.png", "mean.png", "entropy.png"}
    resolved = yaml.safe_load((tmp_path / "out/hist-resolved.yaml").read_text())
    assert resolved["steps"][0]["pixel_histogram"]["closed"] == "left"
    assert resolved.pop("versions")["pixtally"] == pt.__version__
    make_spec(resolved)
    again = Pipeline.from_yaml(path).run()
    assert again.made == report.made


def test_pipelines_that_ship_are_sound():
    for path in sorted((ROOT / "pipelines").glob("*.yaml")):
        read_spec(path)


def test_plan_before_anything_is_ingested(tmp_path):
    write_demo(tmp_path / "frames", 12, (20, 30))
    content = SPEC | {"source": {"images": "frames/*.png"}}
    path = written(tmp_path, content)
    plan = Pipeline.from_yaml(path).plan()
    assert plan.shape == (12, 20, 30)
    assert not (tmp_path / "out").exists()
    Pipeline.from_yaml(path).run()
    assert Pipeline.from_yaml(path).plan().shape == (12, 20, 30)


def test_mask_and_left_out(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(4):
        np.save(tmp_path / f"frame{k}.npy", rng.normal(size=(5, 6)).astype("f4"))
    (tmp_path / "frame9.npy").write_bytes(b"")
    valid = rng.random((4, 5, 6)) < 0.7
    np.save(tmp_path / "valid.npy", valid)
    content = {
        "source": {"images": "frame*.npy", "on_error": "skip"},
        "mask": {"images": "valid.npy", "invert": True},
        "steps": [{"pixel_histogram": {"bins": 4, "range": [-2, 2]}}],
        "output": {"store": "hist.zarr"},
    }
    report = Pipeline.from_yaml(written(tmp_path, content)).run()
    assert report.exit_code == 3
    assert "frame9.npy" in report.left_out[0]["image"]
    hist = pt.open_histogram(tmp_path / "hist.zarr")
    np.testing.assert_array_equal(hist.invalid, (~valid).sum(0))


BAD = {
    "nothing": ({}, "source is missing"),
    "no steps": (SPEC | {"steps": []}, "steps"),
    "unknown field": (SPEC | {"sauce": 1}, "sauce is not known here"),
    "unknown step": (SPEC | {"steps": [{"equalise": {}}]}, "there is no step 'equalise'"),
    "unknown argument": (
        SPEC | {"steps": [{"pixel_histogram": {"bin": 3}}]},
        "pixel_histogram: bin is not known",
    ),
    "bad argument": (
        SPEC | {"steps": ["pixel_histogram", {"quantiles": {"q": "a"}}]},
        "quantiles: q",
    ),
    "order": (SPEC | {"steps": ["median", "pixel_histogram"]}, "come first"),
    "answer alone": (SPEC | {"steps": ["median"]}, "needs a pixel_histogram before"),
    "twice": (SPEC | {"steps": ["pixel_histogram"] * 2}, "one pixel_histogram"),
    "two sources": (SPEC | {"source": {"zarr": "a", "images": "b"}}, "found images and zarr"),
    "two in a step": (SPEC | {"steps": [{"median": {}, "mean": {}}]}, "one name"),
    "tiny demo": (SPEC | {"source": {"demo": {"shape": [1, 1]}}}, "between 8 and 4096"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pipelines_are_one_line(tmp_path, name):
    content, words = BAD[name]
    with pytest.raises(PixtallyError) as caught:
        read_spec(written(tmp_path, content))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "!!python/object:os.system {}", "\x00", "3"])
def test_files_that_are_no_pipeline(tmp_path, text):
    with pytest.raises(PixtallyError) as caught:
        read_spec(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    with pytest.raises(PixtallyError, match="cannot be read"):
        read_spec(tmp_path / "absent.yaml")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["source", "steps", "output", "demo", "images", "pixel_histogram"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(anything)
@settings(max_examples=300)
def test_any_yaml_gives_a_spec_or_one_line(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any", numbered=True)
    for read in (read_spec, read_cluster):
        path = written(folder, yaml.safe_dump(content))
        try:
            read(path)
        except PixtallyError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_set_replaces_fields(tmp_path):
    path = written(tmp_path, SPEC)
    spec = read_spec(
        path,
        {
            "source.images": "a.png",
            "steps.pixel_histogram.bins": 10,
            "steps.1.q": [0.1],
            "mask.images": "m.png",
            "mask.invert": True,
        },
    )
    assert spec.source.demo is None, "another source replaces the one in the file"
    assert spec.source.images == "a.png"
    assert spec.steps[0].bins == 10
    assert spec.steps[1].q == [0.1]
    assert spec.mask.invert
    with pytest.raises(PixtallyError, match="no step 'equalize'"):
        read_spec(path, {"steps.equalize.bins": 3})


def test_schema_is_json_and_names_every_step():
    schema = json.loads(json.dumps(spec_schema()))
    names = {n for s in schema["properties"]["steps"]["items"]["oneOf"] for n in s["properties"]}
    assert {"pixel_histogram", "quantiles", "median", "statistics"} <= names


@pytest.mark.parametrize(("images", "dtype"), [(200, "uint8"), (2000, "uint16")])
def test_rehearsal_has_the_counters_of_the_job(images, dtype):
    """Else the statistics would be compiled twice: for its counters, and for the real ones."""
    from pixtally.step_rehearsal import rehearse_steps
    from pixtally.steps import AnswerStep, PixelHistogram

    seen = []

    class Probe(AnswerStep):
        def answer(self, hist):
            seen.append(str(hist.counts.dtype))
            return {}

    rehearse_steps([PixelHistogram(bins=None), Probe()], ".", (3, 9, 9), "uint8", False, images)
    assert seen == [dtype]
