"""Shifts against scipy, whole shifts against Octave, and what happens to NaN."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from pixtally.kernels.shift import shift_image

ORDERS = {"nearest": 0, "linear": 1, "cubic": 3}
SHIFTS = [
    (0.5, 0.3),
    (-0.5, 0.5),
    (1.25, -2.75),
    (0, 0.5),
    (-3, 1.5),
    (20.5, 1.2),
    (-10.5, 0.1),
    (0, -0.5),
    (8.5, 10.5),
]
# octave-cli --eval 'pkg load image; X = [1 2 3 4; 5 6 7 8; 9 10 11 12];
#   mat2str(round(imtranslate(X, DX, -DY, "crop")))'        (Octave's +y moves up)
OCTAVE = {
    (1, 0): [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11]],
    (-1, 0): [[2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0]],
    (0, -1): [[5, 6, 7, 8], [9, 10, 11, 12], [0, 0, 0, 0]],
    (0, 1): [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]],
    (2, -1): [[0, 0, 5, 6], [0, 0, 9, 10], [0, 0, 0, 0]],
    (-1, 2): [[0, 0, 0, 0], [0, 0, 0, 0], [2, 3, 4, 0]],
    (3, 1): [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 5]],
}


def shifted(image, dy, dx, **options):
    out = np.empty_like(image)
    shift_image(image, dy, dx, out, **options)
    return out


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("method", ORDERS)
def test_fractions_equal_scipy(method, hard):
    samples = np.random.default_rng(0).uniform(0, 255, (9, 11))
    mode = "constant" if hard else "grid-constant"
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-4), (np.uint8, 1), (np.int16, 1)):
        image = samples.astype(dtype)
        for dy, dx in SHIFTS:
            found = shifted(image, dy, dx, method=method, fill=7, hard=hard)
            expected = ndimage.shift(image, (dy, dx), order=ORDERS[method], mode=mode, cval=7)
            gap = np.abs(found.astype(float) - expected)
            assert gap.max() <= tolerance, (dtype, dy, dx)
            # Integers differ only where two orders of summation straddle a half.
            assert (gap > 1e-4).sum() <= 2


@pytest.mark.parametrize("method", ORDERS)
@pytest.mark.parametrize(
    "dtype", ["?", "u1", "i8", "u8", "f2", "f4", "f8", "c16", "M8[s]", ">u2", "U3"]
)
def test_whole_shifts_are_copies_for_every_dtype(method, dtype):
    image = np.arange(12).reshape(3, 4).astype(dtype)
    fill = image[0, 0]
    found = shifted(image, 1, -2.0, method=method, fill=fill)
    expected = np.full_like(image, fill)
    expected[1:, :2] = image[:2, 2:]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("method", ORDERS)
def test_whole_shifts_equal_octave(method):
    image = np.arange(1, 13).reshape(3, 4)
    for (dx, dy), expected in OCTAVE.items():
        assert shifted(image, dy, dx, method=method).tolist() == expected


def test_edge_rules():
    row = np.array([[10.0, 20, 30, 40]])
    assert shifted(row, 0, 0.5).tolist() == [[5, 15, 25, 35]]
    assert shifted(row, 0, 0.5, hard=True).tolist() == [[0, 15, 25, 35]]


@pytest.mark.parametrize(("method", "reach"), [("nearest", 1), ("linear", 2), ("cubic", 4)])
def test_nan_stays_local(method, reach):
    image = np.random.default_rng(1).random((15, 17))
    holed = image.copy()
    holed[7, 8] = np.nan
    found = shifted(holed, 0.25, -1.5, method=method)
    clean = shifted(image, 0.25, -1.5, method=method)
    bad = np.isnan(found)
    assert bad.sum() == reach**2
    rows, columns = np.nonzero(bad)
    assert rows.max() - rows.min() == columns.max() - columns.min() == reach - 1
    if method != "cubic":
        assert np.array_equal(found[~bad], clean[~bad])


def test_all_nan_stays_nan():
    image = np.full((5, 6), np.nan)
    assert np.isnan(shifted(image, 0.5, 0.5, method="cubic")[2:-1, 2:-1]).all()


@pytest.mark.parametrize("method", ORDERS)
def test_integers_are_clipped(method):
    image = np.array([[0, 255, 0, 255, 255, 0]], np.uint8)
    found = shifted(image, 0, 0.4, method=method)
    expected = ndimage.shift(image, (0, 0.4), order=ORDERS[method], mode="grid-constant")
    assert np.array_equal(found, expected)
    wide = np.full((1, 3), 2**63 - 1, np.int64)
    assert shifted(wide, 0, 0.5, method=method, fill=2**63 - 1).min() > 2**62


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.floats(-9, 9)
    ),
    st.floats(-9, 9),
    st.floats(-9, 9),
    st.booleans(),
)
def test_linear_equals_scipy_for_any_shift(image, dy, dx, hard):
    expected = ndimage.shift(
        image, (dy, dx), order=1, mode="constant" if hard else "grid-constant", cval=2
    )
    found = shifted(image, dy, dx, fill=2, hard=hard)
    near_border = hard and any(abs(s - round(s)) < 1e-9 and s != round(s) for s in (dy, dx))
    if not near_border:  # scipy decides "outside" after rounding x - dx
        np.testing.assert_allclose(found, expected, atol=1e-7)


def test_larger_output_holds_the_whole_image():
    image = np.random.default_rng(2).random((4, 5))
    out = np.empty((5, 7))
    shift_image(image, 0.5, 1.5, out, fill=3)
    padded = np.pad(image, ((0, 1), (0, 2)), constant_values=3)
    np.testing.assert_allclose(out, shifted(padded, 0.5, 1.5, fill=3), atol=1e-12)
