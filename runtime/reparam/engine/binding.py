"""Graphs with buffers of their own: bound once, so that a run costs no look-up and no allocation.

What a pinned model asks of buffers, and those on the CPU; `card_binding` has those on a card.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from reparam.arrays import finite
from reparam.engine.session import GraphSession

Form = tuple[tuple[int, ...], npt.DTypeLike]  # shape, dtype


class Input(Protocol):
    """A bound input: what a run reads, of zeros at first."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[batch, *row]."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values."""
        ...

    def takes(self, rows: object, *, allow_nan: bool) -> bool:
        """Copies rows that fit as they are, as nearly all do; False where they do not, or are not finite."""
        ...

    def put(self, rows: npt.NDArray[Any]) -> None:
        """Copies rows of its shape and dtype."""
        ...


class Output(Protocol):
    """A bound output: what the last run gave; numpy reads it as an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[batch, *row]."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values."""
        ...

    def copy(self) -> npt.NDArray[Any]:
        """An array of the caller's own."""
        ...

    def __array__(self, dtype: Any = None, /, *, copy: bool | None = None) -> npt.NDArray[Any]: ...


class Bound(Protocol):
    """A graph with all it reads and gives."""

    @property
    def inputs(self) -> Mapping[str, Input]:
        """What a run reads, by name."""
        ...

    @property
    def outputs(self) -> list[Output]:
        """The results after a run, in order."""
        ...

    @property
    def run(self) -> Callable[[], None]:
        """Runs the graph on what the inputs hold; `RunError` where onnxruntime fails."""
        ...


class Buffers(Protocol):
    """Where inputs and outputs lie."""

    def input(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Input:
        """A new input, of zeros."""
        ...

    def bind(self, session: GraphSession, inputs: Mapping[str, Any], outputs: Mapping[str, Form]) -> Bound:
        """A graph with every input by name, made by `input`, and new outputs for those that are wanted."""
        ...


class Slot:
    """An input on the CPU: `array` is the buffer itself."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.array: npt.NDArray[Any] = np.zeros(shape, dtype)
        self.shape: tuple[int, ...] = self.array.shape
        self.dtype: np.dtype[Any] = self.array.dtype

    def takes(self, rows: object, *, allow_nan: bool) -> bool:
        """See `Input`."""
        if type(rows) is not np.ndarray or rows.dtype is not self.dtype or rows.shape != self.shape:
            return False
        self.array[...] = rows
        return allow_nan or finite(self.array)

    def put(self, rows: npt.NDArray[Any]) -> None:
        """See `Input`."""
        self.array[...] = rows


class Binding:
    """A graph over arrays on the CPU; see `Bound`."""

    def __init__(self, session: GraphSession, inputs: Mapping[str, Slot], outputs: Mapping[str, Form]) -> None:
        bound = session.io_binding()
        arrays = [np.zeros(shape, dtype) for shape, dtype in outputs.values()]
        self.inputs: Mapping[str, Slot] = inputs
        self.outputs: list[Output] = [*arrays]
        for name, slot in inputs.items():
            array = slot.array
            bound.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in zip(outputs, arrays, strict=True):
            bound.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self.run: Callable[[], None] = session.runner(bound, (inputs, arrays))


class HostBuffers:
    """Buffers on the CPU."""

    def input(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Slot:
        """See `Buffers`."""
        return Slot(shape, dtype)

    def bind(self, session: GraphSession, inputs: Mapping[str, Slot], outputs: Mapping[str, Form]) -> Binding:
        """See `Buffers`."""
        return Binding(session, inputs, outputs)
