"""Slices of stored collections: recognised, read directly, and nothing else is taken for one."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixtally as pt
from pixtally.cuts import cut_of
from pixtally.windows import stored_array


class Stored:
    """Stands for an array on disk; notes what is read."""

    def __init__(self, values):
        self.values, self.read = values, []
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, index):
        self.read.append(index)
        return self.values[index]


VALUES = np.arange(13 * 10 * 9, dtype="i4").reshape(13, 10, 9)


def lazy(inline=True, chunks=(4, 3, 9)):
    return da.from_array(Stored(VALUES), chunks=chunks, inline_array=inline, asarray=False)


slices = st.builds(
    lambda a, b: slice(a, b), st.none() | st.integers(-14, 14), st.none() | st.integers(-14, 14)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(slices, slices, slices), min_size=0, max_size=3), st.booleans())
def test_slices_of_slices_are_boxes(cuts, inline):
    array, expected = lazy(inline), VALUES
    for cut in cuts:
        array, expected = array[cut], expected[cut]
    found = cut_of(array)
    if 0 in expected.shape:
        assert found is None or found.shape == expected.shape
        return
    assert found is not None
    np.testing.assert_array_equal(found[(slice(None),) * 3], expected)
    np.testing.assert_array_equal(found[(slice(1, 5), slice(2, None), slice(0, 1))],
                                  expected[1:5, 2:, 0:1])  # fmt: skip


@pytest.mark.parametrize(
    "change",
    {
        "step": lambda a: a[::2],
        "backwards": lambda a: a[::-1],
        "one image": lambda a: a[5],
        "picked": lambda a: a[[1, 5, 3]],
        "computed": lambda a: a + 1,
        "cast": lambda a: a.astype("f4"),
        "put together": lambda a: da.concatenate([a[5:], a[:5]]),
        "turned": lambda a: a.transpose(0, 2, 1),
        "other chunks": lambda a: a.rechunk((13, 10, 9)),
        "in memory": lambda a: da.from_array(VALUES, chunks=4)[2:9],
        "choice of a tuple": lambda a: da.where(a > 3, a, 0)[2:4],
    }.items(),
    ids=lambda case: case[0],
)
def test_anything_else_is_not(change):
    assert stored_array(change[1](lazy())) is None


def test_the_whole_is_the_stored_array_itself():
    assert isinstance(stored_array(lazy()), Stored)


def test_a_histogram_of_a_slice_reads_what_it_counts(tmp_path, monkeypatch):
    import zarr

    values = np.random.default_rng(0).integers(0, 256, (300, 200, 200), np.uint8)
    pt.write_images(values, tmp_path / "images.zarr", chunks=(50, 100, 100))
    images = pt.open_images(tmp_path / "images.zarr")[100:200]
    reads = []
    read = zarr.Array.__getitem__

    def noted(array, index):
        found = read(array, index)
        if array.basename == "images":
            reads.append(found.nbytes)
        return found

    monkeypatch.setattr(zarr.Array, "__getitem__", noted)
    hist = pt.write_histogram(images, tmp_path / "hist.zarr")
    monkeypatch.undo()
    assert sum(reads) == 100 * 200 * 200
    place = {"y": 17, "x": 150}
    expected = np.bincount(values[100:200, 17, 150], minlength=256)
    np.testing.assert_array_equal(hist.counts.isel(place), expected)
    assert hist.image_id.values[0] == images.image_id.values[0]
