"""Damaged, changed and foreign stores: named, refused, or just the damaged unit made again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import disturbed
import numpy as np
import pytest
from click.testing import CliRunner
from disturbed import KINDS, opened, result, run

import pixtally as pt
from pixtally import jobs
from pixtally.cli import main
from pixtally.errors import PixtallyError
from pixtally.job_folder import JobFolder
from pixtally.records import read_marks
from pixtally.unit_writer import UnitWriter
from pixtally.verify import verify_store
from pixtally.zarr_io import create_array, open_array

pytestmark = pytest.mark.usefixtures("small")
MENDED = ("histogram", "ingest", "equalize")
"""Jobs whose finished store the same command mends; appended histograms are counted again."""


@pytest.fixture
def written(monkeypatch):
    """Names of the units that were recorded."""
    names, record = [], UnitWriter.record
    monkeypatch.setattr(
        UnitWriter,
        "record",
        lambda self, unit, info: names.append(unit) or record(self, unit, info),
    )
    return names


def largest_shard(dest):
    """Return the largest file of samples or counts."""
    name = "counts" if (dest / "counts").exists() else "images"
    return max(
        (p for p in (dest / name / "c").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
    )


def tear(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def rot(path):
    """Flip a bit as a disk does: the time of the last change stays."""
    facts = path.stat()
    flip(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def lose(path):
    path.unlink()


@pytest.mark.parametrize("spoil", [tear, flip, rot, lose])
@pytest.mark.parametrize("kind", MENDED)
def test_damage_is_named_and_just_that_unit_made_again(
    kind, spoil, folder, undisturbed, tmp_path, written
):
    dest = tmp_path / "dest.zarr"
    run(kind, folder, dest)
    shard = largest_shard(dest)
    spoil(shard)
    (problem,) = verify_store(dest)[0]
    assert problem.startswith(str(shard))
    assert "run the command that made it again" in problem
    assert len(read_marks(dest)) == 1
    made = CliRunner().invoke(main, ["verify", str(dest)])
    assert made.exit_code == 1
    assert str(shard) in made.stderr
    written.clear()
    run(kind, folder, dest)
    assert len(written) == 1, "one unit is made again"
    assert result(dest) == undisturbed[kind]
    assert verify_store(dest)[0] == []
    written.clear()
    run(kind, folder, dest)
    assert not written


@pytest.mark.parametrize("spoil", [tear, flip, lose])
@pytest.mark.parametrize("kind", MENDED)
def test_damage_is_found_without_verify(kind, spoil, folder, undisturbed, tmp_path, written):
    dest = tmp_path / "dest.zarr"
    run(kind, folder, dest)
    spoil(largest_shard(dest))
    written.clear()
    run(kind, folder, dest)
    assert len(written) == 1
    assert result(dest) == undisturbed[kind]


@pytest.mark.parametrize("spoil", [tear, rot, lose])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_an_unfinished_job(
    kind, spoil, folder, undisturbed, tmp_path, written, monkeypatch
):
    dest = tmp_path / "dest.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(JobFolder, "finish", lambda self: (_ for _ in ()).throw(OSError("crash")))
        with pytest.raises(OSError, match="crash"):
            run(kind, folder, dest)
    spoil(largest_shard(Path(f"{dest}.partial")))
    written.clear()
    run(kind, folder, dest)
    assert len(written) == 1
    assert result(dest) == undisturbed[kind]


def test_segments_of_a_tile_are_counted_again(tmp_path, monkeypatch, written):
    from pixtally import plan
    from pixtally.plan import Resources

    monkeypatch.setattr(plan, "LEAST_SEGMENT", 1)
    images = np.random.default_rng(0).integers(0, 256, (6000, 12, 9), dtype=np.uint8)
    shape = {"shape": images.shape, "dtype": "u1", "dims": ("image", "y", "x")}
    create_array(
        tmp_path / "images.zarr", "images", chunks=(1, 12, 9), shards=(6000, 12, 9), **shape
    )
    open_array(tmp_path / "images.zarr", "images", "r+")[:] = images
    lazy, four = pt.open_images(tmp_path / "images.zarr"), Resources(4, 1, 4 * 2**30)

    def count():
        pt.write_histogram(lazy, tmp_path / "hist.zarr", resources=four)

    count()
    whole = result(tmp_path / "hist.zarr")
    tear(largest_shard(tmp_path / "hist.zarr"))
    written.clear()
    count()
    assert {name.split("-")[0] for name in written} == {"tile", "sum"}
    assert result(tmp_path / "hist.zarr") == whole


def test_a_store_with_left_out_images_is_made_again_whole(folder, tmp_path, small):
    frames = tmp_path / "frames"
    shutil.copytree(folder / "frames", frames)
    (frames / "7.png").write_bytes(b"spoilt")
    dest = tmp_path / "dest.zarr"
    pt.ingest(frames, dest, on_error="skip")
    whole = result(dest)
    flip(largest_shard(dest))
    assert verify_store(dest)[0]
    pt.ingest(frames, dest, on_error="skip")
    assert result(dest) == whole
    assert pt.open_images(dest).sizes["image"] == 23


def test_mending_that_is_interrupted_goes_on(folder, undisturbed, tmp_path, monkeypatch):
    dest = tmp_path / "dest.zarr"
    run("histogram", folder, dest)
    tear(largest_shard(dest))
    for crash in ("_unpack", "_stop_earlier_runs", "_forget_damaged", "finish"):
        with monkeypatch.context() as patch:
            patch.setattr(JobFolder, crash, lambda self: (_ for _ in ()).throw(OSError("crash")))
            with pytest.raises(OSError, match="crash"):
                run("histogram", folder, dest)
        assert not dest.exists(), "what is damaged does not look whole"
    run("histogram", folder, dest)
    assert result(dest) == undisturbed["histogram"]


# ---------------------------------------------------------------- records


@pytest.mark.parametrize("kind", MENDED)
@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"a": 1}', '{"a": {"files": {"../../x": [1, 2]}}}', "[" * 9999],
)
def test_records_that_are_none(kind, content, folder, tmp_path):
    dest = tmp_path / "dest.zarr"
    run(kind, folder, dest)
    (dest / "pixtally/units.json").write_text(content)
    assert "cannot be read" in verify_store(dest)[0][0]
    with pytest.raises(PixtallyError, match=r"units.json cannot be read.*--restart"):
        run(kind, folder, dest)


@pytest.mark.parametrize("content", ["", "[1]", '{"files": 5}', '{"files": {"/etc/passwd": null}}'])
def test_a_record_that_is_none_counts_as_not_done(
    content, folder, undisturbed, tmp_path, monkeypatch
):
    dest = tmp_path / "dest.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(JobFolder, "finish", lambda self: (_ for _ in ()).throw(OSError("crash")))
        with pytest.raises(OSError, match="crash"):
            run("histogram", folder, dest)
    (tmp_path / "dest.zarr.partial/pixtally/units/tile-3.json").write_text(content)
    run("histogram", folder, dest)
    assert result(dest) == undisturbed["histogram"]


# ---------------------------------------------------------------- what else may have changed


def touch_shard(folder):
    shard = largest_shard(folder / "images.zarr")
    os.utime(shard, ns=(1, 1))
    return shard


@pytest.mark.parametrize("kind", ["histogram", "append", "equalize"])
def test_a_source_that_changed_is_refused_by_name(kind, folder, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    shutil.copytree(folder, mine)
    dest = tmp_path / "dest.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(UnitWriter, "record", lambda *a: (_ for _ in ()).throw(OSError("crash")))
        with pytest.raises(OSError, match="crash"):
            run(kind, mine, dest)
    shard = touch_shard(mine)
    with pytest.raises(PixtallyError, match=r"images that changed since.*--restart") as caught:
        run(kind, mine, dest)
    assert str(shard.relative_to(mine / "images.zarr")) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["histogram", "append", "equalize"])
def test_a_source_that_changes_meanwhile_is_refused(kind, folder, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    shutil.copytree(folder, mine)
    record = UnitWriter.record
    monkeypatch.setattr(UnitWriter, "record", lambda *a: touch_shard(mine) and record(*a))
    dest = tmp_path / "dest.zarr"
    with pytest.raises(PixtallyError, match="images that changed since"):
        run(kind, mine, dest)
    assert kind == "append" or not dest.exists()


def test_ingest_reads_what_changed_again(folder, tmp_path, undisturbed, monkeypatch, written):
    mine = tmp_path / "mine"
    shutil.copytree(folder, mine)
    dest = tmp_path / "dest.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(JobFolder, "finish", lambda self: (_ for _ in ()).throw(OSError("crash")))
        with pytest.raises(OSError, match="crash"):
            run("ingest", mine, dest)
    os.utime(mine / "frames/5.png", ns=(1, 1))
    written.clear()
    run("ingest", mine, dest)
    assert len(written) == 1
    samples = {k: v for k, v in undisturbed["ingest"].items() if k.startswith("images")}
    assert {k: v for k, v in result(dest).items() if k.startswith("images")} == samples


@pytest.mark.parametrize("kind", KINDS)
def test_an_unfinished_job_of_another_version_is_refused(kind, folder, tmp_path, monkeypatch):
    dest = tmp_path / "dest.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(JobFolder, "finish", lambda self: (_ for _ in ()).throw(OSError("crash")))
        with pytest.raises(OSError, match="crash"):
            run(kind, folder, dest)
    settings = Path(f"{dest}.partial/pixtally/job.json")
    settings.write_text(settings.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(PixtallyError, match=r"format: 2 → 1.*--restart"):
        run(kind, folder, dest)


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_of_another_version_is_refused(kind, folder, tmp_path):
    dest = tmp_path / "dest.zarr"
    run(kind, folder, dest)
    for path in (dest / "zarr.json", dest / "pixtally/job.json"):
        text = path.read_text().replace('"pixtally_format": 1', '"pixtally_format": 2')
        path.write_text(text.replace('"format": 1', '"format": 2'))
    read = pt.open_histogram if kind in ("histogram", "append") else pt.open_images
    with pytest.raises(PixtallyError, match="has format version 2, this pixtally"):
        read(dest)
    with pytest.raises(PixtallyError, match=r"format(: 2 → 1| version 2)"):
        run(kind, folder, dest)
    for command in ("info", "verify"):
        made = CliRunner().invoke(main, [command, str(dest)])
        assert made.exit_code == 1
        assert "has format version 2" in made.stderr


# ---------------------------------------------------------------- late units, locks


def test_units_of_an_earlier_run_write_nothing(folder, tmp_path, undisturbed, monkeypatch):
    """A worker that outlives its client goes on with a unit of the run before."""
    dest, late = tmp_path / "dest.zarr", []
    call = jobs.run_units

    def killed(function, units, **common):
        late.extend((function, unit, common) for unit in units)
        raise SystemExit

    import pixtally.tally_job as tally_job

    run("append", folder, dest)  # as it should be; then the same again, interrupted
    shutil.rmtree(dest)
    with monkeypatch.context() as patch:
        patch.setattr(tally_job, "run_units", killed)
        patch.setattr(JobFolder, "release", lambda self: None)
        with pytest.raises(SystemExit):
            run("append", folder, dest)
    Path(f"{dest}.partial/pixtally/lock.json").unlink()
    run("append", folder, dest)
    function, unit, common = late[0]
    arguments = {k: v for k, v in common.items() if k != "advance"}
    with pytest.raises(PixtallyError, match="the run that asked for this unit is over"):
        function(unit, **arguments)
    assert result(dest) == undisturbed["append"], "the images were not counted twice"
    assert not Path(f"{dest}.partial").exists()
    assert call is jobs.run_units
    # Nor into the next job on the same store.
    more = opened(folder)[:3].assign_coords(image_id=("image", ["a", "b", "c"]))
    with monkeypatch.context() as patch:
        patch.setattr(tally_job, "run_units", killed)
        with pytest.raises(SystemExit):
            pt.append_images(dest, more, resources=disturbed.TWO)
    with pytest.raises(PixtallyError, match="is over"):
        function(unit, **arguments)
    assert pt.append_images(dest, more, resources=disturbed.TWO).attrs["n_images"] == 63
    assert verify_store(dest)[0] == []


class TestLock:
    def job(self, tmp_path):
        return JobFolder(tmp_path / "dest.zarr", {"a": 1})

    def lock(self, tmp_path):
        return tmp_path / "dest.zarr.partial/pixtally/lock.json"

    def test_held(self, tmp_path):
        with self.job(tmp_path), pytest.raises(PixtallyError, match=f"by process {os.getpid()} on"):
            self.job(tmp_path)
        self.job(tmp_path)

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 999999999}', '{"pid": "x"}'])
    def test_left_by_the_dead(self, tmp_path, content):
        self.lock(tmp_path).parent.mkdir(parents=True)
        self.lock(tmp_path).write_text(content)
        self.job(tmp_path)

    def test_a_number_given_again_is_not_the_same_process(self, tmp_path):
        with self.job(tmp_path):
            owner = json.loads(self.lock(tmp_path).read_text())
        if owner["began"] is None:
            pytest.skip("this system does not tell when a process began")
        self.lock(tmp_path).write_text(json.dumps({**owner, "began": "earlier"}))
        self.job(tmp_path)

    def test_of_another_machine(self, tmp_path):
        self.lock(tmp_path).parent.mkdir(parents=True)
        self.lock(tmp_path).write_text('{"host": "elsewhere", "pid": 5}')
        with pytest.raises(PixtallyError, match=r"process 5 on elsewhere.*delete .*lock.json"):
            self.job(tmp_path)

    def test_release_leaves_the_lock_of_another(self, tmp_path):
        job = self.job(tmp_path)
        self.lock(tmp_path).write_text('{"key": "other"}')
        job.release()
        assert self.lock(tmp_path).exists()
