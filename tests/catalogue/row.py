"""A row of the catalogue, and the folder that its fault is brought about in."""

import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from reparam.errors import printable
from reparam.testing import tiny_bundle

ROWS = 5


@dataclasses.dataclass
class Place:
    """A folder with whatever a row needs in it, made when it is asked for.

    Attributes:
        at: the folder, as the way in names it.
    """

    at: Path

    def bundle(self, name: str = "bundle", **options: Any) -> Path:
        """A small good bundle of images [1, 8, 8]."""
        return tiny_bundle(self.at / name, **options)

    def rows(self, name: str = "x.npy", n: int = ROWS) -> np.ndarray[Any, Any]:
        """A good file of rows, and the rows."""
        x = np.random.default_rng(7).random((n, 1, 8, 8), np.float32)
        np.save(self.at / name, x)
        return x

    def both(self, n: int = ROWS) -> np.ndarray[Any, Any]:
        """A good bundle, a good file of rows, and an old result at out.npy."""
        self.bundle()
        (self.at / "out.npy").write_bytes(b"old")
        return self.rows(n=n)

    def manifest(self, change: Callable[[Any], object]) -> None:
        """A bundle whose manifest was changed, its files' sizes and hashes made right again."""
        place = self.bundle() / "manifest.json"
        manifest = json.loads(place.read_bytes())
        change(manifest)
        place.write_text(json.dumps(manifest))

    def graph(self, data: bytes, role: str = "encoder") -> None:
        """A bundle with another graph, its size and hash in the manifest."""

        def entered(manifest: Any) -> None:
            (entry,) = (graph for graph in manifest["graphs"] if graph["role"] == role)
            entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

        self.manifest(entered)
        (self.at / "bundle" / f"{role}.onnx").write_bytes(data)


def nothing(_: Place) -> None:
    """Nothing has to be made."""


def undisturbed(_: Place) -> AbstractContextManager[object]:
    """Nothing happens beside the way in."""
    return contextlib.nullcontext()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A fault, the way in that meets it, and how it ends.

    Attributes:
        key: short, the row's name among those of its group.
        fault: in words.
        way: a command, `reparam ...`, or Python after `import reparam`; AT is the folder.
        message: the one line, without `error: `; AT is the folder, <words> what differs from case to case.
        code: the exit code; of Python that of the exception's class.
        error: of Python, the exception's class.
        make: makes what is needed in the folder.
        during: what happens beside the way in: a disk that fails, a signal, another process.
        leaves: files that may be there afterwards and were not before.
    """

    key: str
    fault: str
    way: str
    message: str
    code: int
    error: str = ""
    make: Callable[[Place], object] = nothing
    during: Callable[[Place], AbstractContextManager[object]] = undisturbed
    leaves: tuple[str, ...] = ()

    def fits(self, message: str, at: Path) -> bool:
        """Whether a line is the one that this row foretells."""
        pattern = re.sub(r"<[a-z\\ ]+>", ".+", re.escape(self.message))
        here = re.escape(printable(str(at)))
        there = here if at.is_absolute() else rf"(?:\./)?{here}"  # some ways keep the ./ of a relative folder
        return re.fullmatch(pattern.replace("AT/", f"{there}/"), message) is not None
