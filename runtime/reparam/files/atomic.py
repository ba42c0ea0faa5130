"""Writes that are there whole or not at all: a sibling temporary file, flushed to disk, then moved into place.

The move is what counts: before it the old file is there, after it the new one, each whole. Whether the name outlives a
power cut is asked of the disk afterwards (`settle`), and a disk that cannot say so changes nothing of that.
"""

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import IO

from reparam.errors import OutputError
from reparam.files.leftovers import in_the_making, sweep
from reparam.files.reasons import as_output_error
from reparam.files.room import SPARE, check_room

_SUFFIX = ".part"


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable, where the system can (Windows cannot)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(folder: Path) -> None:
    """Makes names that were moved in a folder durable, if it can be had: old or new, what they name is whole."""
    with contextlib.suppress(OSError):
        sync_folder(folder)


def check_folder(folder: Path, told: Path) -> None:
    """Refuses a folder in which nothing can be made.

    Raises:
        OutputError: it is not there, or this process may not write to it.
    """
    if not folder.is_dir():
        raise OutputError(f"{told}: cannot be written (No such file or directory); make the folder first")
    effective = os.access in os.supports_effective_ids
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
        reason = os.strerror(errno.EROFS if read_only else errno.EACCES)
        raise OutputError(f"{told}: cannot be written ({reason}); choose a folder you may write to")


def _check(path: Path, told: Path) -> None:
    if os.path.lexists(path) and not path.is_file():
        raise OutputError(f"{told}: cannot be written (exists and is no regular file); choose another name")
    check_folder(path.parent, told)


def check_place(path: Path) -> None:
    """Refuses a place that `atomic_file` would refuse, before hours are spent on what is to be written there.

    Raises:
        OutputError: no such folder, one that may not be written to, or something at `path` that is no regular file.
    """
    with as_output_error(path):
        _check(Path(os.path.realpath(path)), path)


@contextlib.contextmanager
def atomic_file(path: Path, *, nbytes: int = 0) -> Generator[IO[bytes]]:
    """An open binary file that becomes `path` when the block ends, and leaves no trace where the block raises.

    What killed writes of the same file left behind is removed first.

    Args:
        path: the file to become.
        nbytes: how large it will be, where that is known: a disk without the room is then refused at once.

    Raises:
        OutputError: the file cannot be written; what was at `path` before is still there.

    Examples:
        >>> import pathlib, tempfile
        >>> place = pathlib.Path(tempfile.mkdtemp()) / "a.bin"
        >>> with atomic_file(place) as file:
        ...     _ = file.write(b"whole")
        >>> place.read_bytes()
        b'whole'
    """
    with as_output_error(path):
        told, path = path, Path(os.path.realpath(path))  # a link stays a link: what it names is replaced
        _check(path, told)
        prefix = f".reparam.{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]}."  # of any name, in few letters
        sweep(path.parent, prefix, _SUFFIX)
        if nbytes > SPARE:
            check_room([(told, path.parent, nbytes)])
        descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=_SUFFIX, dir=path.parent)
        temporary = Path(name)
        try:
            with contextlib.ExitStack() as making:
                with os.fdopen(descriptor, "wb") as file:
                    making.enter_context(in_the_making(temporary))
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                if os.name != "nt":  # mkstemp makes private files; results get the usual mode
                    mask = os.umask(0)
                    os.umask(mask)
                    temporary.chmod(0o666 & ~mask)
                temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        settle(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a whole small file atomically; `OutputError` where that fails."""
    with atomic_file(path, nbytes=len(data)) as file:
        file.write(data)
