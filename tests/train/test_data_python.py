"""Data handed over in Python: arrays, datasets, and functions by their name."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.utils.data import TensorDataset

from reparam.errors import InputError, InputNotFound, InputTypeError, OptionError
from reparam_train.data import Data, from_arrays, from_dataset, load
from reparam_train.data.columns import Column
from reparam_train.data.reading import Reading
from reparam_train.data.sources import load_as
from reparam_train.options import config_for

ROWS = np.random.default_rng(0).normal(size=(20, 3, 16)).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "layout", "row", "told"),
    [
        ((20, 7), None, (7,), "features"),
        ((20, 7), "signal", (1, 7), "channels_first"),
        ((20, 3, 7), None, (1, 3, 7), "channels_first"),
        ((20, 3, 7), "image", (1, 3, 7), "channels_first"),
        ((20, 3, 7), "signal", (3, 7), "channels_first"),
        ((20, 3, 7), "features", (21,), "features"),
        ((20, 2, 3, 7), None, (2, 3, 7), "channels_first"),
        ((20, 2, 3, 7), "features", (42,), "features"),
    ],
)
def test_a_layout_says_what_the_axes_of_a_row_are(
    shape: tuple[int, ...], layout: Any, row: tuple[int, ...], told: str
) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    data = from_arrays(array, layout=layout)
    assert (data.shape, data.layout, data.reading.layout) == (row, told, layout)
    assert np.array_equal(data.test.batch(np.arange(2)), array[9::10].reshape(2, *row))


@pytest.mark.parametrize(
    ("shape", "layout", "message"),
    [
        ((20, 7), "image", r"\[n, height, width\] or .* for layout image, .*got \[20, 7\]"),
        ((20, 2, 3, 7), "signal", r"\[n, length\] or \[n, channels, length\] for layout signal"),
        ((20,), "features", r"must be \[n, features\], or rows of two or three axes"),
    ],
)
def test_a_layout_that_the_axes_cannot_have_is_refused(shape: tuple[int, ...], layout: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_arrays(np.zeros(shape, np.float32), layout=layout)
    with pytest.raises(OptionError, match="layout: must be one of features, signal, image, got 'video'"):
        from_arrays(np.zeros(shape, np.float32), layout="video")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (5, 8, 4)])
def test_images_whose_channels_are_last_are_refused_unless_it_is_said_that_they_are_not(shape: tuple[int, ...]) -> None:
    rows = np.zeros((20, *shape), np.uint8)
    with pytest.raises(InputError, match="whose channels look to be last; move them"):
        from_arrays(rows)
    assert from_arrays(np.moveaxis(rows, 3, 1)).shape == (shape[2], *shape[:2])
    assert from_arrays(rows, layout="image").shape == shape


def test_arrays_with_a_test_split_and_labels_keep_both() -> None:
    data = from_arrays(ROWS, ROWS[:3], labels=np.arange(20), test_labels=[1, 2, 3], name="mine")
    assert (data.name, len(data.train), len(data.test), data.reading.test_every) == ("mine", 20, 3, None)
    assert data.test.labels is not None
    assert data.test.labels.tolist() == [1, 2, 3]
    assert data.train.values is ROWS


def test_columns_of_an_array_make_it_a_table() -> None:
    columns = (Column(name="a", kind="gaussian"), Column(name="b", kind="bernoulli"))
    data = from_arrays(np.tile([[0.5, 1.0]], (20, 1)), columns=columns)
    assert config_for(data).likelihood == "mixed"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(20.0), r"labels must be \[n\] whole numbers from 0 to 255, got float64"),
        (np.arange(20) + 240, "labels must be"),
        (np.arange(19), "one label a row, got 19 labels for 20 rows"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: npt.NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_arrays(ROWS, labels=labels)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0], [1.0, 2.0]], "arrays: not an array .*inhomogeneous"),
        (np.ma.masked_equal(np.eye(20), 1.0), "arrays: must have no masked values"),
    ],
)
def test_values_that_are_no_plain_array_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_arrays(rows)


@pytest.mark.parametrize("every", [2, 3, 20])
def test_every_nth_row_is_for_testing(every: int) -> None:
    data = from_arrays(ROWS, test_every=every)
    assert data.test.rows.tolist() == list(range(every - 1, 20, every))
    assert sorted([*data.test.rows, *data.train.rows]) == list(range(20))


@pytest.mark.parametrize("every", [1, 0, -3])
def test_a_test_split_that_leaves_nothing_to_train_is_refused(every: int) -> None:
    with pytest.raises(OptionError, match=f"test_every: must be at least 2, .* got {every}"):
        from_arrays(ROWS, test_every=every)
    with pytest.raises(OptionError, match=f"got {every}"):
        load("digits", test_every=every)


def test_a_built_in_split_is_not_divided_again() -> None:
    with pytest.raises(OptionError, match="test_every: digits has a test split of its own, got 5"):
        load("digits", test_every=5)
    assert load("digits", layout="features").shape == (64,)


class Numbered:
    """A Dataset without iteration, which hands out one buffer again and again."""

    def __init__(self) -> None:
        self.buffer = np.empty(4, np.float32)

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], int]:
        self.buffer[:] = index
        return self.buffer, index % 3


def test_a_dataset_is_read_once_with_its_labels() -> None:
    data = from_dataset(Numbered(), name="numbered")
    assert np.array_equal(data.train.values, np.repeat(np.arange(20, dtype=np.float32)[:, None], 4, 1))
    assert data.train.labels is not None
    assert data.test.labels is not None
    assert data.test.labels.tolist() == [0, 1]


def test_a_torch_dataset_of_tensors_and_its_test_set_are_read() -> None:
    rows = TensorDataset(torch.from_numpy(ROWS), torch.arange(20))
    data = from_dataset(rows, TensorDataset(torch.from_numpy(ROWS[:4]), torch.arange(4)), layout="signal")
    assert (data.shape, len(data.train), len(data.test)) == ((3, 16), 20, 4)
    assert np.array_equal(data.train.batch(np.arange(20)), ROWS)
    assert data.train.labels is not None
    assert data.train.labels.tolist() == list(range(20))


def test_an_iterable_of_rows_is_read_to_its_end() -> None:
    assert np.array_equal(from_dataset(row for row in ROWS).train.values, ROWS)
    pictures = from_dataset([(ROWS[0] > 0).astype(np.uint8)] * 10)
    assert (pictures.high, pictures.train.labels) == (1, None)
    assert from_dataset([([0.5, 1.0], "a name")] * 10).train.labels is None


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([], InputError, "must give at least one row, got none"),
        ([ROWS[0], ROWS[0][:2]], InputError, r"\[3, 16\] float32 in row 0, got \[2, 16\] float32 in row 1"),
        ([[[1.0], [1.0, 2.0]]], InputError, "row 0 is no array"),
        ([([[1.0], [1.0, 2.0]], 5)], InputError, "row 0 is no array"),
        ([["a", "b"]], InputTypeError, "floats or uint8, got <U1 in row 0"),
        ([np.arange(3)], InputTypeError, "floats or uint8, got int64 in row 0"),
        ([np.zeros(3)] * 9, InputError, "at least 10 rows, .* got 9"),
        ([np.full(3, np.nan)] * 10, InputError, "nan at row 0, column 0"),
        ([np.full(3, 1e300)] * 10, InputError, "inf at row 0, column 0"),
        (5, InputTypeError, "must have a length and items, or be iterable, got int"),
    ],
)
def test_rows_that_make_no_array_are_refused(rows: Any, error: type[InputError], message: str) -> None:
    with pytest.raises(error, match=message):
        from_dataset(rows)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module `mine` in the current folder, from which the tests' functions come."""
    monkeypatch.chdir(tmp_path)
    text = """
import sys
import numpy as np
import torch
from reparam_train.data import from_arrays
rows = np.arange(40, dtype=np.float32).reshape(20, 2)
def array(): return rows
def pair(): return rows, rows[:3]
def data(): return from_arrays(rows, test_every=4, name="made")
def signals(): return from_arrays(rows, test_every=4, layout="signal")
def graph(): return torch.zeros(20, 2, requires_grad=True)
def stops(): sys.exit(0)
class Inner:
    @staticmethod
    def made(): return rows
def fails(): raise RuntimeError("no disk\\nhere")
def text(): return "rows"
def takes(name): return rows
number = 5
"""
    (tmp_path / "mine.py").write_text(text)
    yield tmp_path
    sys.modules.pop("mine", None)


def test_a_function_gives_an_array_a_pair_or_data(module: Path) -> None:  # noqa: ARG001  it is the current folder
    array, pair, made = (load(f"mine:{name}") for name in ("array", "pair", "data"))
    assert (array.name, len(array.train), len(array.test)) == ("mine:array", 18, 2)
    assert (len(pair.train), len(pair.test), pair.reading.test_every) == (20, 3, None)
    assert isinstance(made, Data)
    assert (made.name, len(made.test)) == ("made", 5)
    assert len(load("mine:array", test_every=2).test) == 10
    assert load("mine:Inner.made").sha256 == array.sha256


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("absent:rows", InputNotFound, "absent:rows: no module absent here"),
        ("absent.part:rows", InputNotFound, "no module absent here"),
        ("mine:absent", InputNotFound, "no absent in module mine"),
        ("mine:number", InputTypeError, "must be a function without arguments, got int"),
        ("mine:text", InputTypeError, "must return Data, an array, or .train, test. arrays, got str"),
        ("mine:fails", InputError, "mine:fails: raised RuntimeError: no disk here; mend"),
        ("mine:takes", InputError, "raised TypeError: takes.. missing 1 required"),
        ("mine:graph", InputError, "mine:graph: not an array .Can't call numpy"),
        ("mine:stops", InputError, "mine:stops: raised SystemExit: 0; mend"),
        ("script:rows", InputError, "script:rows: cannot be imported, SystemExit"),
        ("broken:rows", InputError, "broken:rows: cannot be imported, SyntaxError"),
        ("needy:rows", InputError, "needy:rows: cannot be imported, it needs absent_library"),
    ],
)
def test_a_function_that_gives_no_rows_is_refused_by_name(
    module: Path, source: str, error: type[InputError], message: str
) -> None:
    (module / "broken.py").write_text("def rows(:\n")
    (module / "script.py").write_text("import sys\nsys.exit(0)\n")
    (module / "needy.py").write_text("import absent_library\n")
    before = list(sys.path)
    with pytest.raises(error, match=message):
        load(source)
    assert sys.path == before


def test_options_that_the_data_of_a_function_have_already_are_refused(module: Path) -> None:  # noqa: ARG001
    with pytest.raises(OptionError, match="test_every: mine:data has a test split of its own, got 5"):
        load("mine:data", test_every=5)
    with pytest.raises(OptionError, match=r"column: mine:data is no .csv or .parquet file"):
        load("mine:data", columns={"a": "drop"})
    with pytest.raises(OptionError, match="layout: mine:data returns Data, which has its layout, got signal"):
        load("mine:data", layout="signal")


def test_data_of_a_function_are_read_again_by_the_reading_that_a_run_recorded(module: Path) -> None:  # noqa: ARG001
    first = load("mine:signals")
    assert first.reading == Reading(test_every=4, layout="signal")
    again = load_as("mine:signals", first.reading, first.columns)
    assert (again.shape, again.sha256, len(again.test)) == ((1, 2), first.sha256, 5)
