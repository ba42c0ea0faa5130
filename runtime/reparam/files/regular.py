"""Files that are opened to be read: regular ones, at once, and no more of a small one than it may have.

A pipe in place of a file would wait for a writer that never comes, and a device has no end.
"""

import errno
import os
import stat
from pathlib import Path
from typing import IO, Final

_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: Path) -> IO[bytes]:
    """A regular file, open at its start; links are followed.

    Raises:
        OSError: it cannot be opened, or is a folder, a pipe, a device or a socket.
        ValueError: a name that no file can have.

    Examples:
        >>> open_regular(Path("/dev/null"))
        Traceback (most recent call last):
        OSError: [Errno 22] not a regular file: '/dev/null'
    """
    descriptor = os.open(path, _FLAGS)
    try:
        _check(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_regular(path: Path, *, most: int | None = None) -> bytes:
    """All bytes of a regular file.

    Args:
        path: the file.
        most: bytes that it may have, None for any number.

    Raises:
        OSError: as `open_regular` does, or it cannot be read.
        ValueError: it has more bytes.
    """
    with open_regular(path) as file:
        data = file.read() if most is None else file.read(most + 1)
    if most is not None and len(data) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return data
