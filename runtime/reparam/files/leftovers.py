"""What a killed process left in the making, told from what a living one has under way, and swept.

A file or folder in the making is locked by the process that makes it. The system lets go of the lock when that process
ends, however it ends, so what can be locked is nobody's any more.
"""

import contextlib
import os
import shutil
from collections.abc import Generator
from pathlib import Path


def _lock(descriptor: int) -> bool:
    """Whether the lock could be had; where the system has none, everything is nobody's."""
    try:
        import fcntl
    except ImportError:  # Windows, which does not remove what is open
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return not isinstance(error, BlockingIOError)  # a file system without locks has none to respect
    return True


@contextlib.contextmanager
def in_the_making(path: Path) -> Generator[None]:
    """Keeps a file or folder from being swept as long as the block runs and this process lives."""
    if os.name == "nt":
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def sweep(folder: Path, prefix: str, suffix: str) -> None:
    """Removes files and folders whose names begin and end so and that nobody makes any more; never raises.

    They are leftovers: what could not be removed now may be by the next.
    """
    with contextlib.suppress(OSError):
        names = [name for name in os.listdir(folder) if name.startswith(prefix) and name.endswith(suffix)]  # noqa: PTH208  names alone
        for name in names:
            with contextlib.suppress(OSError):
                _remove(folder / name)


def _remove(path: Path) -> None:
    if os.name == "nt":
        _gone(path)
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _lock(descriptor):
            _gone(path)
    finally:
        os.close(descriptor)


def _gone(path: Path) -> None:
    if path.is_dir():
        remove_tree(path)
    else:
        path.unlink()


def remove_tree(path: Path) -> None:
    """Removes a folder with all that is in it, as far as that can be done; never raises."""
    with contextlib.suppress(OSError):  # which ignore_errors does not do for every call
        shutil.rmtree(path, ignore_errors=True)
