"""A .parquet file as a table, through pyarrow."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# (pyarrow has no types)

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from reparam.errors import InputError, InputNotFound
from reparam.files.regular import open_regular
from reparam_train.data.cells import Cells
from reparam_train.data.table import Piece
from reparam_train.extras import need

_ROWS: Final = 2**16  # rows a piece


class ParquetTable:
    """The cells of a .parquet file: numbers and truth values as numbers, strings as texts. Rows count from 0.

    Args:
        path: the file.

    Raises:
        MissingExtra: pyarrow is not installed.
        InputNotFound: no such file.
        InputError: not a .parquet file, or one that names a column twice.
    """

    unit = "row"

    def __init__(self, path: Path) -> None:
        need("pyarrow", what=".parquet files", extra="parquet")
        import pyarrow.parquet

        self.source = str(path)
        self._path = path
        self._open: Any = pyarrow.parquet.ParquetFile
        self._errors: Any = (OSError, ValueError, pyarrow.ArrowException)  # some of pyarrow's own are neither
        try:
            open_regular(path).close()  # pyarrow would wait for a pipe
            with self._open(path) as file:
                self._schema: Any = file.schema_arrow
        except FileNotFoundError:
            raise InputNotFound(f"{path}: no such file; give a .parquet file") from None
        except self._errors as error:
            raise self._unreadable(error) from None
        self.names: list[str] = list(self._schema.names)
        for name in self.names:
            if self.names.count(name) > 1:
                raise InputError(f"{path}: must name each column once, got {name!r} twice; rename one")

    def pieces(self, names: list[str]) -> Iterator[Piece]:
        """All rows, in order, of these columns; `InputError` for a missing value or a type that is not read."""
        for name in names:
            self._check_type(name)
        first = 0
        try:
            with self._open(self._path) as file:
                for batch in file.iter_batches(batch_size=_ROWS, columns=names):
                    numbers = range(first, first + batch.num_rows)
                    found: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
                    yield Piece(numbers, [self._cells(name, found[name], first) for name in names])
                    first += batch.num_rows
        except self._errors as error:
            if isinstance(error, InputError):
                raise
            raise self._unreadable(error) from None

    def _check_type(self, name: str) -> None:
        if self._kind(name) is None:
            raise InputError(
                f"{self._path}: column {name} must hold numbers, truth values or strings, got "
                f"{self._schema.field(name).type}; convert it or leave it out (--column '{name}=drop')"
            )

    def _kind(self, name: str) -> str | None:
        """How a column is read, "number" or "text", or None."""
        from pyarrow import types

        found: Any = self._schema.field(name).type
        if types.is_dictionary(found):
            found = found.value_type
        if types.is_integer(found) or types.is_floating(found) or types.is_boolean(found):
            return "number"
        return "text" if types.is_string(found) or types.is_large_string(found) else None

    def _cells(self, name: str, column: Any, first: int) -> Cells:
        """One column of a batch."""
        import pyarrow as pa

        if column.null_count:
            row = first + int(np.asarray(column.is_null().to_numpy(zero_copy_only=False)).argmax())
            raise InputError(
                f"{self._path}: column {name} has no value at row {row}; fill it, leave the row out, or drop the column"
            )
        if self._kind(name) == "text":
            return [str(text).strip() for text in column.to_pylist()]
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.float64)

    def _unreadable(self, error: Exception) -> InputError:
        reason = getattr(error, "strerror", None) or error
        return InputError(f"{self._path}: not a readable .parquet file ({reason}); write it again")
