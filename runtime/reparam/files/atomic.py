"""Writes that are there whole or not at all: a sibling temporary file, flushed to disk, then moved into place."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import IO

from reparam.errors import OutputError, ReparamError


@contextlib.contextmanager
def as_output_error(path: Path) -> Generator[None]:
    """Turns the system's errors of a write into one line that names the file and what to do."""
    if "\0" in str(path):
        raise OutputError(f"{path}: cannot be written (no name holds a null byte); choose another name")
    try:
        yield
    except ReparamError:
        raise
    except OSError as error:
        advice = {
            errno.ENOSPC: "free space or choose another disk",
            errno.EACCES: "choose a folder you may write to",
            errno.EROFS: "choose a folder you may write to",
            errno.ENOENT: "make the folder first",
            errno.ENAMETOOLONG: "choose a shorter name",
        }.get(error.errno or 0, "check the path and the disk")
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); {advice}") from error


def sync_folder(folder: Path) -> None:
    """Makes names that were moved in a folder durable, where the system can (Windows cannot)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(path: Path) -> None:
    if os.path.lexists(path) and not path.is_file():
        raise OutputError(f"{path}: cannot be written (exists and is no regular file); choose another name")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: cannot be written (No such file or directory); make the folder first")


def check_place(path: Path) -> None:
    """Refuses a place that `atomic_file` would refuse, before hours are spent on what is to be written there.

    Raises:
        OutputError: no such folder, or something at `path` that is no regular file.
    """
    with as_output_error(path):
        _check(Path(os.path.realpath(path)))


@contextlib.contextmanager
def atomic_file(path: Path) -> Generator[IO[bytes]]:
    """An open binary file that becomes `path` when the block ends, and leaves no trace where the block raises.

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
        path = Path(os.path.realpath(path))  # a link stays a link: what it names is replaced
        _check(path)
        descriptor, name = tempfile.mkstemp(prefix=".reparam.", suffix=".part", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if os.name != "nt":  # mkstemp makes private files; results get the usual mode
                mask = os.umask(0)
                os.umask(mask)
                temporary.chmod(0o666 & ~mask)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a whole small file atomically; `OutputError` where that fails."""
    with atomic_file(path) as file:
        file.write(data)
