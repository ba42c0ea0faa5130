"""Rows that come in parts of any size, in chunks of one size."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray, check_rows, read_rows
from reparam.engine.rows import Noise, Rows
from reparam.errors import InputError
from reparam.files.paging import Pages

Arrays = Iterator[npt.NDArray[Any]]


def rechunk(parts: Arrays, size: int) -> Arrays:
    """The rows of all parts in chunks of `size`, the last one shorter.

    A part is not looked at any more once the next one is asked for, so its memory may be used again. A chunk that lies
    within a part is a view of it.

    Examples:
        >>> [len(chunk) for chunk in rechunk(iter([np.zeros(3), np.zeros(5)]), 4)]
        [4, 4]
    """
    held: list[npt.NDArray[Any]] = []
    count = 0
    for part in parts:
        start, pages = 0, Pages(part)
        while count + len(part) - start >= size:
            stop = start + size - count
            held.append(part[start:stop])
            yield held[0] if len(held) == 1 else np.concatenate(held)
            pages.read(stop - start)
            held, count, start = [], 0, stop
        if start < len(part):
            held.append(part[start:].copy())
            count += len(part) - start
    if held:
        yield held[0] if len(held) == 1 else np.concatenate(held)


class Chunks:
    """Chunks of at most `max_batch` rows out of parts that are checked one by one as they come.

    Where height and width are open, the first part's are those of all.
    """

    def __init__(self, rows: Rows, parts: Arrays, name: Literal["x", "z"]) -> None:
        self._rows = rows
        self._parts = parts
        self.name: Literal["x", "z"] = name
        """What messages call the rows."""
        self.done: int = 0
        """Rows that were given out."""

    def __iter__(self) -> Iterator[tuple[Rows, int, npt.NDArray[Any]]]:
        """The sessions for a chunk's height and width, the number of its first row, and the chunk.

        Raises:
            InputTypeError, InputError: a part that does not fit, with its number.
        """
        fitting: list[Rows] = []
        for chunk in rechunk(self._checked(fitting), self._rows.max_batch):
            yield fitting[0], self.done, chunk
            self.done += len(chunk)

    def _checked(self, fitting: list[Rows]) -> Arrays:
        latent = self.name == "z"
        for number, part in enumerate(self._parts, 1):
            name = _part_name(self.name, number)
            if not fitting:
                own, rows = self._rows.for_z(part) if latent else self._rows.for_x(part, name=name)
                fitting.append(own)
                yield rows
                continue
            own = fitting[0]
            shape, dtype = (own.latent, np.dtype(np.float32)) if latent else (own.input, own.dtype)
            yield check_rows(part, name=name, row_shape=shape, dtype=dtype)


class GivenNoise:
    """The caller's noise where it, or its rows, come in parts: as many rows as there are of x, in any parts."""

    def __init__(self, parts: Arrays, *, allow_nan: bool) -> None:
        self._parts = parts
        self._allow_nan = allow_nan
        self._chunks: Arrays | None = None

    def of(self, own: Rows) -> Noise:
        """The noise of rows that are asked for in order, chunk by chunk."""
        chunks = self._chunks = self._chunks or rechunk(self._checked(own.latent), own.max_batch)

        def read(start: int, stop: int) -> FloatArray:
            chunk = next(chunks, None)
            found = 0 if chunk is None else len(chunk)
            if chunk is None or found < stop - start:
                raise _uneven(f"got only {start + found}")
            if found > stop - start:  # only the last rows of x are fewer than a chunk
                raise _uneven(f"{stop}, got more")
            return read_rows(chunk, 0, found, name="eps", allow_nan=self._allow_nan, first=start)

        return read

    def end(self, rows: int) -> None:
        """`InputError` unless the noise ends where the rows did, after so many."""
        left = next(self._parts if self._chunks is None else self._chunks, None)
        if left is not None and len(left):
            raise _uneven(f"{rows}, got more")

    def _checked(self, shape: tuple[int, ...]) -> Arrays:
        for number, part in enumerate(self._parts, 1):
            yield check_rows(part, name=_part_name("eps", number), row_shape=shape)


def _part_name(name: str, number: int) -> str:
    return name if number == 1 else f"{name}, part {number}"


def _uneven(found: str) -> InputError:
    return InputError(f"eps: must have one row for each row of x, {found}; rows are never shared")
