"""Where training data come from: a built-in by name, a folder of idx files, or a .npy file."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam.errors import InputError, InputNotFound, InputTypeError
from reparam.files import npy
from reparam_train.data import idx
from reparam_train.data.split import Data, Layout, Split

_TEST_EVERY: Final = 10  # of a .npy: rows 9, 19, 29 ... are the test split


def load(source: str | Path) -> Data:
    """The training and test split of a source, as stored; nothing is converted before a batch is asked for.

    Args:
        source: "digits"; a folder with train-images-idx3-ubyte and t10k-images-idx3-ubyte, each plain or .gz, labels
            optional (or the path of one of these files); or a .npy file of float32, float64 or uint8 rows:
            [n, features], [n, height, width], or [n, channels, height, width]. uint8 is divided by 255, other values
            are taken as they are; rows with index % 10 == 9 are the test split. A built-in's name wins over a file of
            the same name; write "./digits" for the file.

    Returns:
        The data; `name` is the built-in's name, or the last part of the path.

    Raises:
        InputNotFound: no such file or folder, or one that a folder must hold.
        InputError: malformed, of a shape that is not above, too few rows, or not finite (first row and column named).
        InputTypeError: a .npy of another dtype.
    """
    if source in _BUILT_IN:
        return _BUILT_IN[str(source)]()
    path = Path(source)
    if not path.exists():
        raise InputNotFound(f"{source}: no such file or folder; give {', '.join(_BUILT_IN)}, a .npy or an idx folder")
    if path.is_dir():
        return _from_idx(path, path.resolve().name)
    if path.suffix == ".npy":
        return _from_npy(path)
    if "idx3-ubyte" in path.name:
        return _from_idx(path.parent, path.parent.resolve().name)
    raise InputError(f"{path}: must be a .npy file or a folder of idx files, got {path.suffix or 'no'} suffix")


def digits() -> Data:
    """The built-in handwritten digits (see digits.md): 1,498 and 299 images, (1, 8, 8), grey values in [0, 1]."""
    with files("reparam_train.data").joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        splits = [_all("digits", stored[f"{part}_x"], 16, stored[f"{part}_y"]) for part in ("train", "test")]
    return Data("digits", splits[0], splits[1], 0.0, 1.0, "channels_first")


_BUILT_IN: Final[dict[str, Callable[[], Data]]] = {"digits": digits}


def _all(source: str, images: npt.NDArray[np.uint8], scale: float, labels: npt.NDArray[np.uint8] | None) -> Split:
    """Every image [n, height, width], as one channel."""
    return Split(source, images, np.arange(len(images)), (1, *images.shape[1:]), scale, labels)


def _from_idx(folder: Path, name: str) -> Data:
    """MNIST and what is stored like it."""
    train, test = (_idx_split(folder, part) for part in ("train", "t10k"))
    if train.shape != test.shape:
        raise InputError(
            f"{folder}: training and test images must have one size, got {list(train.shape)} and {list(test.shape)}"
        )
    return Data(name, train, test, 0.0, 1.0, "channels_first")


def _idx_split(folder: Path, part: str) -> Split:
    images_file = _find(folder, f"{part}-images", "idx3-ubyte")
    if images_file is None:
        raise InputNotFound(f"{folder}: no {part}-images-idx3-ubyte or {part}-images-idx3-ubyte.gz in this folder")
    images = idx.read(images_file, ndim=3)
    labels_file = _find(folder, f"{part}-labels", "idx1-ubyte")
    labels = None if labels_file is None else idx.read(labels_file, ndim=1)
    if labels is not None and len(labels) != len(images):
        raise InputError(f"{labels_file}: needs one label an image, got {len(labels)} for {len(images)} images")
    return _all(str(images_file), images, 255, labels)


def _find(folder: Path, stem: str, kind: str) -> Path | None:
    """The first of stem-kind, stem-kind.gz, stem.kind, stem.kind.gz that is there; some archives unpack with a dot."""
    names = (f"{stem}{separator}{kind}{suffix}" for separator in "-." for suffix in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _from_npy(path: Path) -> Data:
    """Rows of an array file; every tenth is a test row."""
    array = npy.read(path)
    _check_dtype(path, array.dtype)
    shape, layout = _row_shape(path, array)
    if len(array) < _TEST_EVERY:
        raise InputError(f"{path}: needs at least {_TEST_EVERY} rows, as every tenth is a test row, got {len(array)}")
    is_test = np.arange(len(array)) % _TEST_EVERY == _TEST_EVERY - 1
    integers = array.dtype == np.uint8
    train, test = (
        Split(str(path), array, np.flatnonzero(rows), shape, 255.0 if integers else 1.0) for rows in (~is_test, is_test)
    )
    if not integers:
        Split(str(path), array, np.arange(len(array)), shape).check()
    low, high = (0.0, 1.0) if integers else (None, None)
    return Data(path.name, train, test, low, high, layout)


def _check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype != np.uint8 and not (dtype.kind == "f" and dtype.itemsize in (4, 8)):
        raise InputTypeError(f"{path}: must hold float32, float64 or uint8, got {dtype}; convert it with numpy.astype")


def _row_shape(path: Path, array: npt.NDArray[Any]) -> tuple[tuple[int, ...], Layout]:
    """The shape of a row as models see it, from the array's own."""
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        raise InputError(
            f"{path}: must be [n, features], [n, height, width] or [n, channels, height, width], "
            f"got {list(array.shape)}"
        )
    if array.ndim == 2:
        return array.shape[1:], "features"
    return (1, *array.shape[1:])[-3:], "channels_first"
