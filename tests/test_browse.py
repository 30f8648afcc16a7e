"""What the viewer asks of stores, against plain NumPy: tiles, pictures, regions, frames, links."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pixtally as pt
from pixtally.browse.counts import open_counts
from pixtally.browse.cut import Region, Tiles, Window, samples, tiles_of, window_of
from pixtally.browse.distribution import distribution, fit, sampled_distribution
from pixtally.browse.frames import Frames, changed, counted, picture
from pixtally.browse.opening import open_target, target_of
from pixtally.browse.pictures import Pictures, What, statistic
from pixtally.browse.shelf import Shelf
from pixtally.browse.view import CHANGES, SHOWN, View

SHAPE = (50, 70)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (25, *SHAPE), dtype="uint8") // rng.integers(1, 9, SHAPE).astype(
        "u1"
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, images: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("browse") / "hist.zarr"
    pt.write_histogram(images, path, bins=256, range=(0, 256), progress=False)
    return path


def in_tiles(path: Path, tile: tuple[int, int] = (16, 20)) -> Pictures:
    """Return pictures that are cut into more tiles than so small an image would be."""
    made = Pictures(open_counts(path))
    made.tiles = Tiles(made.counts.shape, tile)
    return made


def quantile(images: np.ndarray, q: float) -> np.ndarray:
    return np.quantile(images, q, axis=0, method="inverted_cdf")


# --- rectangles -------------------------------------------------------------------------------

REGIONS = st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 30)] * 2).map(
    lambda t: Region(t[0], t[0] + t[2], t[1], t[1] + t[3])
)


@given(REGIONS)
def test_a_region_is_what_its_text_says(region):
    assert Region.parse(str(region)) == region


@pytest.mark.parametrize("text", ["", "3", "a,b", "5:5,1", "1,2,3", "4:2,0:9"])
def test_what_is_no_region_is_refused_in_one_line(text):
    with pytest.raises(pt.PixtallyError, match="no pixel"):
        Region.parse(text)


@given(REGIONS, st.integers(1, 40), st.integers(1, 40))
def test_a_clipped_region_lies_inside(region, h, w):
    inside = region.clip((h, w))
    assert 0 <= inside.y0 < inside.y1 <= h
    assert 0 <= inside.x0 < inside.x1 <= w


@given(REGIONS, st.integers(1, 17), st.integers(1, 17))
def test_tiles_over_a_region_cover_it_once(region, ty, tx):
    seen = np.zeros((100, 100), int)
    for tile in Tiles((100, 100), (ty, tx)).over(region):
        seen[tile.slices] += 1
        assert region.y0 < tile.y1
        assert region.x0 < tile.x1
    assert (seen[region.slices] == 1).all()
    assert seen.max() <= 1


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 40))
def test_samples_are_the_multiples_inside(first, length, stride):
    expected = [k for k in range(first, first + length) if k % stride == 0]
    assert list(samples(first, first + length, stride)) == expected


@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.tuples(st.integers(1, 1500), st.integers(1, 1500)),
    st.floats(-100, 4000),
    st.floats(-100, 4000),
    st.floats(1, 9000),
)
def test_a_window_never_has_more_samples_than_it_can_show(shape, screen, x, y, width):
    for window in (window_of(shape, screen), window_of(shape, screen, (x, y), width)):
        assert window.region == window.region.clip(shape)
        assert max(window.shape) <= 2 * max(*screen, 1) + 2
        assert window.region.y0 % window.stride == 0 or window.region.y0 == 0


def test_tiles_are_whole_chunks_up_to_a_size():
    assert tiles_of((1500, 1500), (75, 75), 512, 12 * 2**20).tile == (150, 150)
    assert tiles_of((1500, 1500), (75, 1500), 512, 2**20).tile == (75, 1500)
    tile = tiles_of((10, 10), (3, 3), 1, 2**20).tile
    assert tile[0] >= 10
    assert tile[1] >= 10


# --- links ------------------------------------------------------------------------------------

VIEWS = st.builds(
    View,
    show=st.sampled_from(SHOWN),
    q=st.integers(0, 200).map(lambda k: k / 200),
    frame=st.integers(0, 10**6),
    a=st.none() | REGIONS,
    b=st.none() | REGIONS,
    at=st.none() | st.tuples(*[st.integers(1, 9999).map(float)] * 3),
    log=st.booleans(),
    change=st.sampled_from(CHANGES),
    model=st.sampled_from(["none", "3", "peaks"]),
    theme=st.sampled_from(["auto", "light", "dark"]),
    where=st.sampled_from(["0", "nan", "-1.5"]),
)


@given(VIEWS)
def test_a_link_restores_the_view(view):
    assert View.of(view.query()) == view


def test_a_usual_view_needs_no_query():
    assert View().query() == {}


@given(st.dictionaries(st.sampled_from(list(View.__dataclass_fields__)), st.text(max_size=12)))
def test_any_link_shows_something(query):
    view = View.of(query)
    assert view.show in SHOWN
    assert 0 <= view.q <= 1
    assert View.of(view.query()) == view


# --- pictures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["median", "mean", "std", "mode", "entropy", "quantile"])
def test_a_picture_ends_as_the_statistic(store, images, name):
    hist = pt.open_histogram(store).tally
    expected = {
        "quantile": lambda: hist.quantile(0.8),
        **{n: getattr(hist, n) for n in ("median", "mean", "std", "mode", "entropy")},
    }[name]().values
    steps = list(in_tiles(store).paint(What(name, 0.8), Window(Region(0, 50, 0, 70), 1)))
    assert steps[-1].done == pytest.approx(1)
    np.testing.assert_allclose(steps[-1].values, expected.astype("f4"), rtol=1e-6)


@given(REGIONS, st.integers(1, 5), st.integers(3, 30), st.integers(3, 30))
def test_any_window_shows_its_samples(store, images, region, stride, ty, tx):
    region = region.clip(SHAPE)
    region = Region(
        region.y0 // stride * stride, region.y1, region.x0 // stride * stride, region.x1
    )
    window = Window(region, stride)
    last = list(in_tiles(store, (ty, tx)).paint(What("median"), window))[-1]
    rows, columns = region.slices
    expected = quantile(images, 0.5)[rows, columns][::stride, ::stride]
    np.testing.assert_array_equal(last.values, expected)


def test_another_statistic_has_a_first_look_at_once(store, images):
    pictures = in_tiles(store)
    pictures.rough_stride = 3
    window = Window(Region(0, 50, 0, 70), 1)
    assert np.isnan(next(pictures.paint(What("median"), window)).values).all()
    list(pictures.paint(What("median"), window))
    first = next(pictures.paint(What("std"), window))
    assert first.done < 0.01
    assert np.isfinite(first.values).all()
    # What is sampled is exact already.
    np.testing.assert_allclose(
        first.values[::3, ::3].mean(), images.std(0)[::3, ::3].mean(), rtol=0.2
    )


def test_a_picture_is_not_read_twice(store):
    pictures = in_tiles(store)
    window = Window(Region(0, 50, 0, 70), 1)
    list(pictures.paint(What("median"), window))
    steps = list(pictures.paint(What("median"), window))
    assert len(steps) == 1
    assert steps[0].done == 1


def test_colours_span_the_whole_image_and_are_shared_by_values(store, images):
    pictures = in_tiles(store)
    whole = Window(Region(0, 50, 0, 70), 1)

    def span(what: What, contrast: str = "robust") -> tuple[float, float]:
        last = list(pictures.paint(what, whole))[-1]
        return pictures.span(what, last, contrast)

    shared = span(What("median"))
    assert shared == pytest.approx(tuple(np.quantile(quantile(images, 0.5), [0.001, 0.999])))
    assert span(What("mean")) == span(What("mode")) == shared
    high = span(What("quantile", 0.9))
    assert high[0] == shared[0]
    assert high[1] == pytest.approx(np.quantile(quantile(images, 0.9), 0.999))
    assert span(What("std"), "full") == pytest.approx((images.std(0).min(), images.std(0).max()))
    part = list(pictures.paint(What("median"), Window(Region(0, 5, 0, 5), 1)))[-1]
    assert pictures.span(What("median"), part, "view")[1] <= part.values.max()


def test_a_pixel_without_samples_is_blank():
    hist = pt.pixel_histogram(np.full((3, 4, 5), np.nan), bins=4, range=(0, 1))
    target = target_of(hist)
    last = list(target.pictures.paint(What("median"), window_of((4, 5), (10, 10))))[-1]
    assert np.isnan(last.values).all()
    assert target.pictures.span(What("median"), last, "robust") == (0.0, 1.0)


def test_channels_are_planes():
    images = np.random.default_rng(0).integers(0, 9, (7, 3, 6, 5), dtype="uint8")
    import xarray as xr

    named = xr.DataArray(images, dims=("image", "channel", "y", "x"))
    named = named.assign_coords(channel=list("RGB"))
    target = target_of(pt.pixel_histogram(named), named)
    counts = target.pictures.counts
    assert [counts.plane_name(k) for k in range(3)] == ["channel R", "channel G", "channel B"]
    found = distribution(target.pictures, 2, Region(1, 3, 2, 5))
    expected = np.bincount(images[:, 2, 1:3, 2:5].ravel(), minlength=256)
    np.testing.assert_array_equal(found.counts, expected)


# --- distributions ----------------------------------------------------------------------------


@given(REGIONS, st.booleans())
def test_a_distribution_is_that_of_its_pixels(store, images, region, warm):
    pictures = in_tiles(store)
    region = region.clip(SHAPE)
    if warm:
        list(pictures.paint(What("median"), Window(Region(0, 50, 0, 70), 1)))
    found = distribution(pictures, 0, region)
    samples_there = images[:, *region.slices].ravel()
    np.testing.assert_array_equal(found.counts, np.bincount(samples_there, minlength=256))
    numbers = found.summary(0.3)
    assert numbers["mean"] == pytest.approx(samples_there.mean())
    assert numbers["std"] == pytest.approx(samples_there.std())
    assert numbers["quantile"] == np.quantile(samples_there, 0.3, method="inverted_cdf")
    assert found.cdf()[-1] == pytest.approx(1)


def test_all_pixels_together_once_they_are_read(store, images):
    pictures = in_tiles(store)
    assert sampled_distribution(pictures, 0) is None
    pictures.fill_rough(0, lambda: False)
    found = sampled_distribution(pictures, 0)
    np.testing.assert_array_equal(found.counts, np.bincount(images.ravel(), minlength=256))


def test_flows_are_counted_too():
    images = np.array([[[1.0]], [[5.0]], [[np.nan]], [[-3.0]]])
    target = target_of(pt.pixel_histogram(images, bins=2, range=(0, 2)))
    found = distribution(target.pictures, 0, Region(0, 1, 0, 1))
    assert found.flows == {"underflow": 1, "overflow": 1, "invalid": 1}
    assert found.total == 1


def test_fits_lie_on_the_histogram():
    rng = np.random.default_rng(1)
    samples_there = np.r_[rng.normal(50, 4, 3000), rng.normal(150, 8, 1000)].clip(0, 255)
    hist = pt.pixel_histogram(samples_there.astype("u1")[:, None, None])
    found = distribution(target_of(hist).pictures, 0, Region(0, 1, 0, 1))
    model = fit(found, "2")
    assert model is not None
    assert "75% at" in model.text
    area = np.trapezoid(model.parts.sum(axis=0), model.x)
    assert area == pytest.approx(found.total, rel=0.02)
    assert fit(found, "none") is None


def test_peaks_of_photons():
    rng = np.random.default_rng(1)
    counts = 20 + 30 * rng.poisson(1.2, 4000) + rng.normal(0, 3, 4000)
    hist = pt.pixel_histogram(counts[:, None, None], bins=256, range=(0, 256))
    model = fit(distribution(target_of(hist).pictures, 0, Region(0, 1, 0, 1)), "peaks")
    assert model is not None
    assert "gain 30" in model.text or "gain 29.9" in model.text


# --- frames -----------------------------------------------------------------------------------


def test_frames_of_a_store(tmp_path, images):
    np.save(tmp_path / "images.npy", images)
    pt.ingest(tmp_path / "images.npy", tmp_path / "images.zarr", progress=False)
    frames = open_target(tmp_path / "images.zarr").frames
    assert frames is not None
    np.testing.assert_array_equal(frames.frame(7), images[7])
    np.testing.assert_array_equal(frames.frame(10**6), images[-1])
    assert frames.name(7).endswith("00007")


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_the_function_of_its_name(images, change):
    frame = images[3]
    what, _, method = change.partition("-")
    expected = {
        "none": lambda: frame,
        "equalize": lambda: pt.equalize(frame[None], method).values[0],
        "clahe": lambda: pt.clahe(frame[None]).values[0],
        "fill": lambda: pt.fill(frame[None], 0, method).values[0],
    }[what]()
    np.testing.assert_array_equal(changed(frame, change, "0"), expected)


@pytest.mark.parametrize("style", ["minmax", "matlab", "imagesc", "matplotlib"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_frame_looks_as_render_shows_it(images, style, dtype):
    frame = images[0].astype(dtype)
    words, limits = picture(frame, Window(Region(10, 40, 20, 60), 2), style, "gray")
    whole = pt.render(
        frame, pt.display_limits(frame, style), "matplotlib" if style == "matplotlib" else "matlab"
    )
    found = words.view(np.uint8).reshape(*words.shape, 4)[..., :3]
    np.testing.assert_array_equal(found, whole[10:40:2, 20:60:2])
    assert limits == pt.display_limits(frame, style)


def test_colour_frames_are_shown_as_they_are():
    frame = np.random.default_rng(0).integers(0, 255, (3, 8, 9), dtype="uint8")
    words, limits = picture(frame, Window(Region(0, 8, 0, 9), 1), "matlab", "gray")
    assert limits is None
    np.testing.assert_array_equal(
        words.view(np.uint8).reshape(8, 9, 4)[..., :3], frame.transpose(1, 2, 0)
    )


def test_frames_with_too_many_dimensions_are_refused():
    import xarray as xr

    with pytest.raises(pt.PixtallyError, match="frames are"):
        Frames(xr.DataArray(np.zeros((2, 3)), dims=("image", "x")))


@given(st.lists(st.integers(0, 255), min_size=1, max_size=40), st.sampled_from(["u1", "f4", "i2"]))
def test_a_frame_is_counted_in_full(values, dtype):
    frame = np.array(values, dtype)[None]
    counts, edges = counted(frame)
    assert counts.sum() == frame.size
    assert edges[0] <= frame.min() <= frame.max() <= edges[-1]


# --- stores -----------------------------------------------------------------------------------


def half_written(done: Path, dest: Path, keep: int) -> list[str]:
    """Leave a histogram as a job that was killed leaves it, with so many units finished."""
    half = dest.with_name(dest.name + ".partial")
    shutil.copytree(done, half)
    records = half / "pixtally"
    units = json.loads((records / "units.json").read_text("utf-8"))
    (records / "units.json").unlink()
    (records / "units").mkdir()
    names = sorted(units)
    for name in names[:keep]:
        (records / "units" / f"{name}.json").write_text(json.dumps(units[name]), "utf-8")
    return names


def test_what_is_complete_of_a_histogram_in_the_making(tmp_path):
    images = np.random.default_rng(0).integers(1, 200, (9, 240, 320), dtype="uint8")
    np.save(tmp_path / "images.npy", images)
    pt.ingest(tmp_path / "images.npy", tmp_path / "images.zarr", progress=False)
    done, dest = tmp_path / "done.zarr", tmp_path / "hist.zarr"
    stored = pt.open_images(tmp_path / "images.zarr")
    pt.write_histogram(stored, done, bins=256, range=(0, 256), progress=False)
    names = half_written(done, dest, 2)
    assert len(names) > 2
    target = open_target(dest)
    assert target.progress == pytest.approx(2 / len(names), rel=0.3)
    whole = window_of(target.shape, (400, 400))
    last = list(target.pictures.paint(What("median"), whole))[-1]
    median = quantile(images, 0.5)
    there = np.isfinite(last.values)
    assert 0.1 < there.mean() < 0.9
    np.testing.assert_array_equal(last.values[there], median[there])
    assert last.absent > 0
    y, x = np.argwhere(~there)[0]
    gap = distribution(target.pictures, 0, Region(y, y + 1, x, x + 1))
    assert (gap.total, gap.absent) == (0, 1)
    assert not target.refresh()
    # The job goes on, and ends.
    folder = dest.with_name("hist.zarr.partial")
    (folder / "pixtally" / "units" / f"{names[2]}.json").write_text("{}", "utf-8")
    assert target.refresh()
    assert target.progress == pytest.approx(3 / len(names), rel=0.3)
    folder.rename(dest)
    assert target.refresh()
    assert target.progress == 1
    last = list(target.pictures.paint(What("median"), whole))[-1]
    np.testing.assert_array_equal(last.values, median)
    assert not target.refresh()


def test_a_job_that_stopped_half_way_is_shown_as_far_as_it_came(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(1, 200, (9, 240, 320), dtype="uint8")
    np.save(tmp_path / "images.npy", images)
    pt.ingest(tmp_path / "images.npy", tmp_path / "images.zarr", progress=False)
    stored, dest = pt.open_images(tmp_path / "images.zarr"), tmp_path / "hist.zarr"
    import pixtally.tally_job as job

    counted, left = job.count_tile, [2]

    def count(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("the plug is pulled")
        return counted(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(job, "count_tile", count)
        with pytest.raises(Exception, match="plug"):
            pt.write_histogram(stored, dest, bins=256, range=(0, 256), progress=False)
    target = open_target(dest)
    assert 0 < target.progress < 1
    whole = window_of(target.shape, (400, 400))
    last = list(target.pictures.paint(What("median"), whole))[-1]
    there = np.isfinite(last.values)
    assert there.mean() == pytest.approx(target.progress, abs=0.05)
    np.testing.assert_array_equal(last.values[there], quantile(images, 0.5)[there])
    pt.write_histogram(stored, dest, bins=256, range=(0, 256), progress=False)
    assert target.refresh()
    assert target.progress == 1


def test_an_appended_histogram_is_read_again(tmp_path, images):
    path = tmp_path / "hist.zarr"
    pt.write_histogram(images[:20], path, bins=256, range=(0, 256), progress=False)
    target = open_target(path)
    one = Region(4, 5, 6, 7)
    assert distribution(target.pictures, 0, one).total == 20
    import xarray as xr

    more = xr.DataArray(images[20:], dims=("image", "y", "x"))
    more = more.assign_coords(image_id=("image", [f"new-{k}" for k in range(5)]))
    pt.append_images(path, more)
    assert target.refresh()
    assert distribution(target.pictures, 0, one).total == 25
    assert target.version == 1


def test_statistics_beside_a_store_are_used_only_if_they_are_its_own(store, images):
    hist = pt.open_histogram(store)
    beside = store.with_name("hist-statistics.zarr")
    found = hist.tally.statistics(["median"]).compute() + 1000
    for history, known in ((hist.attrs["history"], 1), ("another", 0)):
        shutil.rmtree(beside, ignore_errors=True)
        found.assign_attrs(history=history).to_zarr(beside, zarr_format=3, consolidated=False)
        assert len(open_target(store).pictures.known) == known
    shutil.rmtree(beside)


def test_what_cannot_be_looked_at_is_said_in_one_line(tmp_path, store):
    import xarray as xr

    with pytest.raises(pt.PixtallyError, match="does not exist; name a histogram"):
        open_target(tmp_path / "nowhere.zarr")
    other = tmp_path / "a-statistics.zarr"
    xr.Dataset({"median": (("y", "x"), np.zeros((3, 3)))}).to_zarr(
        other, zarr_format=3, consolidated=False
    )
    with pytest.raises(pt.PixtallyError, match=r"no histogram and no collection.*view .*a\.zarr"):
        open_target(other)
    np.save(tmp_path / "small.npy", np.zeros((2, 3, 4), "u1"))
    pt.ingest(tmp_path / "small.npy", tmp_path / "small.zarr", progress=False)
    with pytest.raises(pt.PixtallyError, match=r"the images have \(3, 4\) pixels"):
        open_target(store, tmp_path / "small.zarr")


def test_a_shelf_keeps_what_was_used_last():
    shelf = Shelf(30)
    for k in range(3):
        shelf.put(k, np.zeros(10, "u1"))
    shelf.get(0)
    shelf.put(3, np.zeros(10, "u1"))
    assert [shelf.get(k) is not None for k in range(4)] == [True, False, True, True]
    shelf.put(4, np.zeros(99, "u1"))
    assert shelf.bytes == 0
    shelf.clear()


def test_a_shelf_serves_several_threads():
    shelf = Shelf(400)

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for key in rng.integers(0, 50, 400):
            if shelf.get(int(key)) is None:
                shelf.put(int(key), np.zeros(int(rng.integers(1, 60)), "u1"))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert 0 <= shelf.bytes <= 400


def test_statistics_of_no_sample_are_nan():
    axis = target_of(pt.pixel_histogram(np.zeros((1, 1, 1), "u1"))).pictures.counts.axis
    for name in ("median", "mean", "std", "mode", "entropy"):
        assert np.isnan(statistic(What(name), np.zeros((1, 256), "u2"), axis)[0])
