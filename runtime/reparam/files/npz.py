"""The .npz archives of numpy: a zip file of .npy files, read by the same rules as these, and without pickle."""

import contextlib
import lzma
import math
import zipfile
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam.files.npy import read_header
from reparam.files.regular import open_regular

_CHUNK: Final = 2**20
BROKEN: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)
"""What zipfile raises for archives that are none, or damaged, or packed in a way that it does not know."""


@contextlib.contextmanager
def opened(path: Path) -> Generator[zipfile.ZipFile]:
    """An archive in a regular file; raises what zipfile and `open_regular` do."""
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        yield archive


def names(archive: zipfile.ZipFile) -> list[str]:
    """Of its arrays."""
    return [name.removesuffix(".npy") for name in archive.namelist()]


def member(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """One array, read-only; no more is read than a byte past what its header promises, and only that is allocated.

    Raises:
        KeyError: no such array.
        ValueError: no .npy file of numbers, or with fewer or more bytes than its header promises.
    """
    stored = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
    values = bytearray()
    with archive.open(stored) as file:
        dtype, fortran, shape = read_header(file)
        promised = dtype.itemsize * math.prod(shape)
        left = promised + 1
        while left and (piece := file.read(min(left, _CHUNK))):
            values += piece
            left -= len(piece)
    if left != 1:
        found = len(values) if left else f"more than {promised}"
        raise ValueError(f"its header promises {promised} bytes of values, it has {found}")
    array = np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")
    array.flags.writeable = False
    return array
