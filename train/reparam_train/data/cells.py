"""The cells of one column of a table: numbers or texts, and what kind of column they make."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam.errors import InputError
from reparam_train.data.columns import Choice, Column

Cells = list[str] | npt.NDArray[np.float64]
MOST_CATEGORIES: Final = 256  # of a column: each takes up a value in every row

_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


def texts(cells: Cells) -> list[str]:
    """The cells as text; whole numbers without a point."""
    return cells if isinstance(cells, list) else [f"{value:.17g}" for value in cells]


def numbers(cells: Cells, *, source: str, column: str, unit: str, where: Sequence[int]) -> npt.NDArray[np.float64]:
    """The cells as numbers that float32 can hold, [rows]; `InputError` for the first that is none."""
    values = cells if not isinstance(cells, list) else _parsed(cells)
    if values is None:
        first = next(place for place, cell in enumerate(cells) if _parsed([str(cell)]) is None)
        raise InputError(
            f"{source}: column {column} must hold numbers, got {cells[first]!r} at {unit} {where[first]}; "
            f"mend the cell, or make the column categorical (--column '{column}=categorical')"
        )
    bad = ~(np.abs(values) <= _FLOAT32_MAX)
    if bad.any():
        first = int(bad.argmax())
        raise InputError(
            f"{source}: column {column} must hold finite float32 numbers, got {values[first]:g} "
            f"at {unit} {where[first]}; fill it or leave the row out"
        )
    return values


def _parsed(cells: list[str]) -> npt.NDArray[np.float64] | None:
    """The numbers, or None where a cell is none; Python's own underscores between digits are no part of a number."""
    try:
        return None if any("_" in cell for cell in cells) else np.array([float(cell) for cell in cells])
    except ValueError:
        return None


@dataclass
class Seen:
    """What a column turned out to hold, piece by piece."""

    source: str
    unit: str
    name: str
    choice: Choice | None
    """What it is to be, or None for a guess."""
    binary: bool = True
    number: tuple[int, str] | None = None
    """The first cell that is a number, and its line or row."""
    text: tuple[int, str] | None = None
    """The first that is none."""
    different: dict[str, None] = field(default_factory=dict[str, None])
    """Different cells, as texts, up to one more than there may be."""

    def look(self, cells: Cells, where: Sequence[int]) -> None:
        """Takes in some cells [rows] with their line or row numbers."""
        if self.choice == "categorical":
            self._collect(cells)
            return
        if self.choice is not None:
            return  # converting says what is wrong with it
        values = cells if not isinstance(cells, list) else _parsed(cells)
        if values is not None:
            self.number = self.number or (where[0], texts(cells[:1])[0])
            self.binary = self.binary and bool(((values == 0) | (values == 1)).all())
        else:
            for line, cell in zip(where, texts(cells), strict=True):
                if _parsed([cell]) is None:
                    self.text = self.text or (line, cell)
                else:
                    self.number = self.number or (line, cell)
            self._collect(cells)
        if self.number and self.text:
            raise InputError(
                f"{self.source}: column {self.name} must hold either numbers or texts, got {self.number[1]!r} at "
                f"{self.unit} {self.number[0]} and {self.text[1]!r} at {self.unit} {self.text[0]}; mend the cell, "
                f"or say what the column is (--column '{self.name}=categorical')"
            )

    def _collect(self, cells: Cells) -> None:
        self.different.update(dict.fromkeys(texts(cells)))
        if len(self.different) > MOST_CATEGORIES:
            raise InputError(
                f"{self.source}: column {self.name} may hold at most {MOST_CATEGORIES} different texts, got more, such "
                f"as {categories(tuple(self.different)[:3])}; leave it out (--column '{self.name}=drop') or group them"
            )

    def column(self) -> Column:
        """The column that these cells make."""
        kind = self.choice or ("categorical" if self.text else "bernoulli" if self.binary else "gaussian")
        if kind in ("gaussian", "bernoulli"):
            return Column(name=self.name, kind="gaussian" if kind == "gaussian" else "bernoulli")
        if len(self.different) < 2:
            raise InputError(
                f"{self.source}: column {self.name} must hold two or more different texts, got only "
                f"{categories(tuple(self.different))}; leave it out (--column '{self.name}=drop')"
            )
        return Column(name=self.name, kind="categorical", categories=tuple(sorted(self.different)))


def columns_of(seen: list[Seen]) -> tuple[Column, ...]:
    """The columns that were seen."""
    return tuple(each.column() for each in seen)


def categories(found: tuple[Any, ...]) -> str:
    """The first few, to show."""
    told = ", ".join(repr(each)[:40] for each in found[:5])
    return told if len(found) <= 5 else f"{told}, ..."
