"""Buffers of a pinned model on a CUDA card, and CUDA graphs that replay its runs over them.

Inputs are copied to the card into memory that stays, outputs from it into new arrays. A CUDA graph holds every kernel
of a run with these very addresses, so that a call starts all of them at once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam.arrays import finite
from reparam.engine.binding import Form, Output
from reparam.engine.captures import beside_captures, capturing
from reparam.engine.card import CardSession
from reparam.engine.device import Device
from reparam.engine.session import GraphSession, failure
from reparam.engine.wheel import import_onnxruntime
from reparam.errors import DeviceUnavailable, RunError

_FIRST_RUNS: Final = 3  # onnxruntime allocates in the first, and captures at the latest in the third


def _asking(call: Callable[..., Any]) -> Callable[..., Any]:
    """A copy to or from a card, which no capture meets; `RunError` where it fails, `OutOfMemory` where it is full."""
    waiting = beside_captures(call)

    def ask(*given: Any) -> Any:
        try:
            return waiting(*given)
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise failure(error, "pinned", on_card=True) from error

    return ask


def _on_card(form: Form, device: Device) -> Any:
    """An OrtValue of zeros on the device."""
    shape, dtype = form
    make = _asking(import_onnxruntime().OrtValue.ortvalue_from_numpy)
    return make(np.zeros(shape, dtype), device.kind, device.index)


class CardSlot:
    """An input on a card; `value` is the OrtValue that keeps its address. See `reparam.engine.binding.Input`."""

    def __init__(self, form: Form, device: Device) -> None:
        self.value: Any = _on_card(form, device)
        self._copied = _asking(self.value.update_inplace)
        self.shape: tuple[int, ...] = form[0]
        self.dtype: np.dtype[Any] = np.dtype(form[1])

    def takes(self, rows: object, *, allow_nan: bool) -> bool:
        """See `Input`."""
        if type(rows) is not np.ndarray or rows.dtype is not self.dtype or rows.shape != self.shape:
            return False
        if not allow_nan and not finite(rows):
            return False
        self.put(rows)
        return True

    def put(self, rows: npt.NDArray[Any]) -> None:
        """See `Input`; the copy is done when this returns."""
        self._copied(np.ascontiguousarray(rows))


class CardResult:
    """An output on a card; each look copies it from there. See `reparam.engine.binding.Output`."""

    def __init__(self, form: Form, device: Device) -> None:
        self.value: Any = _on_card(form, device)
        self._copied = _asking(self.value.numpy)
        self.shape: tuple[int, ...] = form[0]
        self.dtype: np.dtype[Any] = np.dtype(form[1])

    def copy(self) -> npt.NDArray[Any]:
        """See `Output`."""
        found: npt.NDArray[Any] = self._copied()
        return found

    def __array__(self, dtype: Any = None, /, *, copy: bool | None = None) -> npt.NDArray[Any]:
        return self.copy() if dtype is None else self.copy().astype(dtype, copy=False)


class CardBinding:
    """A graph over buffers on a card; see `reparam.engine.binding.Bound`.

    Args:
        session: of the card.
        inputs: every input of the graph, by name.
        outputs: shape and dtype of those that are wanted, by name.
        device: the card.
        graph: number of the CUDA graph to capture, in a session that captures; None for plain runs.

    Raises:
        RunError: onnxruntime cannot capture it.
    """

    def __init__(
        self,
        session: GraphSession,
        inputs: Mapping[str, CardSlot],
        outputs: Mapping[str, Form],
        *,
        device: Device,
        graph: int | None,
    ) -> None:
        bound = session.io_binding()
        results = [CardResult(form, device) for form in outputs.values()]
        self.inputs: Mapping[str, CardSlot] = inputs
        self.outputs: list[Output] = [*results]
        for name, slot in inputs.items():
            bound.bind_ortvalue_input(name, slot.value)
        for name, result in zip(outputs, results, strict=True):
            bound.bind_ortvalue_output(name, result.value)
        self.run: Callable[[], None] = session.runner(bound, (inputs, results), graph=graph)
        if graph is not None:
            with capturing():
                for _ in range(_FIRST_RUNS):
                    self.run()


class CardBuffers:
    """Buffers on a card, of one pinned model and its thread.

    The sessions that capture are its own: a graph's memory between two kernels is the session's, which another
    thread's run would write into.

    Args:
        device: the card.
        cuda_graph: whether runs are captured; None for where that is possible.

    Attributes:
        cuda_graph: whether every graph bound so far is a CUDA graph; None while there is none.
    """

    def __init__(self, device: Device, *, cuda_graph: bool | None) -> None:
        self._device, self._wish = device, cuda_graph
        self._capturing: dict[int, GraphSession] = {}  # by the id of the model's own session
        self._graphs = 0
        self.cuda_graph: bool | None = None

    def input(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> CardSlot:
        """See `Buffers`."""
        return CardSlot((shape, dtype), self._device)

    def bind(self, session: GraphSession, inputs: Mapping[str, CardSlot], outputs: Mapping[str, Form]) -> CardBinding:
        """See `Buffers`.

        Raises:
            DeviceUnavailable, RunError: it shall be captured and cannot be.
        """
        found: CardBinding | None = None
        if self._wish is not False and isinstance(session, CardSession):
            try:
                found = self._captured(session, inputs, outputs)
            except (DeviceUnavailable, RunError):
                if self._wish:
                    raise
            if found is None:  # a session whose capture failed may hold half of it
                beside_captures(self._forget)(session)
        self.cuda_graph = found is not None and self.cuda_graph is not False
        return found or CardBinding(session, inputs, outputs, device=self._device, graph=None)

    def _forget(self, session: CardSession) -> None:
        self._capturing.pop(id(session), None)

    def _captured(
        self, session: CardSession, inputs: Mapping[str, CardSlot], outputs: Mapping[str, Form]
    ) -> CardBinding:
        if id(session) not in self._capturing:
            self._capturing[id(session)] = session.capturing()
        self._graphs += 1
        return CardBinding(self._capturing[id(session)], inputs, outputs, device=self._device, graph=self._graphs)
