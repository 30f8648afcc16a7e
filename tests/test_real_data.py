"""The real collections, from files to counts, against numpy.histogram of random pixels."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

import pixtally as pt
from pixtally.pipeline import Pipeline

COLLECTIONS = {
    "video": (
        {"images": "video_intel/one-by-one-person-detection.mp4", "gray": True},
        None,
        {"bins": 256, "range": [0, 256]},
        (1394, 432, 768),
    ),
    "detector": (
        {"images": "xray_httomo/k11-18014-imaging.h5::entry/detector/detector"},
        None,
        {"bins": 512, "range": [0, 65536]},
        (3201, 22, 26),
    ),
    "satellite": (
        {"images": "sat_eolearn/NDVI.npy"},
        {"images": "sat_eolearn/IS_VALID.npy", "invert": True},
        {"bins": 100, "range": [-1, 1]},
        None,
    ),
    "microscope": (
        {"images": "micro_cp_illum/*.TIF"},
        None,
        {"bins": 64, "range": [0, 256]},
        (36, 512, 512),
    ),
    "photographs": ({"images": "small_signdigits_100/*.JPG"}, None, {}, (300, 3, 100, 100)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COLLECTIONS)
def test_equals_numpy_on_random_pixels(data_dir, tmp_path, name):
    source, mask, counting, shape = COLLECTIONS[name]
    here = {k: str(data_dir / v) if k == "images" else v for k, v in source.items()}
    content = {
        "source": here,
        "steps": [{"pixel_histogram": counting}],
        "output": {"store": "hist.zarr"},
    }
    if mask:
        content["mask"] = mask | {"images": str(data_dir / mask["images"])}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(content))
    Pipeline.from_yaml(tmp_path / "spec.yaml").run()
    hist = pt.open_histogram(tmp_path / "hist.zarr")
    images = pt.open_images(tmp_path / "hist-images.zarr").values
    if shape is not None:
        assert images.shape == shape
    hidden = np.zeros(images.shape, bool)
    if mask:
        hidden = ~pt.open_images(tmp_path / "hist-mask.zarr").values.astype(bool)
    flat, out = images.reshape(len(images), -1), hidden.reshape(len(images), -1)
    counts = hist.counts.values.reshape(flat.shape[1], -1)
    chosen = np.random.default_rng(0).choice(flat.shape[1], min(1000, flat.shape[1]), False)
    bins, span = counting.get("bins", 256), counting.get("range", (0, 256))
    for pixel in chosen:
        values = flat[~out[:, pixel], pixel].astype(np.float64)
        expected = np.histogram(values[np.isfinite(values)], bins, span)[0]
        np.testing.assert_array_equal(counts[pixel], expected)
    total = hist.counts.sum("bin") + hist.underflow + hist.overflow + hist.invalid
    assert (total == len(images)).all()


def test_median_of_the_video_is_numpys(data_dir, tmp_path):
    pt.ingest(data_dir / "video_intel/car-detection.mp4", tmp_path / "cars.zarr", gray=True)
    images = pt.open_images(tmp_path / "cars.zarr")
    median = pt.pixel_histogram(images).tally.median()
    expected = np.quantile(images[:, ::7, ::7], 0.5, axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(median[::7, ::7], expected)
