"""Arrays in .npy files: the header read by strict rules of our own, rows when they are asked for, atomic when written.

numpy's header parser evaluates before it checks sizes; here a header is short, plain, and promises exactly the bytes
that follow. Source: numpy.lib.format, "Format Version 1.0" to 3.0.
"""

import ast
import io
import math
import os
import struct
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
import numpy.typing as npt

from reparam.errors import InputError, InputNotFound
from reparam.files.atomic import atomic_file
from reparam.files.regular import open_regular
from reparam.files.stored import Stored

_MAGIC: Final = b"\x93NUMPY"
_MAX_HEADER: Final = 4096
_MAX_DIMENSIONS: Final = 32


def read_header(file: IO[bytes]) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """Dtype, Fortran order and shape of a .npy file that is open at its start; leaves it open at the first value.

    Raises:
        ValueError: not a .npy header, longer than 4 KiB, of Python objects or records, or with impossible sizes.
    """
    start = file.read(8)
    if len(start) < 8 or start[:6] != _MAGIC or start[6] not in (1, 2, 3):
        raise ValueError("it does not start as a .npy file does")
    width, form = (2, "<H") if start[6] == 1 else (4, "<I")
    size = file.read(width)
    if len(size) < width or struct.unpack(form, size)[0] > _MAX_HEADER:
        raise ValueError(f"its header must have at most {_MAX_HEADER} bytes")
    text = file.read(struct.unpack(form, size)[0])
    try:
        header: object = ast.literal_eval(text.decode("utf-8").strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise ValueError("its header is no plain dictionary") from None
    header = cast("dict[str, object]", header) if isinstance(header, dict) else {}
    if set(header) != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header must have descr, fortran_order and shape")
    return _dtype(header["descr"]), _flag(header["fortran_order"]), _shape(header["shape"])


def _dtype(descr: object) -> np.dtype[Any]:
    try:
        dtype = np.dtype(descr) if isinstance(descr, str) else None
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or dtype.hasobject or dtype.kind not in "biufc":
        raise ValueError(f"its values must be numbers, got {descr!r:.80}")
    return dtype


def _flag(value: object) -> bool:
    if value is not True and value is not False:
        raise ValueError(f"fortran_order must be True or False, got {value!r:.80}")
    return value


def _shape(value: object) -> tuple[int, ...]:
    sizes = cast("tuple[object, ...]", value) if isinstance(value, tuple) else None
    if sizes is None or len(sizes) > _MAX_DIMENSIONS:
        raise ValueError(f"shape must be a tuple of at most {_MAX_DIMENSIONS} sizes, got {value!r:.80}")
    found = tuple(_size(size) for size in sizes)
    if math.prod(size or 1 for size in found) >= 2**56:  # beyond what numpy can hold, of no values too
        raise ValueError(f"its sizes must multiply to less than 2^56, got {value!r:.80}")
    return found


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**48:
        raise ValueError(f"a size must be from 0 to 2^48 - 1, got {value!r:.80}")
    return value


def _check_length(found: int, promised: int) -> None:
    if found != promised:
        raise ValueError(f"its header promises {promised} bytes of values, it has {found}")


def read(path: Path) -> Stored:
    """The array of a .npy file, open and not yet read: its rows are, when they are asked for.

    Args:
        path: a .npy file of numbers.

    Returns:
        What slices give rows of; numpy.asarray reads it whole.

    Raises:
        InputNotFound: no such file.
        InputError: not a regular .npy file of numbers, or with fewer or more bytes than its header promises.
    """
    try:
        with open_regular(path) as file:
            dtype, fortran, shape = read_header(file)
            offset = file.tell()
            _check_length(os.fstat(file.fileno()).st_size - offset, dtype.itemsize * math.prod(shape))
            return Stored(path, file, dtype=dtype, shape=shape, offset=offset, fortran=fortran)
    except FileNotFoundError:
        raise InputNotFound(f"{path}: no such file; give a .npy file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: not a readable .npy file ({reason}); write it with numpy.save") from None


def header_of(dtype: npt.DTypeLike, shape: tuple[int, ...]) -> bytes:
    """What comes before the values of a .npy file in C order, as numpy.save writes it."""
    with io.BytesIO() as file:
        described = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, described)
        return file.getvalue()


def write(path: Path, array: npt.NDArray[Any]) -> None:
    """Writes an array as .npy, whole or not at all; `OutputError` where that fails."""
    with atomic_file(path, nbytes=array.nbytes) as file:
        np.save(file, array, allow_pickle=False)
