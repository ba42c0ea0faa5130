"""The idx format of MNIST: a big-endian header, then unsigned bytes. Strict: what is not exactly that is refused.

Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits", section "File formats".
Two zero bytes, a type code (8 for unsigned bytes), the number of dimensions, each size as a 32-bit integer, the values.
"""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Final

import numpy as np
import numpy.typing as npt

from reparam.arrays import RowSource
from reparam.errors import InputError, InputNotFound
from reparam.files.regular import open_regular
from reparam.files.stored import Stored
from reparam_train.data.paging import held

_UNSIGNED_BYTE: Final = 8
_CHUNK: Final = 2**20


def read(path: Path, *, ndim: int) -> RowSource:
    """The array of an idx file, or of a gzipped one where the name ends in .gz.

    Args:
        path: the file.
        ndim: dimensions it must have: 3 for images, 1 for labels.

    Returns:
        uint8, read-only; a large file that is not compressed stays where it is, to be read row by row.

    Raises:
        InputNotFound: no such file.
        InputError: another type, other dimensions, fewer or more bytes than the header says, or broken compression.
    """
    try:
        with open_regular(path) as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=file) as unpacked:
                    return _from_stream(path, unpacked, ndim)
            shape = _header(path, file, ndim)
            offset = file.tell()
            _check_length(path, shape, os.fstat(file.fileno()).st_size - offset)
            return held(Stored(path, file, dtype=np.dtype(np.uint8), shape=shape, offset=offset, fortran=False))
    except FileNotFoundError:
        raise InputNotFound(f"{path}: no such file; give an idx or idx.gz file") from None
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise InputError(f"{path}: cannot be read ({error}); fetch or copy the file again") from None


def _header(path: Path, file: IO[bytes] | gzip.GzipFile, ndim: int) -> tuple[int, ...]:
    """The sizes, from the start of the file; none may be 0."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0":
        raise InputError(f"{path}: not an idx file, it must start with two zero bytes, got {start.hex() or 'nothing'}")
    if start[2] != _UNSIGNED_BYTE:
        raise InputError(f"{path}: idx type must be 0x08 (unsigned bytes), got {start[2]:#04x}; convert it to .npy")
    if start[3] != ndim:
        what = "images" if ndim == 3 else "labels"
        raise InputError(f"{path}: idx {what} must have {ndim} dimension(s), got {start[3]}; are files mixed up?")
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise InputError(f"{path}: cut short within the header; fetch or copy the file again")
    shape: tuple[int, ...] = struct.unpack(f">{ndim}I", sizes)
    if not all(shape):
        raise InputError(f"{path}: sizes must be at least 1, got {list(shape)}")
    return shape


def _check_length(path: Path, shape: tuple[int, ...], found: int) -> None:
    if found != math.prod(shape):
        raise InputError(
            f"{path}: {list(shape)} needs {math.prod(shape)} bytes of values, got {found}; fetch or copy the file again"
        )


def _from_stream(path: Path, file: IO[bytes] | gzip.GzipFile, ndim: int) -> npt.NDArray[np.uint8]:
    """Reads no further than one byte past what the header promises, and allocates only what really comes."""
    shape = _header(path, file, ndim)
    left, values = math.prod(shape) + 1, bytearray()
    while left and (piece := file.read(min(left, _CHUNK))):
        values += piece
        left -= len(piece)
    _check_length(path, shape, len(values))
    array = np.frombuffer(values, np.uint8).reshape(shape)
    array.flags.writeable = False
    return array
