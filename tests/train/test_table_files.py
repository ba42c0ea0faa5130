"""Tables in .csv and .parquet files: what their columns become, and what is refused."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reparam.errors import InputError, InputNotFound, MissingExtra, OptionError, ReparamError
from reparam_train import extras
from reparam_train.data import Data, load
from reparam_train.data.columns import Column

HEADER = "id,income,colour,alive"
LINES = [f"{i},{100_000 + 5000 * (i % 7)},{('red', 'green', 'blue')[i % 3]},{int(i % 3 == 1)}" for i in range(40)]


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def lines(folder: Path, *rows: str, header: str = HEADER) -> Path:
    return table(folder, "\n".join([header, *rows]) + "\n")


def every(data: Data) -> np.ndarray[Any, Any]:
    """All rows, in the file's order."""
    x = np.empty((len(data.train) + len(data.test), *data.shape), np.float32)
    for split in (data.train, data.test):
        x[split.rows] = split.batch(np.arange(len(split)))
    return x


def test_a_suffix_in_capitals_is_the_same_suffix(tmp_path: Path) -> None:
    data = load(lines(tmp_path, *LINES), columns={"id": "drop"})
    (tmp_path / "table.csv").rename(tmp_path / "TABLE.CSV")
    assert load(tmp_path / "TABLE.CSV", columns={"id": "drop"}).sha256 == data.sha256
    np.save(tmp_path / "rows.npy", np.zeros((20, 3), np.float32))
    (tmp_path / "rows.npy").rename(tmp_path / "ROWS.NPY")
    assert load(tmp_path / "ROWS.NPY").shape == (3,)


def test_numbers_texts_and_bits_become_gaussian_categorical_and_bernoulli_columns(tmp_path: Path) -> None:
    data = load(lines(tmp_path, *LINES))
    assert [(c.name, c.kind, c.categories) for c in data.columns] == [
        ("id", "gaussian", ()),
        ("income", "gaussian", ()),
        ("colour", "categorical", ("blue", "green", "red")),
        ("alive", "bernoulli", ()),
    ]
    x = every(data)
    assert (x.shape, x.dtype, len(data.test), data.layout) == ((40, 6), np.float32, 4, "features")
    assert np.array_equal(x[:, 0], np.arange(40))
    assert np.array_equal(x[:, 1], 100_000 + 5000 * (np.arange(40) % 7))
    assert x[:3, 2:5].tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert np.array_equal(x[:, 5], np.arange(40) % 3 == 1)


def test_shift_and_scale_are_the_mean_and_deviation_of_the_training_rows(tmp_path: Path) -> None:
    data = load(lines(tmp_path, *LINES), test_every=4)
    income = data.train.batch(np.arange(30))[:, 1].astype(np.float64)
    column = data.columns[1]
    assert (column.shift, column.scale) == pytest.approx((income.mean(), income.std()))
    assert [(c.shift, c.scale) for c in data.columns[2:]] == [(0, 1), (0, 1)]


def test_a_choice_by_name_wins_over_the_guess_and_drop_leaves_a_column_out(tmp_path: Path) -> None:
    path = lines(tmp_path, *(line + "," for line in LINES), header=HEADER + ",note")
    data = load(path, columns={"note": "drop", "id": "drop", "alive": "gaussian", "income": "categorical"})
    assert [(c.name, c.kind) for c in data.columns] == [
        ("income", "categorical"),
        ("colour", "categorical"),
        ("alive", "gaussian"),
    ]
    assert data.columns[0].categories[:2] == ("100000", "105000")


def test_given_columns_are_taken_exactly_so_that_another_file_is_read_alike(tmp_path: Path) -> None:
    columns = load(lines(tmp_path, *LINES), columns={"id": "drop"}).columns
    swapped = [f"{a},{c},{b}" for _, b, c, a in (line.split(",") for line in LINES[:20:2])]
    data = load(lines(tmp_path, *swapped, header="alive,colour,income"), columns=columns)
    assert data.columns == columns
    assert every(data)[0].tolist() == [100_000, 0, 0, 1, 0]
    with pytest.raises(InputError, match=r"must hold one of 'blue', 'green', 'red', got 'pink' at line 3"):
        load(lines(tmp_path, *LINES[:1], "1,5,pink,1", *LINES[2:]), columns=columns)
    with pytest.raises(InputError, match=r"needs the column 'income', got alive, colour"):
        load(lines(tmp_path, *("1,red" for _ in range(20)), header="alive,colour"), columns=columns)


def test_quotes_spaces_blank_lines_and_a_byte_order_mark_are_no_part_of_the_values(tmp_path: Path) -> None:
    rows = "".join(f'{i} , "a, b"\r\n\r\n{i}.5,c\r\n' for i in range(10))
    data = load(table(tmp_path, "\ufeffnumber, text\r\n".encode() + rows.replace(', "', ',"').encode()))
    assert [c.name for c in data.columns] == ["number", "text"]
    assert data.columns[1].categories == ("a, b", "c")
    assert len(every(data)) == 20


def good(*, replaced: str, at: int = 5) -> list[str]:
    """Lines of a good table with one replaced, which is line `at` of the file."""
    return [*LINES[: at - 2], replaced, *LINES[at - 1 :]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (good(replaced="1,2,red"), "line 5 must have 4 cells as the header has, got 3"),
        (good(replaced="1,2,red,1,9"), "line 5 must have 4 cells as the header has, got 5"),
        (good(replaced="1,,red,1"), "column income has no value at line 5"),
        (good(replaced="1, ,red,1"), "column income has no value at line 5"),
        (good(replaced="1,nan,red,1"), "column income must hold finite float32 numbers, got nan at line 5"),
        (good(replaced="1,-inf,red,1"), "column income must hold finite float32 numbers, got -inf at line 5"),
        (good(replaced="1,1e39,red,1"), r"column income must hold finite float32 numbers, got 1e\+39 at line 5"),
        (good(replaced="1,n/a,red,1"), r"got '100000' at line 2 and 'n/a' at line 5; .*--column 'income=categorical'"),
        (good(replaced="1,1_000,red,1"), "got '100000' at line 2 and '1_000' at line 5"),
        (good(replaced='1,2,"red,1'), "line .* is not CSV"),
        ([], "must have rows of values, got none"),
        (LINES[:9], "at least 10 rows, .* got 9"),
        (["1,5,red,1"] * 20, "column colour must hold two or more different texts, got only 'red'; .*colour=drop"),
        ([f"{i},5,{'rg'[i % 2]},1" for i in range(20)], "column income holds only 5 in the training rows; drop"),
        ([f"{2**30 + 128 * i},{i},{'rg'[i % 2]},1" for i in range(20)], "column id holds values too close to 1.07374e"),
        ([f"{i},{i},name{i},1" for i in range(300)], "column colour may hold at most 256 different texts"),
    ],
)  # fmt: skip
def test_a_table_with_a_fault_is_refused_with_its_line_or_column(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(lines(tmp_path, *rows))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 must name the columns, got an empty file"),
        (b"1.5,2\n3,4\n", "line 1 must name the columns, got the number 1.5"),
        (b"a,b,a\n1,2,3\n", "line 1 must name the columns, each once, got 'a' 2 times"),
        (b"a,,c\n1,2,3\n", "line 1 must name the columns, got an empty name"),
        (b"a;b;c\n1;2;3\n", "with commas between them, got 'a;b;c'"),
        (b"a,b\n1,x\n2,caf\xe9\n", "line 3 is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1 is not UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(table(tmp_path, content))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"height": "drop"}}, "has no column 'height'; it has id, income, colour, alive"),
        ({"columns": {"id": "ordinal"}}, "id must be one of gaussian, bernoulli, categorical, drop, got 'ordinal'"),
        ({"columns": dict.fromkeys(HEADER.split(","), "drop")}, "has no column left"),
        ({"layout": "image"}, "is a table, whose rows are features, got image"),
        ({"test_every": 1}, "test_every: must be at least 2"),
    ],
)
def test_options_that_do_not_fit_a_table_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load(lines(tmp_path, *LINES), **options)


def test_a_chosen_kind_is_held_against_the_values(tmp_path: Path) -> None:
    path = lines(tmp_path, *LINES)
    with pytest.raises(InputError, match="income is bernoulli and holds values from 0 to 1, got 100000 at line 2"):
        load(path, columns={"income": "bernoulli"})
    with pytest.raises(InputError, match=r"column colour must hold numbers, got 'red' at line 2; .*colour=categorical"):
        load(path, columns={"colour": "gaussian"})


def test_columns_of_a_source_without_names_are_refused() -> None:
    with pytest.raises(OptionError, match=r"column: digits is no .csv or .parquet file"):
        load("digits", columns={"a": "drop"})


def parquet(folder: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), folder / "table.parquet", row_group_size=16)
    return folder / "table.parquet"


def parquet_columns() -> dict[str, Any]:
    rows = [line.split(",") for line in LINES]
    return {
        "id": pa.array([int(row[0]) for row in rows], pa.int32()),
        "income": pa.array([float(row[1]) for row in rows]),
        "colour": pa.array([row[2] for row in rows]).dictionary_encode(),
        "alive": pa.array([row[3] == "1" for row in rows]),
    }


def test_a_parquet_table_is_the_csv_table(tmp_path: Path) -> None:
    csv, found = load(lines(tmp_path, *LINES)), load(parquet(tmp_path, parquet_columns()))
    assert found.columns == csv.columns
    assert found.sha256 == csv.sha256
    assert np.array_equal(every(found), every(csv))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1.0] * 20 + [None] * 20), "column x has no value at row 20"),
        (pa.array([1.0] * 39 + [float("inf")]), "column x must hold finite float32 numbers, got inf at row 39"),
        (
            pa.array([[1.0, 2.0]] * 40),
            r"column x must hold numbers, truth values or strings, got list<.*--column 'x=drop'",
        ),
        (pa.array([0] * 40, pa.timestamp("ms")), r"got timestamp\[ms\]"),
    ],
)
def test_a_parquet_column_with_a_fault_is_refused_unless_it_is_dropped(
    tmp_path: Path, column: Any, message: str
) -> None:
    path = parquet(tmp_path, parquet_columns() | {"x": column})
    with pytest.raises(InputError, match=message):
        load(path)
    assert len(load(path, columns={"x": "drop"}).columns) == 4


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, parquet_columns())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"not a readable .parquet file"):
        load(path)
    path.unlink()
    with pytest.raises(InputNotFound, match="no such file"):
        load(path)


def test_without_pyarrow_the_pip_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path, parquet_columns())
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r".parquet files needs? pyarrow: pip install 'reparam\[parquet\]'"):
        load(path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_tables_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged-tables"
    folder.mkdir(exist_ok=True)
    path = data.draw(st.sampled_from([lines(folder, *LINES), parquet(folder, parquet_columns())]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(ReparamError):
        assert np.isfinite(every(load(path))).all()


def test_a_column_s_shift_and_scale_are_checked() -> None:
    with pytest.raises(OptionError, match=r"shift must be finite and scale finite and above 0, got 0.0 and 0"):
        Column(name="a", kind="gaussian", scale=0)
    with pytest.raises(OptionError, match="shift and scale belong to kind gaussian, got bernoulli"):
        Column(name="a", kind="bernoulli", shift=1)
