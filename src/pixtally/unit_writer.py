"""How units of work write: in private first, then renamed to their place, whole or not at all.

Several copies of a unit may run at the same time: Dask runs the tasks of a lost worker again while
that worker may still be alive, and workers go on for a while after their client was killed. Every
run has a private folder in the store that it builds. A unit writes there and renames; when the run
is over or another has taken its place the folder is gone, and so is all that late units could do.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixtally.errors import PixtallyError
from pixtally.records import RECORDS, Checksum, checksum, write_json_by
from pixtally.zarr_io import open_array

PRIVATE = "private-"


@dataclass(frozen=True)
class UnitWriter:
    """Writes shards, plain files and records of units into the store of a job.

    Attributes
    ----------
    store : str
        The folder in which the store is built.
    private : str
        Folder of this run, on the same file system.
    """

    store: str
    private: str

    def check(self) -> None:
        """Fail where the run that asked for a unit is over, before the unit begins."""
        if not os.path.isdir(self.private):
            raise PixtallyError(
                f"the run that asked for this unit is over; nothing is written to {self.store}"
            )

    def shard(
        self, name: str, region: tuple[slice, ...], values: NDArray[Any]
    ) -> dict[str, Checksum | None]:
        """Write one shard of an array: `region` is its part inside the array.

        Returns
        -------
        dict
            The file and its checksum; None where nothing is written, as all is fill value.
        """
        with self._folder() as folder:
            (folder / name).mkdir()
            shutil.copyfile(Path(self.store, name, "zarr.json"), folder / name / "zarr.json")
            array = open_array(folder, name, "r+")
            array[region] = values.astype(array.dtype, copy=False)
            file = shard_name(array, name, region)
            found = checksum(folder / file)
            if found is None:
                Path(self.store, file).unlink(missing_ok=True)
            else:
                self._place(folder / file, file)
        return {file: found}

    def plain(self, file: str, values: NDArray[Any]) -> dict[str, Checksum | None]:
        """Write an array to a ``.npy`` file of the store."""
        with self._folder() as folder:
            made = folder / "array.npy"
            np.save(made, values, allow_pickle=False)
            found = checksum(made)
            self._place(made, file)
        return {file: found}

    def record(self, unit: str, info: dict[str, Any]) -> None:
        """Record that `unit` is complete."""
        with self._folder() as folder:
            place = Path(self.store, RECORDS, "units")
            place.mkdir(parents=True, exist_ok=True)
            write_json_by(folder / "record.json", place / f"{unit}.json", info)

    def _place(self, made: Path, file: str) -> None:
        place = Path(self.store, file)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(made, place)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Make a folder of one unit, and remove it; fail where the run is over."""
        self.check()
        folder = Path(tempfile.mkdtemp(dir=self.private))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def shard_name(array: Any, name: str, region: tuple[slice, ...]) -> str:
    """Return the file of the shard that starts where `region` starts."""
    shards = array.shards or array.chunks
    starts = [(s.start or 0) // n for s, n in zip(region, shards, strict=False)]
    starts += [0] * (array.ndim - len(starts))
    return "/".join([name, "c", *map(str, starts)])
