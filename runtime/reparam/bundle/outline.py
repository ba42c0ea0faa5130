"""What the gate found in a graph, so that nothing has to read its bytes again: tensors, nodes, and their order."""

import dataclasses
import math
import struct
from typing import Final

# data types of onnx.proto3 that a tensor may have: bytes of a value, and its letter in `struct`
SIZES: Final = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8}
LETTERS: Final = {1: "f", 2: "B", 3: "b", 4: "H", 5: "h", 6: "i", 7: "q", 9: "?", 10: "e", 11: "d", 12: "I", 13: "Q"}
FLOAT32: Final = 1
INT32: Final = 6
INT64: Final = 7
BOOL: Final = 9
FLOAT16: Final = 10
INTEGERS: Final = frozenset({2, 3, 4, 5, 6, 7, 12, 13})

MOST_KNOWN: Final = 64  # values of a tensor that are looked at: sizes and axes, never weights

Number = int | float

# Tensor and Node are not frozen: that would be a fifth of the time that reading them takes


@dataclasses.dataclass(slots=True)
class Tensor:
    """Weights or a constant: data type, shape, where in the file its bytes are, or few values as they are.

    Attributes:
        dtype: of onnx.proto3.
        shape: sizes, each from 0 to 2^31 - 1.
        first: where its raw bytes begin.
        values: of a tensor without raw bytes, and of an attribute, where they are few; None otherwise.
    """

    dtype: int
    shape: tuple[int, ...]
    first: int = -1
    values: tuple[Number, ...] | None = None

    def known(self, data: bytes) -> tuple[Number, ...] | None:
        """Its values, where they are at most `MOST_KNOWN`."""
        count = math.prod(self.shape)
        if self.values is not None or count > MOST_KNOWN or self.first < 0:
            return self.values
        return struct.unpack_from(f"<{count}{LETTERS[self.dtype]}", data, self.first)


Setting = int | float | str | tuple[Number, ...] | Tensor


@dataclasses.dataclass(slots=True)
class Node:
    """One operator with the names of what it takes ("" where it is left out) and gives, and its attributes."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Setting]


@dataclasses.dataclass(frozen=True)
class Outline:
    """A graph that passed the gate, without its weights: each value is made before it is used, and made once."""

    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: dict[str, Tensor]
    nodes: list[Node]


@dataclasses.dataclass(frozen=True)
class Admitted:
    """The bytes of a graph that passed the gate; only such are given to onnxruntime."""

    data: bytes
    outline: Outline
    strict: bool
    """Whether every operator is on the list."""
