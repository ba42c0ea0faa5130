"""The .npz archives of numpy: a zip file of .npy files, read strictly and without pickle."""

import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam.errors import InputError, InputNotFound
from reparam.files import npz
from reparam_train.data.arrays import Arrays, checked_labels

# training rows, test rows and their labels, as keras' mnist.npz, this project's digits and MedMNIST call them
_PAIRS: Final = (
    ("x_train", "x_test", "y_train", "y_test"),
    ("train_x", "test_x", "train_y", "test_y"),
    ("train_images", "test_images", "train_labels", "test_labels"),
)


def read(path: Path) -> Arrays:
    """The rows of an archive, in memory, and their labels where they are whole numbers from 0 to 255.

    Args:
        path: holds x_train and x_test; or train_x and test_x; or train_images and test_images; or x; or one array
            alone. y_train, y_test; train_y, test_y; train_labels, test_labels; y are labels.

    Raises:
        InputNotFound: no such file.
        InputError: not a zip file of .npy files, none of these names, an array of Python objects, or an array with
            fewer or more bytes than its header promises.
    """
    try:
        with npz.opened(path) as archive:
            names = npz.names(archive)
            for train, test, *labels in _PAIRS:
                if train in names and test in names:
                    found = [_labels(path, archive, name, names) for name in labels]
                    return Arrays(_member(path, archive, train), _member(path, archive, test), *found)
            alone = "x" if "x" in names else names[0] if len(names) == 1 else None
            if alone is None:
                raise InputError(
                    f"{path}: must hold x_train and x_test, or x, or one array alone, "
                    f"got {', '.join(names[:10]) or 'nothing'}; rename its arrays"
                )
            return Arrays(_member(path, archive, alone), None, _labels(path, archive, "y", names))
    except FileNotFoundError:
        raise InputNotFound(f"{path}: no such file; give a .npz file") from None
    except (OSError, *npz.BROKEN) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: not a readable .npz file ({reason}); write it with numpy.savez") from None


def _labels(path: Path, archive: zipfile.ZipFile, name: str, names: list[str]) -> npt.NDArray[np.uint8] | None:
    """Labels [n], from [n] or [n, 1]; None where there are none or they are no small whole numbers."""
    if name not in names:
        return None
    found = _member(path, archive, name)
    try:
        return checked_labels(name, found.reshape(len(found)) if found.shape[1:] == (1,) else found)
    except InputError:
        return None


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    try:
        return npz.member(archive, name)
    except ValueError as error:
        raise InputError(f"{path}: {name} is not a readable array ({error}); write it with numpy.savez") from None
