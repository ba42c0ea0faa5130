"""A disk whose calls are counted, and one of which fails: for tests that try every one of them.

Python reaches files through functions of `os` and through `io.open`; both are replaced while the block runs, and count
what touches files below one folder. Nothing else of the process is concerned.
"""

import contextlib
import errno
import functools
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

BY_PATH: Final = (
    *("open", "mkdir", "rmdir", "rename", "replace", "unlink", "remove", "chmod", "truncate", "utime"),
    *("listdir", "scandir", "stat", "lstat", "access", "statvfs"),
)
BY_DESCRIPTOR: Final = ("write", "read", "pread", "preadv", "fsync", "ftruncate", "fstat", "dup")
WRITES: Final = ("write",)
FAILURES: Final = ("EIO", "ENOSPC", "EACCES")
SHORT: Final = ("short", "torn")  # half is written and the rest asked for again; half is written and the disk is full


class Disk:
    """Calls on files below a folder, in order.

    Attributes:
        calls: the name of each.
    """

    def __init__(self, root: Path, place: int | None = None, how: str = "") -> None:
        self.calls: list[str] = []
        self._root = os.path.realpath(root)
        self._place = place
        self._how = how

    def below(self, what: Any, dir_fd: int | None = None) -> bool:
        """Whether a path or descriptor is of the folder."""
        if isinstance(what, int):
            with contextlib.suppress(OSError):
                return str(REAL_READLINK(f"/proc/self/fd/{what}")).startswith(self._root)
            return False
        folder = Path.cwd() if dir_fd is None else Path(REAL_READLINK(f"/proc/self/fd/{dir_fd}"))
        return os.path.normpath(folder / os.fsdecode(what)).startswith(self._root)

    def count(self, name: str, call: Callable[[], Any], data: Any = None, write: Any = None) -> Any:
        """Makes a call, unless it is the one that fails."""
        self.calls.append(name)
        if len(self.calls) - 1 != self._place:
            return call()
        if self._how in SHORT and write is not None:
            done = write(memoryview(data).cast("B")[: max(1, len(memoryview(data).cast("B")) // 2)])
            if self._how == "short":
                return done
            raise _error("ENOSPC")
        raise _error(self._how if self._how in FAILURES else "EIO")


def _error(name: str) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number))


REAL_READLINK: Final = os.readlink
REAL_OPEN: Final = io.open


class _Raw(io.FileIO):
    """A file whose writes are counted."""

    disk: Disk

    def write(self, data: Any) -> int:
        return self.disk.count("write", lambda: super(_Raw, self).write(data), data, super().write)

    def truncate(self, size: int | None = None) -> int:
        return self.disk.count("truncate", lambda: super(_Raw, self).truncate(size))

    def readinto(self, buffer: Any) -> int:
        return self.disk.count("readinto", lambda: super(_Raw, self).readinto(buffer))

    def readall(self) -> bytes:
        return self.disk.count("readall", lambda: super(_Raw, self).readall())

    def read(self, size: int = -1) -> bytes:
        return self.disk.count("read", lambda: super(_Raw, self).read(size))

    def close(self) -> None:
        if self.closed or not self.writable():
            super().close()
            return
        super().close()
        self.disk.count("close", lambda: None)


def _opened(disk: Disk, file: Any, mode: str = "r", buffering: int = -1, *more: Any, **options: Any) -> Any:
    """As io.open, with the calls of binary files below the folder counted."""
    if "b" not in mode or not disk.below(file):
        return REAL_OPEN(file, mode, buffering, *more, **options)
    opener = None if isinstance(file, int) else (lambda path, flags: os.open(path, flags, 0o666))
    raw = _Raw(file, mode.replace("b", ""), closefd=options.get("closefd", True), opener=opener)
    raw.disk = disk
    if buffering == 0:
        return raw
    return (io.BufferedRandom if "+" in mode else io.BufferedReader if "r" in mode else io.BufferedWriter)(raw)


@contextlib.contextmanager
def watched(disk: Disk) -> Iterator[Disk]:
    """Counts the calls of the block."""

    def by_path(name: str) -> Any:
        real = getattr(os, name)

        def call(path: Any = ".", *more: Any, **options: Any) -> Any:
            if not disk.below(path, options.get("dir_fd")):
                return real(path, *more, **options)
            return disk.count(name, lambda: real(path, *more, **options))

        return call

    def by_descriptor(name: str) -> Any:
        real = getattr(os, name)

        def call(descriptor: int, *more: Any) -> Any:
            if not disk.below(descriptor):
                return real(descriptor, *more)
            short = (more[0], lambda data: real(descriptor, data)) if name in WRITES else (None, None)
            return disk.count(name, lambda: real(descriptor, *more), *short)

        return call

    with contextlib.ExitStack() as stack:
        for name in BY_PATH:
            stack.enter_context(mock.patch.object(os, name, by_path(name)))
        for name in BY_DESCRIPTOR:
            stack.enter_context(mock.patch.object(os, name, by_descriptor(name)))
        stack.enter_context(mock.patch.object(io, "open", functools.partial(_opened, disk)))
        yield disk


def every_fault(
    root: Path, prepare: Callable[[], object], act: Callable[[], Any], *, thorough: bool = True
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """For each I/O call of an act below a folder, and each way that it can fail: what fails, and the act so disturbed.

    Args:
        root: the folder.
        prepare: makes it anew; called before each act.
        act: does the same calls each time.
        thorough: each call fails in every way; else the first of several of a kind in one way, the ways in turn.
    """
    prepare()
    with watched(Disk(root)) as whole:
        act()
    assert len(whole.calls) > 3
    for place, name in enumerate(whole.calls):
        if not thorough and place and whole.calls[place - 1] == name:
            continue
        ways = (*FAILURES, *(SHORT if name == "write" else ()))
        for how in ways if thorough else ways[place % len(ways) :][:1]:
            prepare()

            def disturbed(place: int = place, how: str = how) -> Any:
                with watched(Disk(root, place, how)) as disk:
                    found = act()
                assert len(disk.calls) > place, "it made other calls this time"
                return found

            yield f"{name} {place} {how}", disturbed
