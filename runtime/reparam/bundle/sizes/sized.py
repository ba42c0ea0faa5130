"""A value of a graph while its sizes are found: data type, shape, and its numbers where they decide other shapes."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

from reparam.bundle.outline import FLOAT32, INT64, INTEGERS, MOST_KNOWN, Node, Number, Tensor

Shape = tuple[int, ...]

LONGEST: Final = 2**31 - 1  # of a side
RANK: Final = 8
_WORD: Final = 2**63


class Sized(NamedTuple):
    """One value: its numbers are known only of small tensors that follow from constants and shapes."""

    dtype: int = FLOAT32
    shape: Shape = ()
    values: tuple[Number, ...] | None = None

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


class Call(NamedTuple):
    """A node with what is known of its inputs; None stands for one that is left out."""

    node: Node
    inputs: Sequence[Sized | None]
    opset: int

    def given(self, place: int) -> Sized:
        """An input that must be there."""
        found = self.inputs[place] if place < len(self.inputs) else None
        if found is None:
            raise ValueError(f"input {place} is missing")
        return found

    def optional(self, place: int) -> Sized | None:
        """An input, or None where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def whole(self, name: str, default: int) -> int:
        """An attribute that is one whole number."""
        return cast("int", self.node.attributes.get(name, default))

    def wholes(self, name: str) -> tuple[int, ...] | None:
        """An attribute that is a list of whole numbers, or None."""
        return cast("tuple[int, ...] | None", self.node.attributes.get(name))

    def word(self, name: str, default: str) -> str:
        """An attribute that is a word."""
        return cast("str", self.node.attributes.get(name, default))

    def tensor(self, name: str) -> Tensor | None:
        """An attribute that is a tensor, or None."""
        return cast("Tensor | None", self.node.attributes.get(name))

    def integers(self, place: int) -> tuple[int, ...]:
        """The numbers of an input that decides a shape: they must follow from constants and shapes alone."""
        found = self.given(place)
        if found.values is None or any(not isinstance(value, int) for value in found.values):
            raise ValueError(f"input {place} decides a size and is not known before the graph runs")
        if len(found.shape) > 1:
            raise ValueError(f"input {place} must be a list of numbers")
        return cast("tuple[int, ...]", found.values)


def known(dtype: int, shape: Shape, values: Sequence[Number] | None) -> Sized:
    """A value with its numbers, where they are few and fit into 64 bits; without them else."""
    if values is None or len(values) > MOST_KNOWN:
        return Sized(dtype, shape)
    if dtype in INTEGERS and values and not -_WORD <= min(values) <= max(values) < _WORD:
        return Sized(dtype, shape)
    return Sized(dtype, shape, tuple(values))


def listed(values: Sequence[int]) -> Sized:
    """A list of int64."""
    return known(INT64, (len(values),), values)


def axis_of(axis: int, rank: int, *, extra: int = 0) -> int:
    """An axis counted from the front.

    Raises:
        ValueError: there is no such axis.
    """
    if not -rank - extra <= axis < rank + extra:
        raise ValueError(f"axis {axis} is not of {rank} axes")
    return axis % (rank + extra)


def axes_of(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front, each once."""
    found = tuple(axis_of(axis, rank) for axis in axes)
    if len(set(found)) != len(found):
        raise ValueError(f"an axis stands twice in {list(axes)}")
    return found


def broadcast(*shapes: Shape) -> Shape:
    """The shape that all of these are stretched to.

    Raises:
        ValueError: two sides differ and neither is 1.
    """
    if shapes.count(shapes[0]) == len(shapes):
        return shapes[0]
    rank = max(map(len, shapes))
    found = [1] * rank
    for shape in shapes:
        for place, side in enumerate(shape, rank - len(shape)):
            if side != found[place]:
                if found[place] != 1 and side != 1:
                    raise ValueError(f"shapes {' and '.join(str(list(each)) for each in shapes)} do not fit")
                found[place] = max(side, found[place]) if 0 not in (side, found[place]) else 0
    return tuple(found)


def same(shape: Shape, wanted: Shape, what: str) -> None:
    """Refuses another shape than the one that is wanted."""
    if shape != wanted:
        raise ValueError(f"{what} must have shape {list(wanted)}, has {list(shape)}")
