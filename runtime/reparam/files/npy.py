"""Arrays in .npy files: mapped when read, atomic when written."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from reparam.errors import InputError, InputNotFound
from reparam.files.atomic import atomic_file


def read(path: Path) -> npt.NDArray[Any]:
    """The array of a .npy file, memory-mapped read-only, so that opening costs nothing.

    Args:
        path: a .npy file without pickled objects.

    Returns:
        An array of the file's own dtype and shape, not yet read from disk.

    Raises:
        InputNotFound: no such file.
        InputError: not a .npy file, cut short, or one of Python objects.
    """
    try:
        array: object = np.load(path, mmap_mode=None if _is_empty(path) else "r", allow_pickle=False)
    except FileNotFoundError:
        raise InputNotFound(f"{path}: no such file; give a .npy file") from None
    except (OSError, ValueError, EOFError, SyntaxError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not a readable .npy file ({reason}); write it with numpy.save") from None
    if not isinstance(array, np.ndarray):  # np.load also opens .npz archives
        raise InputError(f"{path}: holds several arrays; save the one you mean with numpy.save")
    return cast("npt.NDArray[Any]", array)


def _is_empty(path: Path) -> bool:
    """Whether a .npy file holds no values, which cannot be mapped."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return 0 in reader(file)[0]


def write(path: Path, array: npt.NDArray[Any]) -> None:
    """Writes an array as .npy, whole or not at all; `OutputError` where that fails."""
    with atomic_file(path) as file:
        np.save(file, array, allow_pickle=False)
