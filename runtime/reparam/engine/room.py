"""How many rows of a graph run at once: as many as fit into memory, by an estimate from the sizes of all its values."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam.bundle.sizes.walk import TooLargeError, Walk
from reparam.errors import OutOfMemory, RunError

_REMEDY: Final = "take smaller rows, or smaller tiles of them (tile=)"
_MOST_KNOWN: Final = 256  # shapes whose answer is kept


class Room:
    """The memory that runs of one graph may take.

    Args:
        walk: of the graph.
        types: data type of each input, as `reparam.bundle.outline` numbers them.
        held: bytes of both sessions of the bundle, which are there whatever runs.
        limit: bytes that they and one run may take together.
        told: where the limit comes from, for messages.
        sure: whether every call of `max_batch` rows is known to fit, so that nobody has to ask.
    """

    def __init__(self, walk: Walk, types: Mapping[str, int], *, held: int, limit: int, told: str, sure: bool) -> None:
        self._walk, self._types = walk, types
        self._held, self._limit, self._told = held, limit, told
        self.sure: bool = sure
        self._known: dict[tuple[tuple[int, ...], ...], int] = {}

    def rows(self, shapes: Mapping[str, tuple[int, ...]], where: str) -> int:
        """How many of a call's rows may run at once, halves of all of them.

        Args:
            shapes: of all inputs, [batch, *row].
            where: what messages call the graph.

        Raises:
            OutOfMemory: one row alone does not fit.
            RunError: the graph cannot take rows of that size.
        """
        key = tuple(shapes.values())
        if (known := self._known.get(key)) is not None:
            return known
        rows = key[0][0]
        while rows and (need := self._need(shapes, rows, where)) > self._limit:
            if rows == 1:
                told = f"one row of {_row(shapes)} needs about {need:,} bytes, and {self._told} is {self._limit:,}"
                raise OutOfMemory(f"{where}: {told}; {_REMEDY}")
            rows //= 2
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = rows
        return rows

    def _need(self, shapes: Mapping[str, tuple[int, ...]], rows: int, where: str) -> int:
        """Bytes of both sessions and one run; of what is on no list, of the sessions alone."""
        inputs = {name: (self._types[name], (rows, *shape[1:])) for name, shape in shapes.items()}
        try:
            memory = self._walk.measure(inputs)
        except TooLargeError:
            raise OutOfMemory(
                f"{where}: one row of {_row(shapes)} is larger than anything that runs; {_REMEDY}"
            ) from None
        except ValueError as error:
            raise RunError(f"{where}: cannot take rows of {_row(shapes)}: {error}; take another size") from None
        return self._held + (0 if memory is None else memory.values)


def _row(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return " and ".join(f"{name} {list(shape[1:])}" for name, shape in shapes.items())


def in_parts(
    run: Callable[[dict[str, npt.NDArray[Any]]], list[npt.NDArray[Any]]], feeds: dict[str, npt.NDArray[Any]], most: int
) -> list[npt.NDArray[Any]]:
    """The outputs of several runs of at most so many rows, joined."""
    rows = len(next(iter(feeds.values())))
    outs: list[npt.NDArray[Any]] = []
    for start in range(0, rows, most):
        found = run({name: array[start : start + most] for name, array in feeds.items()})
        outs = outs or [np.empty((rows, *each.shape[1:]), each.dtype) for each in found]
        for out, each in zip(outs, found, strict=True):
            out[start : start + len(each)] = each
    return outs
