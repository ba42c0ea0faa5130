"""A table as rows of numbers: what each column is, guessed or given, and its values as float32 side by side.

A file of a table gives its cells column by column in bounded pieces (`Table`); everything else is here, once for all
formats. Two passes: one to see what the columns hold, one to convert.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from reparam.errors import InputError, OptionError
from reparam_train.data.arrays import Arrays, as_data, is_test
from reparam_train.data.cells import Cells, Seen, categories, columns_of, numbers, texts
from reparam_train.data.columns import CHOICES, Choice, Column, places
from reparam_train.data.reading import Reading
from reparam_train.data.split import Data

Wanted = tuple[Column, ...] | Mapping[str, Choice]
_RESOLUTION: Final = 2.0**-20  # of shift to scale: below it, float32 has no digits left for what differs


@dataclass(frozen=True)
class Piece:
    """Some rows of a table."""

    numbers: Sequence[int]
    """Line or row number of each, as a person would look it up."""
    cells: list[Cells]
    """[columns], each with a cell for every row; none is missing."""


class Table(Protocol):
    """A file of named columns."""

    source: str
    unit: str
    """What the numbers of a piece count: "line" or "row"."""
    names: list[str]

    def pieces(self, names: list[str]) -> Iterator[Piece]:
        """All rows, in order, of these columns, in their order; may be called again."""
        ...


def read(table: Table, *, name: str, reading: Reading, wanted: Wanted = ()) -> Data:
    """The rows of a table, in memory, with their columns.

    Args:
        table: an open one.
        name: of the data.
        reading: how it is split.
        wanted: the columns as they are to be, exactly (others are left out); or a choice for some by name, where the
            rest is guessed: "bernoulli" for a column of only 0 and 1, "gaussian" for other numbers, "categorical" for
            text. A gaussian column's shift and scale are the mean and deviation of its training rows.

    Raises:
        InputError: no such columns, cells that are not what their column says, or rows that cannot be told apart.
        OptionError: a choice for a column that is not there, or of a kind that is not known.
    """
    if reading.layout not in (None, "features"):
        raise OptionError(f"layout: {table.source} is a table, whose rows are features, got {reading.layout}")
    if isinstance(wanted, tuple) and wanted:
        columns = wanted
        rows = _encoded(table, columns)
    else:
        columns = _guessed(table, {} if isinstance(wanted, tuple) else dict(wanted))
        rows = _encoded(table, columns)
        columns = _standardised(table, columns, rows[~is_test(table.source, len(rows), reading)])
    return as_data(Arrays(rows), name=name, source=table.source, reading=reading, columns=columns)


def _guessed(table: Table, choices: dict[str, Choice]) -> tuple[Column, ...]:
    """What the columns hold, with what was chosen for some."""
    for name, choice in choices.items():
        if name not in table.names:
            raise OptionError(f"column: {table.source} has no column {name!r}; it has {', '.join(table.names)}")
        if choice not in CHOICES:
            raise OptionError(f"column: {name} must be one of {', '.join(CHOICES)}, got {choice!r}")
    names = [name for name in table.names if choices.get(name) != "drop"]
    if not names:
        raise OptionError(f"column: {table.source} has no column left; keep one at least")
    seen = [Seen(table.source, table.unit, name, choices.get(name)) for name in names]
    rows = 0
    for piece in table.pieces(names):
        rows += len(piece.numbers)
        for column, cells in zip(seen, piece.cells, strict=True):
            column.look(cells, piece.numbers)
    if not rows:
        raise InputError(f"{table.source}: must have rows of values, got none")
    return columns_of(seen)


def _encoded(table: Table, columns: tuple[Column, ...]) -> npt.NDArray[np.float32]:
    """All rows, float32 [n, width]."""
    names = [column.name for column in columns]
    missing = [name for name in names if name not in table.names]
    if missing:
        raise InputError(f"{table.source}: needs the column {missing[0]!r}, got {', '.join(table.names)}")
    width = sum(column.width for column in columns)
    parts = [np.empty((0, width), np.float32)]
    for piece in table.pieces(names):
        part = np.zeros((len(piece.numbers), width), np.float32)
        for (column, start, stop), cells in zip(places(columns), piece.cells, strict=True):
            _fill(part[:, start:stop], column, cells, table, piece.numbers)
        parts.append(part)
    return np.concatenate(parts)


def _fill(block: npt.NDArray[np.float32], column: Column, cells: Cells, table: Table, where: Sequence[int]) -> None:
    """One column's values into its zeros [rows, width of the column]."""
    if column.kind == "categorical":
        places = {category: place for place, category in enumerate(column.categories)}
        found = np.array([places.get(text, -1) for text in texts(cells)])  # [rows]
        if found.min() < 0:
            first = int(found.argmin())
            raise InputError(
                f"{table.source}: column {column.name} must hold one of {categories(column.categories)}, "
                f"got {texts(cells)[first]!r} at {table.unit} {where[first]}; mend the cell or leave the row out"
            )
        block[np.arange(len(found)), found] = 1
        return
    values = numbers(cells, source=table.source, column=column.name, unit=table.unit, where=where)
    if column.kind == "bernoulli" and not ((values >= 0) & (values <= 1)).all():
        first = int((~((values >= 0) & (values <= 1))).argmax())
        raise InputError(
            f"{table.source}: column {column.name} is bernoulli and holds values from 0 to 1, "
            f"got {values[first]:g} at {table.unit} {where[first]}; mend it, or make the column gaussian"
        )
    block[:, 0] = values


def _standardised(table: Table, columns: tuple[Column, ...], train: npt.NDArray[np.float32]) -> tuple[Column, ...]:
    """The columns, gaussian ones with the mean and standard deviation of these rows [n, width]."""
    found: list[Column] = []
    for column, start, _ in places(columns):
        if column.kind != "gaussian":
            found.append(column)
            continue
        values: npt.NDArray[Any] = train[:, start].astype(np.float64)
        shift, scale = float(values.mean()), float(values.std())
        if scale <= _RESOLUTION * abs(shift) or scale == 0:
            what = f"only {shift:g}" if scale == 0 else f"values too close to {shift:g} for float32 to tell them apart"
            advice = "drop the column" if scale == 0 else "subtract a constant from the column"
            raise InputError(f"{table.source}: column {column.name} holds {what} in the training rows; {advice}")
        found.append(msgspec.structs.replace(column, shift=shift, scale=scale))
    return tuple(found)
