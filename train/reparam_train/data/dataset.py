"""A torch-style Dataset, or any iterable of rows, read once into an array."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from reparam.errors import InputError, InputTypeError
from reparam_train.data.arrays import Arrays, as_data, checked_labels
from reparam_train.data.reading import TEST_EVERY, Reading, RowLayout
from reparam_train.data.split import Data


@runtime_checkable
class Dataset(Protocol):
    """What torch.utils.data.Dataset promises: a length, and items by number."""

    def __len__(self) -> int:
        """How many rows."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """A row, or a pair of a row and its label."""
        ...


Rows = Dataset | Iterable[Any]


def from_dataset(
    dataset: Rows,
    test: Rows | None = None,
    *,
    name: str = "dataset",
    layout: RowLayout | None = None,
    test_every: int = TEST_EVERY,
) -> Data:
    """Every row of a Dataset or iterable, read once, one after another, into an array in memory.

    Args:
        dataset: gives rows, or (row, label) pairs: arrays, tensors or sequences of one shape, uint8 or floats; labels
            are kept where all are whole numbers from 0 to 255. A row has one axis or more; images are
            (height, width) or (channels, height, width).
        test: the same for the test split; left out, every `test_every`-th row is.
        name: what to call it, in run.json too.
        layout: what the axes of a row are; left out, their number says it.
        test_every: without `test`, rows N - 1, 2 N - 1 ... are the test split.

    Returns:
        The data, for `config_for` and `fit`. Floats become float32.

    Raises:
        InputError: no rows, a row of another shape than the first (its number is named), or what `from_arrays` refuses.
        InputTypeError: a row that is neither uint8 nor floats.

    Examples:
        >>> data = from_dataset([([0.5, 1.0, 2.0], 7)] * 20)
        >>> data.shape, data.test.labels
        ((3,), array([7, 7], dtype=uint8))
    """
    train, labels = _read(name, dataset)
    held_out, held_out_labels = (None, None) if test is None else _read(f"{name}, test", test)
    arrays = Arrays(train, held_out, labels, held_out_labels)
    return as_data(arrays, name=name, source=name, reading=Reading(test_every=test_every, layout=layout))


def _read(name: str, dataset: Rows) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]:
    """All rows [n, ...], and labels [n] where each row has one that is a small whole number."""
    rows: list[npt.NDArray[Any]] = []
    labels: list[Any] = []
    for item in _items(dataset):
        value, label = _pair(item)
        row = _row(name, len(rows), value)
        if rows and (row.shape != rows[0].shape or row.dtype != rows[0].dtype):
            raise InputError(
                f"{name}: rows must have one shape and dtype, {list(rows[0].shape)} {rows[0].dtype} in row 0, "
                f"got {list(row.shape)} {row.dtype} in row {len(rows)}; make them alike"
            )
        rows.append(row)
        labels.append(label)
    if not rows:
        raise InputError(f"{name}: must give at least one row, got none")
    return np.stack(rows), _labels(labels)


def _items(dataset: Rows) -> Iterator[Any]:
    """Items by number where there are numbers: a Dataset need not say where iteration ends."""
    if isinstance(dataset, Dataset):
        return (dataset[index] for index in range(len(dataset)))
    try:
        return iter(dataset)
    except TypeError:
        found = type(dataset).__qualname__
        raise InputTypeError(f"dataset: must have a length and items, or be iterable, got {found}") from None


def _pair(item: Any) -> tuple[Any, Any]:
    """A row with its label, or with None."""
    try:
        match item:
            case (row, label) if np.ndim(row) > 0 and np.ndim(label) == 0:
                return row, label
            case _:
                return item, None
    except ValueError:  # a ragged row, which is refused with its number
        return item, None


def _row(name: str, number: int, value: Any) -> npt.NDArray[Any]:
    try:
        row = np.asarray(value).copy()  # a Dataset may hand out one buffer again and again
    except (ValueError, TypeError, RuntimeError) as error:  # ragged, or a tensor on another device
        raise InputError(f"{name}: row {number} is no array ({error}); give arrays of numbers") from None
    if row.dtype == np.uint8:
        return row
    if row.dtype.kind != "f":
        raise InputTypeError(f"{name}: rows must hold floats or uint8, got {row.dtype} in row {number}; convert them")
    with np.errstate(over="ignore"):  # what exceeds float32 becomes inf, which is refused with its place
        return row.astype(np.float32)


def _labels(labels: list[Any]) -> npt.NDArray[np.uint8] | None:
    """One small whole number for each row, or None."""
    try:
        whole = [int(label) for label in labels]
        return checked_labels("labels", np.array(whole)) if whole == [float(label) for label in labels] else None
    except (InputError, TypeError, ValueError, OverflowError):
        return None
