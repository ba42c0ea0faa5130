"""Where training data come from: a built-in by name, a file by its suffix, a folder, or a function by its name."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from reparam.arrays import RowSource
from reparam.errors import InputError, InputNotFound, OptionError
from reparam.files import npy
from reparam_train import functions
from reparam_train.data import function, idx, images, npz, table
from reparam_train.data.arrays import Arrays, as_data
from reparam_train.data.columns import Choice, Column
from reparam_train.data.paging import held
from reparam_train.data.reading import TEST_EVERY, Reading, RowLayout
from reparam_train.data.split import Data


def load(
    source: str | Path,
    *,
    test_every: int | None = None,
    layout: RowLayout | None = None,
    columns: tuple[Column, ...] | Mapping[str, Choice] = (),
) -> Data:
    """The training and test split of a source, as stored; nothing is converted before a batch is asked for.

    Args:
        source: one of
            "digits", built in;
            a folder with train-images-idx3-ubyte and t10k-images-idx3-ubyte, each plain or .gz, labels optional (or the
            path of one of these files);
            a .npy file of float32, float64 or uint8 rows, [n, features], [n, height, width] or
            [n, channels, height, width], read row by row where it is larger than 256 MB;
            a .npz file with such rows as x_train and x_test, or x, or alone (see npz.py for more names);
            a .csv file with a header, or a .parquet file (extra `parquet`): a table, whose numbers become gaussian
            columns, 0 and 1 alone bernoulli ones, and texts categorical ones, one-hot;
            a folder of .png, .jpg, .bmp, .webp or .tif images of one size (extra `images`), those in its folders
            `train` and `test` where it has both; decoded once into a cache, $REPARAM_CACHE or ~/.cache/reparam;
            "module:function", which is called without arguments and returns an array, (train, test) or `Data`.
            uint8 is divided by 255, other values are taken as they are. A built-in's name wins over a file of the same
            name; write "./digits" for the file.
        test_every: of a source without a split of its own, rows N - 1, 2 N - 1, ... are the test split; left out, 10.
        layout: what the axes of a row are: "features", "signal" or "image"; left out, their number says it.
        columns: of a table: what some are by name, "gaussian", "bernoulli", "categorical" or "drop", where the rest is
            guessed; or all that are to be read, exactly.

    Returns:
        The data; `name` is the built-in's or function's name, or the last part of the path.

    Raises:
        InputNotFound: no such file, folder, module or function, or a file that a folder must hold.
        InputError: malformed, of a shape that is not above, too few rows, or not finite (first row and column named).
        InputTypeError: rows of another dtype.
        MissingExtra: the package that reads such a source is not installed.
        OutputError: the cache cannot be written.
        OptionError: `test_every`, `layout` or `columns` out of range, or not for such a source.
    """
    reading = Reading(test_every=TEST_EVERY if test_every is None else test_every, layout=layout)
    found = load_as(source, reading, columns)
    if test_every is not None and found.reading.test_every != test_every:
        raise OptionError(f"test_every: {source} has a test split of its own, got {test_every}; leave test_every out")
    if layout is not None and found.reading.layout != layout:
        raise OptionError(f"layout: {source} returns Data, which has its layout, got {layout}; leave layout out")
    if columns and _suffix(source) not in _TABLES:
        raise OptionError(f"column: {source} is no .csv or .parquet file, whose columns have names; leave column out")
    return found


def load_as(source: str | Path, reading: Reading, columns: tuple[Column, ...] | Mapping[str, Choice] = ()) -> Data:
    """As `load`, by the reading and columns of a run, which are left aside where such a source has no use for them."""
    path = Path(source)
    if _suffix(source) in _TABLES and path.exists() and not path.is_dir():
        return table.read(_TABLES[_suffix(path)](path), name=path.name, reading=reading, wanted=columns)
    return _read(source, reading)


def _suffix(source: str | Path) -> str:
    """In small letters, as some systems write .CSV."""
    return Path(source).suffix.lower()


def _read(source: str | Path, reading: Reading) -> Data:
    if source in _BUILT_IN:
        return _BUILT_IN[str(source)](reading)
    path = Path(source)
    if not path.exists():
        if functions.is_name(str(source)):
            return function.read(str(source), reading)
        raise InputNotFound(f"{source}: no such file or folder; give {', '.join(_BUILT_IN)}, a file or a folder")
    if path.is_dir():
        return _from_folder(path, reading)
    if _suffix(path) in _SUFFIXES:
        return _SUFFIXES[_suffix(path)](path, reading)
    if "idx3-ubyte" in path.name:
        return _from_idx(path.parent, path.parent.resolve().name, reading)
    known = ", ".join((*_SUFFIXES, *_TABLES))
    raise InputError(f"{path}: must be a {known} file or a folder, got {path.suffix or 'no'} suffix; convert it")


def digits(reading: Reading) -> Data:
    """The built-in handwritten digits (see digits.md): 1,498 and 299 images, (1, 8, 8), grey values in [0, 1]."""
    with files("reparam_train.data").joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        arrays = Arrays(stored["train_x"], stored["test_x"], stored["train_y"], stored["test_y"])
    return as_data(arrays, name="digits", source="digits", reading=reading, scale=16)


_BUILT_IN: Final[dict[str, Callable[[Reading], Data]]] = {"digits": digits}


_PARTS: Final = ("train", "t10k")


def _from_idx(folder: Path, name: str, reading: Reading) -> Data:
    """MNIST and what is stored like it."""
    (train, train_labels), (test, test_labels) = (_idx_part(folder, part) for part in _PARTS)
    arrays = Arrays(train, test, train_labels, test_labels)
    return as_data(arrays, name=name, source=str(folder), reading=reading)


def _idx_part(folder: Path, part: str) -> tuple[RowSource, npt.NDArray[np.uint8] | None]:
    """Images and labels of "train" or "t10k"."""
    images_file = _find(folder, f"{part}-images", "idx3-ubyte")
    if images_file is None:
        raise InputNotFound(f"{folder}: no {part}-images-idx3-ubyte or {part}-images-idx3-ubyte.gz in this folder")
    images = idx.read(images_file, ndim=3)
    labels_file = _find(folder, f"{part}-labels", "idx1-ubyte")
    labels = None if labels_file is None else np.asarray(idx.read(labels_file, ndim=1), np.uint8)
    if labels is not None and len(labels) != len(images):
        raise InputError(f"{labels_file}: needs one label an image, got {len(labels)} for {len(images)} images")
    return images, labels


def _find(folder: Path, stem: str, kind: str) -> Path | None:
    """The first of stem-kind, stem-kind.gz, stem.kind, stem.kind.gz that is there; some archives unpack with a dot."""
    names = (f"{stem}{separator}{kind}{suffix}" for separator in "-." for suffix in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _from_folder(folder: Path, reading: Reading) -> Data:
    """Images in the idx format where there are some, else images."""
    name = folder.resolve().name
    if any(_find(folder, f"{part}-images", "idx3-ubyte") for part in _PARTS):
        return _from_idx(folder, name, reading)
    if not images.holds_images(folder):
        raise InputNotFound(f"{folder}: no train-images-idx3-ubyte or .gz and no images such as .png in this folder")
    return as_data(images.read(folder), name=name, source=str(folder), reading=reading)


def _from_npy(path: Path, reading: Reading) -> Data:
    return as_data(Arrays(held(npy.read(path))), name=path.name, source=str(path), reading=reading)


def _from_npz(path: Path, reading: Reading) -> Data:
    return as_data(npz.read(path), name=path.name, source=str(path), reading=reading)


_SUFFIXES: Final[dict[str, Callable[[Path, Reading], Data]]] = {".npy": _from_npy, ".npz": _from_npz}


def _csv(path: Path) -> table.Table:
    from reparam_train.data.csv_table import CsvTable

    return CsvTable(path)


def _parquet(path: Path) -> table.Table:
    from reparam_train.data.parquet_table import ParquetTable

    return ParquetTable(path)


_TABLES: Final[dict[str, Callable[[Path], table.Table]]] = {".csv": _csv, ".parquet": _parquet}
