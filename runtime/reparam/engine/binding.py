"""Graphs with buffers of their own: bound once, so that a run costs no look-up and no allocation."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from reparam.arrays import finite
from reparam.engine.session import GraphSession


class Slot:
    """A bound input on the CPU: the buffer [batch, *row] that a run reads, of zeros at first."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.array: npt.NDArray[Any] = np.zeros(shape, dtype)
        self._shape, self._dtype = self.array.shape, self.array.dtype

    def takes(self, rows: object, *, allow_nan: bool) -> bool:
        """Copies rows that fit as they are, as nearly all do; False where they do not, or are not finite."""
        if type(rows) is not np.ndarray or rows.dtype is not self._dtype or rows.shape != self._shape:
            return False
        self.array[...] = rows
        return allow_nan or finite(self.array)


class Binding:
    """Inputs and outputs of one batch size, bound to a session for as long as this lives.

    Args:
        session: of the CPU.
        inputs: every input of the graph, by name.
        outputs: shape and dtype of those that are wanted, by name.

    Attributes:
        inputs: what a run reads, by name.
        outputs: arrays that hold the results after a run, in order.
        run: runs the graph on what the inputs hold; `RunError` where onnxruntime fails.
    """

    def __init__(
        self,
        session: GraphSession,
        inputs: Mapping[str, Slot],
        outputs: Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]],
    ) -> None:
        bound = session.io_binding()
        self.inputs: Mapping[str, Slot] = inputs
        self.outputs: list[npt.NDArray[Any]] = [np.zeros(shape, dtype) for shape, dtype in outputs.values()]
        for name, slot in inputs.items():
            array = slot.array
            bound.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in zip(outputs, self.outputs, strict=True):
            bound.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self.run: Callable[[], None] = session.runner(bound, outputs)
