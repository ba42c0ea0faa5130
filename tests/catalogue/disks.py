"""Disks and places that cannot be written, or that fail while they are; inputs that change while they are read."""

import contextlib
import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from catalogue.files import as_nobody
from catalogue.row import Place, Row
from reparam.files import stored
from reparam.jobs import work

ENCODE = "reparam encode AT/bundle AT/x.npy --mean AT/out.npy --device cpu --max-batch 2"


@contextlib.contextmanager
def fails(name: str, number: int, after: int) -> Iterator[None]:
    """A call of os that fails from the so-manieth time on."""
    real, calls = getattr(os, name), [0]

    def call(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] > after:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    with mock.patch.object(os, name, call), mock.patch.object(work, "SYNC_SECONDS", 0.0):
        yield


def failing(name: str, number: int, after: int = 0) -> Callable[[Place], Any]:
    return lambda _: fails(name, number, after)


@contextlib.contextmanager
def small_files(_: Place) -> Iterator[None]:
    """No file may become larger than 300 bytes, as after ulimit -f."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def little_room(_: Place) -> Iterator[None]:
    usage = shutil.disk_usage("/")
    with mock.patch.object(shutil, "disk_usage", return_value=usage._replace(free=2**20 + 100)):
        yield


@contextlib.contextmanager
def before_second_read(act: Callable[[], object]) -> Iterator[None]:
    """Something happens between two reads of an input."""
    real, calls = stored._read_at, [0]

    def read(*arguments: Any) -> int:
        calls[0] += 1
        if calls[0] == 2:
            act()
        return real(*arguments)

    with mock.patch.object(stored, "_read_at", read), mock.patch.object(work, "SYNC_SECONDS", 0.0):
        yield


@contextlib.contextmanager
def restored(place: Place, act: Callable[[], object]) -> Iterator[None]:
    """The same, and the input as it was afterwards."""
    data = (place.at / "x.npy").read_bytes()
    with before_second_read(act):
        yield
    (place.at / "x.npy").write_bytes(data)


def cut_short(place: Place) -> Any:
    return restored(place, lambda: os.truncate(place.at / "x.npy", 128 + 3 * 256 + 5))


def touched(place: Place) -> Any:
    return restored(place, lambda: os.utime(place.at / "x.npy", (1, 1)))


def unwritable(place: Place) -> None:
    place.both()
    (place.at / "closed").mkdir(mode=0o555)


def occupied(place: Place) -> None:
    place.both()
    (place.at / "out.npy.part").write_text("a download")


def strange_journal(place: Place) -> None:
    place.both()
    (place.at / "out.npy.part.json").write_text("{}")


def begun(place: Place) -> None:
    """The part of a run that a full disk ended."""
    from catalogue.door import command, words

    place.both()
    with fails("fsync", errno.ENOSPC, 5):
        assert command(*words(ENCODE, place.at)).code == 5
    assert (place.at / "out.npy.part.json").exists()


def begun_with_other_rows(place: Place) -> None:
    begun(place)
    np.save(place.at / "x.npy", np.ones((5, 1, 8, 8), np.float32))


def _row(key: str, fault: str, message: str, **more: Any) -> Row:
    return Row(
        **{"key": f"disk-{key}", "fault": fault, "way": ENCODE, "message": message, "code": 5, "make": Place.both}
        | more
    )


KEPT = ("out.npy.part", "out.npy.part.json")
ROWS = [
    _row(
        "no-folder",
        "a result in a folder that there is not",
        "AT/nowhere/out.npy: cannot be written (No such file or directory); make the folder first",
        way=ENCODE.replace("out", "nowhere/out"),
    ),
    _row(
        "unwritable",
        "a result in a folder that may not be written to",
        "AT/closed/out.npy: cannot be written (Permission denied); choose a folder you may write to",
        way=ENCODE.replace("out", "closed/out"),
        make=unwritable,
        during=as_nobody,
    ),
    _row(
        "device",
        "a device in place of a result",
        "/dev/full: cannot be written (exists and is no regular file); choose another name",
        way=ENCODE.replace("AT/out.npy", "/dev/full"),
    ),
    _row(
        "room",
        "a result that the disk has no room for",
        "AT/new.npy.part: 2.6 PB are needed and the disk has <n> free; free space or choose another disk",
        way="reparam generate AT/bundle 10000000000000 --seed 7 --out AT/new.npy --device cpu",
    ),
    _row(
        "full",
        "a disk that becomes full",
        "AT/out.npy.part: cannot be written (No space left on device); free space or choose another disk; 2 of 5 rows "
        "are kept, and --resume goes on from them",
        during=failing("fsync", errno.ENOSPC, 5),
        leaves=KEPT,
    ),
    _row(
        "full-at-once",
        "a disk that is full when the first rows are written",
        "AT/out.npy.part: cannot be written (No space left on device); free space or choose another disk",
        during=failing("write", errno.ENOSPC),
    ),
    _row(
        "limit",
        "a limit on the size of files",
        "AT/out.npy.part.json: cannot be written (File too large); raise the limit on the size of files (ulimit -f)",
        during=small_files,
    ),
    _row(
        "broken",
        "a disk that fails when the result gets its name",
        "AT/out.npy: cannot be written (Input/output error); check the path and the disk; 5 of 5 rows are kept, and "
        "--resume goes on from them",
        during=lambda _: _renaming(),
        leaves=KEPT,
    ),
    _row(
        "cut-input",
        "an input that is cut short while it is read",
        "AT/x.npy: was cut short while it was read, row 3 is missing; copy the file again",
        code=4,
        during=cut_short,
    ),
    _row(
        "changed-input",
        "an input that changes while it is read",
        "AT/x.npy: was changed while it was read; run the command again",
        code=4,
        during=touched,
    ),
    _row(
        "broken-input",
        "a disk that fails under an input",
        "AT/x.npy: row 0 cannot be read (Input/output error); check the disk",
        code=4,
        during=failing("preadv", errno.EIO),
    ),
    _row(
        "stranger",
        "somebody's file where the part would lie",
        "AT/out.npy.part: exists, and no journal says what it is; move it away, or remove it",
        code=2,
        make=occupied,
    ),
    _row(
        "journal",
        "a journal that is none",
        "AT/out.npy.part.json: is no journal of reparam's (<reason>); move it away, or remove it",
        code=2,
        make=strange_journal,
    ),
    _row(
        "resume",
        "a resume over other rows than it was begun with",
        "--resume: AT/out.npy.part was begun with another <thing>; ask for what it was begun with, or leave out "
        "--resume to start over",
        way=f"{ENCODE} --resume",
        code=2,
        make=begun_with_other_rows,
    ),
    _row(
        "publish-room",
        "a bundle that the disk has no room for",
        "AT/new: <n> bytes are needed and the disk has 1.0 MB free; free space or choose another disk",
        way='reparam.testing.tiny_bundle("AT/new")',
        error="OutputError",
        during=little_room,
    ),
    _row(
        "publish-full",
        "a disk that becomes full under a bundle that replaces another",
        "AT/bundle: cannot be written (No space left on device); free space or choose another disk",
        way='reparam.testing.tiny_bundle("AT/bundle", seed=1)',
        error="OutputError",
        during=failing("fsync", errno.ENOSPC, 2),
    ),
    _row(
        "publish-foreign",
        "a bundle over a folder that holds something else",
        "AT/mine: is a folder but no bundle, and would be lost; choose another place",
        way='reparam.testing.tiny_bundle("AT/mine")',
        error="OutputError",
        make=lambda place: ((place.at / "mine").mkdir(), (place.at / "mine" / "thesis.txt").write_text("mine")),
    ),
    _row(
        "stdout",
        "a full device behind stdout",
        "output: No space left on device; check the path and the disk",
        way="reparam info AT/bundle",
        during=lambda _: _full_stdout(),
    ),
]  # fmt: skip


@contextlib.contextmanager
def _renaming() -> Iterator[None]:
    real = os.replace

    def replace(old: Any, new: Any) -> None:
        if str(new).endswith("out.npy"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(old, new)

    with mock.patch.object(os, "replace", replace):
        yield


@contextlib.contextmanager
def _full_stdout() -> Iterator[None]:
    """Whatever is written to stdout meets a full device."""
    import click

    real = click.echo

    def echo(message: Any = None, **options: Any) -> None:
        if not options.get("err"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(message, **options)

    with mock.patch.object(click, "echo", echo):
        yield
