"""Full disks: the error names the disk and the need; when space is freed the job goes on."""

from __future__ import annotations

import os
import subprocess

import disturbed
import numpy as np
import pytest
from click.testing import CliRunner
from disturbed import KINDS, result, run

import pixtally as pt
from pixtally.cli import main
from pixtally.disk import DiskFullError, is_disk_full

SIZE = 400 * 1024


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """Mount a disk of 400 KiB."""
    place = tmp_path_factory.mktemp("disk")
    if os.geteuid() != 0:
        pytest.skip("only root may mount the small disk that this test fills")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "pixtally-test", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill_up(disk, free):
    """Leave so many bytes free, in a file that can be removed."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    there = os.statvfs(disk)
    size = there.f_bavail * there.f_frsize - free
    ballast.write_bytes(bytes(max(0, size)))
    return ballast


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("free", [0, 60_000, 100_000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk(kind, free, disk, folder, undisturbed):
    dest = disk / "dest.zarr"
    subprocess.run(["rm", "-rf", dest, f"{dest}.partial"], check=True)
    if kind == "append":
        subprocess.run(["cp", "-r", folder / "half.zarr", dest], check=True)
    before = result(dest) if dest.exists() else {}
    ballast = fill_up(disk, free if kind != "ingest" else free // 4)
    with pytest.raises(DiskFullError) as caught:
        run(kind, folder, dest)
    line = str(caught.value)
    assert "\n" not in line
    assert f"the disk {disk} is full (" in line
    assert "the job needs up to" in line
    assert "free some space and run the same command again" in line
    assert (result(dest) if dest.exists() else {}) == before, "nothing looks whole that is not"
    ballast.unlink()
    if kind in ("histogram", "append"):
        # Twice the size is needed while an old and a new version lie side by side.
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    run(kind, folder, dest)
    assert result(dest) == undisturbed[kind]
    subprocess.run(["rm", "-rf", dest, f"{dest}.partial"], check=True)
    subprocess.run(["mount", "-o", f"remount,size={SIZE}", str(disk)], check=True)


def test_a_full_disk_on_the_command_line(disk, tmp_path):
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 255, (20, 99, 99), "u1"))
    ballast = fill_up(disk, 50_000)
    made = CliRunner().invoke(main, ["ingest", f"{tmp_path}/noise.npy", f"{disk}/noise.zarr"])
    assert made.exit_code == 1
    assert made.stderr.startswith(f"pixtally: the disk {disk} is full (")
    assert made.stderr.count("\n") == 1
    assert not (disk / "noise.zarr").exists()
    ballast.unlink()
    made = CliRunner().invoke(main, ["ingest", f"{tmp_path}/noise.npy", f"{disk}/noise.zarr"])
    assert made.exit_code == 0, made.stderr
    assert pt.open_images(disk / "noise.zarr").shape == (20, 99, 99)


def test_what_tells_that_a_disk_is_full():
    assert is_disk_full(OSError(28, "No space left on device"))
    assert is_disk_full(RuntimeError("store error: No space left on device (os error 28)"))
    wrapped = ValueError("chunk not written")
    wrapped.__cause__ = OSError(122, "Disk quota exceeded")
    assert is_disk_full(wrapped)
    assert not is_disk_full(OSError(2, "No such file or directory"))


def test_units_of_the_disturbed_jobs_are_many(undisturbed):
    assert set(undisturbed) == set(disturbed.KINDS)
