"""Arrays as training data: which dtypes and shapes are rows, and which rows are for testing."""

from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam.arrays import RowSource
from reparam.errors import InputError, InputTypeError
from reparam_train.data.columns import Column
from reparam_train.data.reading import TEST_EVERY, Reading, RowLayout
from reparam_train.data.split import Data, Layout, Split

_BY_AXES: Final[dict[int, RowLayout]] = {2: "features", 3: "image", 4: "image"}


@dataclass(frozen=True)
class Arrays:
    """What a source holds: rows, and labels where it has them."""

    train: RowSource
    """[n, ...]; all rows where `test` is None."""
    test: RowSource | None = None
    train_labels: npt.NDArray[Any] | None = None
    test_labels: npt.NDArray[Any] | None = None


def from_arrays(
    train: npt.ArrayLike,
    test: npt.ArrayLike | None = None,
    *,
    name: str = "arrays",
    labels: npt.ArrayLike | None = None,
    test_labels: npt.ArrayLike | None = None,
    layout: RowLayout | None = None,
    test_every: int = TEST_EVERY,
    columns: tuple[Column, ...] = (),
) -> Data:
    """Arrays as training data; they are not copied.

    Args:
        train: float32, float64 or uint8 rows: [n, features], [n, height, width] or [n, channels, height, width]; with
            layout "signal" [n, channels, length] or [n, length]. uint8 is divided by 255.
        test: rows of the same shape; left out, some of `train` are, as `test_every` says.
        name: what to call them, in run.json too.
        labels: whole numbers from 0 to 255, one for each row of `train`.
        test_labels: the same for `test`.
        layout: what the axes of a row are; left out, their number says it.
        test_every: without `test`, rows N - 1, 2 N - 1 ... are the test split.
        columns: of a table [n, width], what they mean.

    Returns:
        The data, for `config_for` and `fit`.

    Raises:
        InputError: of a shape that is not above, or that looks like [n, height, width, channels] and no layout says
            otherwise; too few rows; or not finite (first row and column named).
        InputTypeError: another dtype.
        OptionError: `layout` or `test_every` out of range.

    Examples:
        >>> data = from_arrays(np.zeros((20, 3, 64), np.float32), layout="signal")
        >>> data.shape, len(data.train), len(data.test)
        ((3, 64), 18, 2)
    """
    rows, held_out = as_array(name, train), None if test is None else as_array(f"{name}, test", test)
    given = [None if each is None else checked_labels(name, as_array(name, each)) for each in (labels, test_labels)]
    reading = Reading(test_every=test_every, layout=layout)
    return as_data(Arrays(rows, held_out, *given), name=name, source=name, reading=reading, columns=columns)


def as_data(
    arrays: Arrays,
    *,
    name: str,
    source: str,
    reading: Reading,
    scale: float = 255.0,
    columns: tuple[Column, ...] = (),
) -> Data:
    """Checked arrays, split; `source` is what messages call them, `scale` what uint8 is divided by."""
    train, test, integers = arrays.train, arrays.test, arrays.train.dtype == np.uint8
    check_dtype(source, train.dtype)
    shape, layout = row_shape(source, train, reading.layout)
    divisor = scale if integers else 1.0

    def split(values: RowSource, rows: npt.NDArray[np.intp], labels: npt.NDArray[Any] | None) -> Split:
        if labels is not None and len(labels) != len(values):
            raise InputError(f"{source}: needs one label a row, got {len(labels)} labels for {len(values)} rows")
        return Split(source, values, rows, shape, divisor, None if labels is None else labels[rows])

    if test is None:
        chosen = is_test(source, len(train), reading)
        parts = [split(train, np.flatnonzero(rows), arrays.train_labels) for rows in (~chosen, chosen)]
    else:
        _check_pair(source, train, test)
        reading = Reading(test_every=None, layout=reading.layout)
        parts = [
            split(values, np.arange(len(values)), labels)
            for values, labels in ((train, arrays.train_labels), (test, arrays.test_labels))
        ]
    if not integers:
        for values in (train,) if test is None else (train, test):
            Split(source, values, np.arange(len(values)), shape).check()
    low, high = (0.0, 1.0) if integers else (None, None)
    return Data(name, parts[0], parts[1], low, high, layout, columns, reading)


def as_array(source: str, values: object) -> npt.NDArray[Any]:
    """These values as an array; `InputError` where they are ragged, masked or a tensor that numpy cannot take."""
    try:
        found = np.asanyarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{source}: not an array ({error}); give arrays of numbers") from None
    if np.ma.is_masked(found):
        raise InputError(f"{source}: must have no masked values; fill them or leave their rows out")
    return found


def check_dtype(source: str, dtype: np.dtype[Any]) -> None:
    """`InputTypeError` for values that are not rows of numbers as models see them."""
    if dtype != np.uint8 and not (dtype.kind == "f" and dtype.itemsize in (4, 8)):
        raise InputTypeError(f"{source}: must hold float32, float64 or uint8, got {dtype}; convert it with astype")


def checked_labels(source: str, labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Labels as uint8 [n]; `InputError` where they are not whole numbers from 0 to 255."""
    if (
        labels.ndim != 1
        or labels.dtype.kind not in "iu"
        or (len(labels) and not 0 <= labels.min() <= labels.max() < 256)
    ):
        raise InputError(
            f"{source}: labels must be [n] whole numbers from 0 to 255, got {labels.dtype} {list(labels.shape)}; "
            "convert them or leave them out"
        )
    return labels.astype(np.uint8)


def row_shape(source: str, array: RowSource, layout: RowLayout | None) -> tuple[tuple[int, ...], Layout]:
    """The shape of a row as models see it, from the array's own and what its axes are."""
    axes, sizes = array.ndim, array.shape[1:]
    if layout is None and axes == 4 and sizes[2] in (1, 3, 4) and min(sizes[:2]) > 4:
        raise InputError(
            f"{source}: images must be [n, channels, height, width], got {list(array.shape)}, whose channels look "
            "to be last; move them with numpy.moveaxis(x, 3, 1), or say --layout image where they are not"
        )
    wanted = layout or _BY_AXES.get(axes)
    if wanted is not None and 2 <= axes <= 4 and 0 not in array.shape:
        if wanted == "features":
            return (prod(sizes),), "features"
        if wanted == "signal" and axes <= 3:
            return (1, *sizes)[-2:], "channels_first"
        if wanted == "image" and axes >= 3:
            return (1, *sizes)[-3:], "channels_first"
    rule = {
        None: "[n, features], [n, height, width] or [n, channels, height, width]",
        "features": "[n, features], or rows of two or three axes, which are flattened",
        "signal": "[n, length] or [n, channels, length] for layout signal",
        "image": "[n, height, width] or [n, channels, height, width] for layout image",
    }[layout]
    raise InputError(f"{source}: must be {rule}, none of them 0, got {list(array.shape)}; reshape it")


def is_test(source: str, rows: int, reading: Reading) -> npt.NDArray[np.bool_]:
    """Which of all rows are for testing, [n]."""
    every = reading.test_every or TEST_EVERY
    if rows < every:
        raise InputError(f"{source}: needs at least {every} rows, as one in {every} is a test row, got {rows}")
    chosen: npt.NDArray[np.bool_] = np.arange(rows) % every == every - 1
    return chosen


def _check_pair(source: str, train: RowSource, test: RowSource) -> None:
    """Training and test rows are of one shape and kind, and there is one at least."""
    check_dtype(source, test.dtype)
    if train.shape[1:] != test.shape[1:] or len(test) == 0:
        raise InputError(
            f"{source}: training and test rows must have one shape and there must be some, "
            f"got {list(train.shape)} and {list(test.shape)}"
        )
    if (train.dtype == np.uint8) != (test.dtype == np.uint8):
        raise InputTypeError(
            f"{source}: training and test rows must both be uint8 or both be floats, got {train.dtype} and {test.dtype}"
        )
