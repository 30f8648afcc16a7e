"""Full disks: recognised in any error, and told in one line with what is needed."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from pixtally.errors import PixtallyError
from pixtally.sizes import size_text

CODES = (errno.ENOSPC, errno.EDQUOT)
WORDS = ("No space left on device", "os error 28", "Disk quota exceeded", "os error 122")
"""How libraries that give no error number say it."""


class DiskFullError(PixtallyError):
    """A disk has no room for what is to be written; freeing some lets the job go on."""

    @classmethod
    def at(cls, folder: Path, size: int, error: BaseException) -> DiskFullError:
        """Name the disk and the need.

        Parameters
        ----------
        folder : Path
            In which a job writes.
        size : int
            Bytes that it writes there at most, compression not counted; 0 where not known.
        error : BaseException
            What was raised; the disk of the file that it names is told, where it names one.
        """
        place = _existing(_file_of(error) or folder)
        usage = shutil.disk_usage(place)
        need = ""
        if size and _mount(place) == _mount(_existing(folder)):
            need = (
                f"; the job needs up to {size_text(size)} there in all and has written "
                f"{size_text(_written(folder))}"
            )
        return cls(
            f"the disk {_mount(place)} is full ({size_text(usage.free)} free of "
            f"{size_text(usage.total)}) while writing in {folder}{need}; free some space and run "
            "the same command again: it goes on where it stopped"
        )


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error, or what led to it, is that a disk or a quota is full."""
    return any(
        (isinstance(each, OSError) and each.errno in CODES) or any(w in str(each) for w in WORDS)
        for each in _chain(error)
    ) and not isinstance(error, DiskFullError)


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _file_of(error: BaseException) -> Path | None:
    names = (each.filename for each in _chain(error) if isinstance(each, OSError))
    return next((Path(name) for name in names if isinstance(name, str)), None)


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _mount(path: Path) -> Path:
    while not os.path.ismount(path) and path != path.parent:
        path = path.parent
    return path


def _written(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) if folder.exists() else 0
