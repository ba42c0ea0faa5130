"""Mean and variance over rows that come a chunk at a time, the same to the bit however they are cut."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

BLOCK: Final = 4096  # rows that are summed in one go: fixed, so that the chunks decide nothing


class Running:
    """Mean and variance over rows, [*shape] each, in float64 and in memory of one block of rows.

    Rows are summed in blocks that their numbers alone decide, and blocks are joined in order.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979),
    equation 2.1.

    Examples:
        >>> running = Running()
        >>> running.add(np.array([1.0, 2.0]))
        >>> running.add(np.array([6.0]))
        >>> float(running.mean), float(running.variance(ddof=1))
        (3.0, 7.0)
    """

    def __init__(self) -> None:
        self._held: list[npt.NDArray[np.float64]] = []
        self._waiting = 0
        self._joined = 0
        self._mean: npt.NDArray[np.float64] | None = None
        self._squares: npt.NDArray[np.float64] | None = None  # summed squares of differences to the mean

    def add(self, rows: npt.NDArray[Any]) -> None:
        """More rows, [n, *shape]."""
        start = 0
        while start < len(rows):
            stop = min(len(rows), start + BLOCK - self._waiting)
            self._held.append(rows[start:stop].astype(np.float64))
            self._waiting += stop - start
            start = stop
            if self._waiting == BLOCK:
                self._mean, self._squares, self._joined = self._with_held()
                self._held, self._waiting = [], 0

    def join(self, later: "Running") -> None:
        """The rows of another that come behind these, as if they had been added here.

        Raises:
            ValueError: these do not end with a block, so that the next rows would not begin one.
        """
        if self.rows % BLOCK:
            raise ValueError(f"rows: must be whole blocks of {BLOCK} before others are joined, got {self.rows}")
        if later.rows:
            self._mean, self._squares, self._joined = self._with(*later._with_held())  # noqa: SLF001  its own kind

    def folded(self) -> "Running":
        """The same without the rows themselves, which a block still holds until it is full."""
        found = Running()
        if self.rows:
            found._mean, found._squares, found._joined = self._with_held()
        return found

    @property
    def rows(self) -> int:
        """How many there were."""
        return self._joined + self._waiting

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Of all rows so far, of which there is one at least."""
        return self._with_held()[0]

    def variance(self, *, ddof: int = 0) -> npt.NDArray[np.float64]:
        """Of all rows so far: summed squares of the differences to the mean over rows - ddof."""
        _, squares, rows = self._with_held()
        return squares / (rows - ddof)

    def _with_held(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
        held = self._held
        if not held:
            if self._mean is None or self._squares is None:
                raise ValueError("a mean needs at least one row")
            return self._mean, self._squares, self._joined
        block = np.concatenate(held)
        mean = np.asarray(block.sum(axis=0) / len(block))
        return self._with(mean, np.asarray(np.square(block - mean).sum(axis=0)), len(block))

    def _with(
        self, mean: npt.NDArray[np.float64], squares: npt.NDArray[np.float64], count: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
        if self._mean is None or self._squares is None:
            return mean, squares, count
        rows = self._joined + count
        away = mean - self._mean
        squares = self._squares + squares + away**2 * (self._joined * count / rows)
        return self._mean + away * (count / rows), squares, rows
