"""One graph with buffers of its own: bound once, so that a run costs no look-up and no allocation."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from reparam.engine.session import Contract, GraphSession


class Binding:
    """Buffers for one batch size on the CPU, bound to a session for as long as this lives.

    Attributes:
        inputs: arrays to write into before a run, by name; C-contiguous, [batch, *row].
        outputs: arrays that hold the results after a run, by name.
    """

    def __init__(
        self, session: GraphSession, contract: Contract, batch: int, rows: Mapping[str, tuple[int, ...]]
    ) -> None:
        self._session = session
        self._bound = session.io_binding()

        def arrays(names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
            return {name: np.zeros((batch, *rows[name]), contract.dtype(name)) for name in names}

        self.inputs: dict[str, npt.NDArray[Any]] = arrays(contract.inputs)
        self.outputs: dict[str, npt.NDArray[Any]] = arrays(contract.outputs)
        for name, array in self.inputs.items():
            self._bound.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in self.outputs.items():
            self._bound.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def run(self) -> None:
        """Runs the graph on what the inputs hold; `RunError` where onnxruntime fails."""
        self._session.run_bound(self._bound)
