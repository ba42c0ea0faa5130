"""A .csv file as a table: UTF-8, commas, and a first line that names the columns (RFC 4180, section 2)."""

import csv
import io
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

from reparam.errors import InputError, InputNotFound
from reparam.files.regular import open_regular
from reparam_train.data.table import Piece

_ROWS: Final = 4096  # rows a piece


class CsvTable:
    """The cells of a .csv file as texts, without spaces around them; empty lines are left out.

    Args:
        path: the file; spreadsheets' byte order mark is allowed.

    Raises:
        InputNotFound: no such file.
        InputError: cannot be read, no header, or one whose names are empty, repeated or numbers.
    """

    unit = "line"

    def __init__(self, path: Path) -> None:
        self.source = str(path)
        self._path = path
        header = next(self._rows(), None)
        if header is None:
            raise InputError(f"{path}: line 1 must name the columns, got an empty file; write a header")
        self._line, self.names = header
        self._check_names()

    def pieces(self, names: list[str]) -> Iterator[Piece]:
        """All rows, in order, of these columns; `InputError` for a line that is too short or long, or lacks a value."""
        wanted = [self.names.index(name) for name in names]
        numbers: list[int] = []
        kept: list[list[str]] = []
        for line, cells in self._rows():
            if line == self._line:
                continue
            if len(cells) != len(self.names):
                raise InputError(
                    f"{self._path}: line {line} must have {len(self.names)} cells as the header has, got {len(cells)}; "
                    "mend the line"
                )
            row = [cells[place] for place in wanted]
            if "" in row:
                raise InputError(
                    f"{self._path}: column {names[row.index('')]} has no value at line {line}; fill it, leave the row "
                    "out, or drop the column"
                )
            numbers.append(line)
            kept.append(row)
            if len(kept) == _ROWS:
                yield _piece(numbers, kept)
                numbers, kept = [], []
        if kept:
            yield _piece(numbers, kept)

    def _rows(self) -> Generator[tuple[int, list[str]]]:
        """Each row that is not empty with the number of its last line."""
        try:
            with io.TextIOWrapper(open_regular(self._path), encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, strict=True)
                try:
                    for row in reader:
                        if row:
                            yield reader.line_num, [cell.strip() for cell in row]
                except csv.Error as error:
                    raise InputError(
                        f"{self._path}: line {reader.line_num} is not CSV ({error}); mend the line"
                    ) from None
        except FileNotFoundError:
            raise InputNotFound(f"{self._path}: no such file; give a .csv file") from None
        except UnicodeDecodeError:
            raise InputError(
                f"{self._path}: line {_undecodable(self._path)} is not UTF-8; save the file as UTF-8"
            ) from None
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read ({error.strerror or error}); check the file") from None

    def _check_names(self) -> None:
        where, names = f"{self._path}: line {self._line} must name the columns", self.names
        if len(names) == 1 and any(separator in names[0] for separator in ";\t|"):
            raise InputError(f"{where} with commas between them, got {names[0]!r:.60}; save the file with commas")
        for name in names:
            if not name:
                raise InputError(f"{where}, got an empty name among {', '.join(names)!r:.60}; name it")
            if names.count(name) > 1:
                raise InputError(f"{where}, each once, got {name!r} {names.count(name)} times; rename one")
            if _is_number(name):
                raise InputError(f"{where}, got the number {name}; write a header above the values")


def _piece(numbers: list[int], rows: list[list[str]]) -> Piece:
    columns: list[Any] = [list(column) for column in zip(*rows, strict=True)]
    return Piece(numbers, columns)


def _is_number(text: str) -> bool:
    try:
        return bool([float(text)])
    except ValueError:
        return False


def _undecodable(path: Path) -> int:
    """The first line that is not UTF-8: in UTF-8, a newline's byte is always a newline."""
    with open_regular(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 0
