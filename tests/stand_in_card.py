"""A card where there is none: a stand-in for onnxruntime that runs graphs on the CPU under the card's name.

It keeps "device" memory apart from the host's, and behaves as onnxruntime's documentation says of captured graphs.
"""

import sys
import threading
import time
import types
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import onnxruntime as real
import pytest

from reparam.engine import device as devices
from reparam.engine.captures import guarded

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class Stream:
    """What is under way on the card: while one thread captures, whatever another asks for fails, and so does it all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: dict[int, int] = {}  # calls under way, by thread
        self._capturing: int | None = None

    @contextmanager
    def work(self, *, capture: bool = False) -> Generator[None]:
        """A call; CUDA's error 900 where it and a capture of another thread meet."""
        assert guarded(), "a card is asked for something outside of `beside_captures`"
        me = threading.get_ident()
        with self._lock:
            if self._capturing not in (None, me) or (capture and set(self._busy) - {me}):
                raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")
            self._busy[me] = self._busy.get(me, 0) + 1
            if capture:
                self._capturing = me
        try:
            if capture:
                time.sleep(0.002)
            yield
        finally:
            with self._lock:
                self._busy[me] -= 1
                if not self._busy[me]:
                    del self._busy[me]
                if capture:
                    self._capturing = None


STREAM = Stream()


class Value:
    """An OrtValue on the card: memory of its own, which only copies reach."""

    def __init__(self, array: np.ndarray) -> None:
        self.memory = array

    @classmethod
    def ortvalue_from_numpy(cls, array: np.ndarray, kind: str, index: int) -> "Value":
        assert (kind, index) == ("cuda", 0)
        with STREAM.work():
            return cls(array.copy())

    def update_inplace(self, array: np.ndarray) -> None:
        assert array.flags.c_contiguous
        assert (array.dtype, array.shape) == (self.memory.dtype, self.memory.shape)
        with STREAM.work():
            self.memory[...] = array

    def numpy(self) -> np.ndarray:
        with STREAM.work():
            return self.memory.copy()

    def shape(self) -> list[int]:
        return list(self.memory.shape)

    def data_type(self) -> str:
        return {"float32": "tensor(float)"}[str(self.memory.dtype)]

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, *, stream: int | None = None) -> "Value":
        with STREAM.work():  # the producer records where its own stream is
            assert stream == 1
        return self

    @classmethod
    def from_dlpack(cls, capsule: "Value") -> "Value":
        return capsule


class Bound:
    """An IOBinding of values on the card."""

    def __init__(self) -> None:
        self.inputs: dict[str, Value] = {}
        self.outputs: dict[str, Value] = {}

    def bind_ortvalue_input(self, name: str, value: Value) -> None:
        self.inputs[name] = value

    def bind_ortvalue_output(self, name: str, value: Value) -> None:
        self.outputs[name] = value

    def bind_output(self, name: str, kind: str, index: int) -> None:
        assert (kind, index) == ("cuda", 0)
        self.outputs[name] = Value(np.empty(0))

    def synchronize_inputs(self) -> None:
        with STREAM.work():
            pass

    def get_outputs(self) -> list[Value]:
        return [*self.outputs.values()]


class RunOptions:
    """Options of a run, which can be read again."""

    terminate = False

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_run_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class Card:
    """A session on the card. `most` rows fit into its memory; `made` are all sessions, `runs` all batches that ran."""

    most: ClassVar[int | None] = None
    all_here: ClassVar[bool] = True
    captures: ClassVar[bool] = True
    message: ClassVar[str] = "Failed to allocate memory for requested buffer of size 4096\nand a tail"
    made: ClassVar[list["Card"]] = []
    dropped: ClassVar[list[bool]] = []  # whether each that is gone was let go while no capture could be
    runs: ClassVar[list[int]] = []

    def __init__(self, data: bytes, options: Any, providers: list[Any], **_: Any) -> None:
        with STREAM.work():
            self.session = real.InferenceSession(data, options, providers=[CPU])
        (self.provider, self.options) = providers[0]
        self.settings = options
        if "enable_cuda_graph" in self.options and not self.all_here:
            raise RuntimeError("This session cannot use the graph capture feature as requested by the user")
        self.captured: dict[str, tuple[Bound, int]] = {}
        Card.made.append(self)

    def __del__(self) -> None:
        Card.dropped.append(guarded())

    def __getattr__(self, name: str) -> Any:
        if name == "_sess":
            raise AttributeError(name)
        return getattr(self.session, name)

    def disable_fallback(self) -> None:
        pass

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def run(self, names: list[str], feeds: dict[str, np.ndarray], _: object = None) -> list[np.ndarray]:
        assert "enable_cuda_graph" not in self.options, "arrays of the host move, a CUDA graph does not"
        rows = len(next(iter(feeds.values())))
        if self.most is not None and rows > self.most:
            raise RuntimeError(self.message)
        Card.runs.append(rows)
        with STREAM.work():
            found: list[np.ndarray] = self.session.run(names, feeds)
        return found

    def io_binding(self) -> Bound:
        return Bound()

    def run_with_iobinding(self, bound: Bound, options: RunOptions) -> None:
        assert ("gpu_graph_id" in options.entries) == ("enable_cuda_graph" in self.options)
        number = options.entries.get("gpu_graph_id", "-1")
        first = number != "-1" and number not in self.captured
        if number != "-1":
            if not self.captures:
                raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")
            bound, count = self.captured.get(number, (bound, 0))  # a replay knows the buffers of its capture alone
            self.captured[number] = bound, count + 1
        with STREAM.work(capture=first):
            found = self.session.run([*bound.outputs], {name: value.memory for name, value in bound.inputs.items()})
            for value, array in zip(bound.outputs.values(), found, strict=True):
                if value.memory.shape == array.shape:
                    value.memory[...] = array
                else:
                    value.memory = array


def installed(monkeypatch: pytest.MonkeyPatch) -> type[Card]:
    """An onnxruntime that has a card, until the test's end."""
    stand_in = type("Card", (Card,), {"made": [], "runs": [], "dropped": []})
    monkeypatch.setattr(Card, "made", stand_in.made)
    monkeypatch.setattr(Card, "runs", stand_in.runs)
    monkeypatch.setattr(Card, "dropped", stand_in.dropped)
    module = types.ModuleType("onnxruntime")
    module.__dict__.update(
        __version__=real.__version__,
        SessionOptions=real.SessionOptions,
        GraphOptimizationLevel=real.GraphOptimizationLevel,
        RunOptions=RunOptions,
        InferenceSession=stand_in,
        OrtValue=Value,
        get_available_providers=lambda: [CUDA, CPU],
        disable_telemetry_events=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    monkeypatch.setattr(devices, "missing_for_cuda", list)
    return stand_in
