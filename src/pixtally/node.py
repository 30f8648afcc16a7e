"""One process on one machine: its threads, its memory, and where its compiled kernels lie."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pixtally._version import __version__

log = logging.getLogger("pixtally")

SINGLE_THREADED = {
    "OMP_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
    "MKL_NUM_THREADS": 1,
    "NUMBA_NUM_THREADS": 1,
    "RAYON_NUM_THREADS": 1,
    # Blocks of many MiB come and go all the time: returning each to the system and getting it
    # back page by page would take a good part of the time of decoding it.
    "MALLOC_TRIM_THRESHOLD_": 256 * 2**20,
    "MALLOC_MMAP_THRESHOLD_": 64 * 2**20,
}
"""Environment of workers: Dask's threads are the only ones."""

MALLOPT = {-1: 256 * 2**20, -3: 32 * 2**20}
"""The same for a process that runs already, as numbers of mallopt(3): trim and mmap threshold."""

NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p", "fuse", "panfs")
"""Beginnings of the names of file systems on which many nodes would write one cache."""


def set_up() -> None:
    """Set the threads of this process and the folder of its compiled kernels."""
    for name, value in SINGLE_THREADED.items():
        os.environ.setdefault(name, str(value))
    folder = cache_folder()
    if folder is not None:
        import numba

        os.environ["NUMBA_CACHE_DIR"] = str(folder)
        numba.config.CACHE_DIR = str(folder)
    import scipy.linalg  # noqa: F401  (its BLAS is another than numpy's)
    from numcodecs import blosc
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    blosc.use_threads = False
    _keep_memory()


def _keep_memory() -> None:
    """Set malloc's thresholds where the C library has them; the environment came too late."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for name, value in MALLOPT.items():
            mallopt(name, value)


def cache_folder() -> Path | None:
    """Return where this node keeps compiled kernels; None where numba's own choice is sound.

    numba chooses the folder of the package, or one in the user's home. Where many nodes share that
    one, or nobody may write to it, a private folder in the node's temporary files takes its place.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return None
    beside = Path(__file__).parent / "kernels"
    if os.access(beside, os.W_OK):
        return private_folder("numba") if is_shared(beside) else None
    home = Path.home()
    if os.access(home, os.W_OK) and not is_shared(home):
        return None
    return private_folder("numba")


def is_shared(path: Path) -> bool:
    """Tell whether `path` lies on a file system of the network, as far as Linux says so."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    except OSError:
        return False
    kinds = {}
    for mount in mounts:
        left, _, right = mount.partition(" - ")
        kinds[left.split()[4]] = right.split()[0]
    folder = path.resolve()
    mounted = next(p for p in (folder, *folder.parents) if str(p) in kinds or p == Path("/"))
    return kinds.get(str(mounted), "").startswith(NETWORK)


def private_folder(name: str) -> Path:
    """Return a folder on this node that only this user can write to.

    What lies in it is run as code: a folder of that name that somebody else made is not used.
    """
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir(), f"pixtally-{user}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    if folder.is_symlink() or not mine or found.st_mode & 0o022:
        folder = Path(tempfile.mkdtemp(prefix="pixtally-"))
    (folder / name).mkdir(mode=0o700, exist_ok=True)
    return folder / name


def rehearse(function: Callable[..., object], *arguments: Any) -> None:
    """Call a function for what it compiles; one process of a node at a time, and never an error.

    The first compiles and writes numba's cache, the others wait and find it there.
    """
    try:
        with _alone_on_node(), _timed_compiling():
            function(*arguments)
    except Exception as error:
        log.info("kernels are compiled when they are needed (%s: %s)", type(error).__name__, error)


_compiled = 0.0


@contextlib.contextmanager
def _timed_compiling() -> Iterator[None]:
    """Add the time that numba compiles during a block, which loading from its cache is not."""
    from numba.core import event

    def add(seconds: float) -> None:
        global _compiled
        _compiled += seconds

    with event.install_timer("numba:compile", add):
        yield


def take_compile_seconds() -> float:
    """Return the seconds that rehearsals in this process compiled since this was asked last."""
    global _compiled
    found, _compiled = _compiled, 0.0
    return found


@contextlib.contextmanager
def _alone_on_node() -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with open(private_folder("locks") / "compiling", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def versions() -> dict[str, str]:
    """Return the versions of what a result depends on, in this process."""
    packages = ("dask", "distributed", "numba", "numpy", "xarray", "zarr", "zarrs")
    found = {name: version(name) for name in packages}
    return {"pixtally": __version__, "python": platform.python_version(), **found}


def look_around(mark: str, token: str) -> dict[str, Any]:
    """Report what this process is, and whether it sees a file that somebody else wrote.

    Parameters
    ----------
    mark : str
        The file; this process writes another one beside it.
    token : str
        What is in it.

    Returns
    -------
    dict
        ``host``, ``pid``, ``versions``, ``sees`` and ``threads`` (the most of any library).
    """
    from threadpoolctl import threadpool_info

    host, pid = socket.gethostname(), os.getpid()
    sees = False
    with contextlib.suppress(OSError):
        sees = Path(mark).read_text("utf-8") == token
        Path(f"{mark}-{host}-{pid}").write_text(token, "utf-8")
    threads = max((int(library["num_threads"]) for library in threadpool_info()), default=1)
    return {"host": host, "pid": pid, "versions": versions(), "sees": sees, "threads": threads}
