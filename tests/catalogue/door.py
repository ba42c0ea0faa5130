"""The public door: a row's command or Python run in this process, with everything that it prints, at any depth."""

import contextlib
import dataclasses
import os
import shlex
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO
from unittest import mock

import numpy as np

import reparam
from catalogue.row import Place, Row
from reparam.cli.main import main
from reparam.errors import ReparamError


@dataclasses.dataclass(frozen=True)
class Ended:
    """How it ended: exit code, stdout and stderr, and the exception's class where Python raised one."""

    code: int
    out: str
    err: str
    error: str = ""


@contextlib.contextmanager
def captured() -> Iterator[list[str]]:
    """Takes stdout and stderr, of C libraries too; both are in the list once the block has ended."""
    texts: list[str] = []
    with contextlib.ExitStack() as stack:
        files: list[TextIO] = []
        descriptors: list[int] = []
        for number, name in ((1, "stdout"), (2, "stderr")):
            getattr(sys, name).flush()
            own: Any = getattr(sys, name)
            form = {"encoding": own.encoding or "utf-8", "errors": own.errors or "strict"}
            file = stack.enter_context(tempfile.TemporaryFile("w+", **form))
            descriptors.append(os.dup(file.fileno()))  # main may point the file's own elsewhere
            stack.callback(os.close, descriptors[-1])
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(file.fileno(), number)
            stack.enter_context(mock.patch.object(sys, name, file))
            files.append(file)
        yield texts
        for file, descriptor in zip(files, descriptors, strict=True):
            file.flush()
            data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            texts.append(data.decode(file.encoding, "backslashreplace"))


def command(*words: str) -> Ended:
    """`reparam` with these words, as `main` runs it; what it does not expect comes out as the exception it is."""
    code: Any = None
    package = mock.patch.object(sys.modules["__main__"], "__package__", None)  # else click names pytest in its hints
    argv = mock.patch.object(sys, "argv", ["reparam", *words])
    with captured() as texts, package, argv, warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    return Ended(int(code or 0), *texts)


def python(code: str, at: Path) -> Ended:
    """Python code, with what it most often needs at hand."""
    names: dict[str, Any] = {"reparam": reparam, "np": np, "AT": f"{at}/"}
    if "vae" in code:
        names["vae"] = reparam.load(at / "bundle", device="cpu", threads=1)
        names["x"] = np.load(at / "x.npy")
    raised = ""
    number = 0
    with captured() as texts, warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            exec(code, names)
        except ReparamError as error:
            number, raised = error.exit_code, type(error).__name__
            print(f"error: {error}", file=sys.stderr)
    return Ended(number, *texts, raised)


def words(way: str, at: Path) -> list[str]:
    """The words after `reparam`, in a folder."""
    there = f"{at}/" if at.is_absolute() else f"./{at}/"  # which is no option, whatever it begins with
    return [word.replace("AT/", there) for word in shlex.split(way)[1:]]


def run(row: Row, at: Path) -> Ended:
    """A row's way in, in a folder where its fault was made."""
    if row.way.startswith("reparam "):
        return command(*words(row.way, at))
    return python(row.way.replace('"AT/', 'AT + "'), at)


def wrong(row: Row, at: Path) -> str | None:
    """Makes a row's fault in an empty folder, goes its way in, and tells what is not as the row says; None if all is.

    One line on stderr that is the row's, the exit code, nothing on stdout, and every file as it was.
    """
    place = Place(at)
    row.make(place)
    before = contents(at)
    with row.during(place):
        ended = run(row, at)
    after = contents(at)
    new = {name for name in after if name not in before} - set(row.leaves)
    found = []
    if ended.out:
        found.append(f"stdout {ended.out!r}")
    line = ended.err.removesuffix("\n")
    if not line.startswith("error: ") or "\n" in line or not line.isprintable():
        found.append(f"stderr {ended.err!r} is no line of an error")
    if not row.fits(line.removeprefix("error: "), at):
        found.append(f"message {line!r}, not {row.message!r}")
    if (ended.code, ended.error) != (row.code, row.error):
        found.append(f"code {ended.code} {ended.error}, not {row.code} {row.error}")
    if new:
        found.append(f"left {sorted(new)}")
    if any(after.get(name) != data for name, data in before.items()):
        found.append("a file is not as it was")
    return "; ".join(found) or None


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder by its name, with its bytes where it is a regular one."""
    found: dict[str, bytes | None] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        try:
            found[name] = path.read_bytes() if path.is_file() else None
        except OSError:  # made unreadable by the row
            found[name] = None
    return found
