"""A model's arms in one process, in turn: this runtime's ways, PyTorch as it is, and compiled.

Two groups, each with its own span of a call: numpy array to numpy array, copies to a card and back included; and
tensors that lie on the device before and after.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from floor import Work, settle
from models import Model

import reparam
from reparam.engine.wheel import import_onnxruntime

Operation = Literal["encode", "decode"]
Call = Callable[[], Any]
Arms = dict[str, tuple[Call, Callable[[Any], list[np.ndarray]]]]  # what is timed, and how its results become arrays
_VISIT = 2e-3  # seconds of an arm's calls in one round
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


class Twin:
    """A model in PyTorch on a device, in one precision; float32 in and out, as the bundle has it."""

    def __init__(
        self, model: Model, device: torch.device, precision: str, weights: Mapping[str, Any], *, modes: Sequence[str]
    ) -> None:
        """Of float32 weights, since the module may hold what another precision left of them.

        modes are those of torch.compile, an arm each.
        """
        self.device, self.dtype, self._modes = device, _DTYPES[precision], modes
        model.module.to(dtype=torch.float32).load_state_dict(weights)
        self.module = model.module.to(device=device, dtype=self.dtype)
        self._functions: dict[str, Callable[[Any], Any]] = {"encode": model.encode, "decode": model.decode}

    def work(self, operation: Operation, rows: np.ndarray) -> Work:
        """What one run of these rows costs at the least."""
        return Work(self._functions[operation], self.module, self._there(rows))

    def arms(self, operation: Operation, rows: np.ndarray) -> tuple[Arms, Arms]:
        """Numpy to numpy, and on the device: eager, and compiled."""
        there = torch.as_tensor(rows, device=self.device)
        functions = {"torch": self._functions[operation]}
        torch.compiler.reset()
        for mode in self._modes:
            functions[f"torch-{mode}"] = torch.compile(self._functions[operation], mode=mode)
        host: Arms = {}
        device: Arms = {}
        for name, function in functions.items():
            run = self._runner(function)
            host[name] = (lambda run=run: [each.cpu().numpy() for each in run(self._there(rows))]), list
            device[name] = (lambda run=run: self._waited(run(there.to(self.dtype)))), _arrays
        return host, device

    def _there(self, rows: np.ndarray) -> Any:
        return torch.as_tensor(rows, device=self.device).to(self.dtype)

    def _runner(self, function: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
        def run(given: Any) -> list[Any]:
            with torch.inference_mode():
                found = function(given)
                return [each.float() for each in ([found] if isinstance(found, torch.Tensor) else found)]

        return run

    def _waited(self, found: Any) -> Any:
        settle(self.device)  # as onnxruntime waits for its stream
        return found


def _arrays(found: list[Any]) -> list[np.ndarray]:
    return [each.cpu().numpy() for each in found]


def from_host(vae: reparam.VAE, fast: reparam.Pinned, operation: Operation, rows: np.ndarray) -> Arms:
    """This runtime's arms from numpy to numpy: `VAE`'s own call, and a pinned model, with CUDA graphs on a card."""
    pinned = "cuda-graph" if fast.cuda_graph else "pinned"
    if operation == "encode":
        return {"numpy": (lambda: vae.encode(rows), _moments), pinned: (lambda: fast.encode(rows), _moments)}
    return {"numpy": (lambda: vae.decode(rows), _one), pinned: (lambda: fast.decode(rows), _one)}


def on_device(vae: reparam.VAE, operation: Operation, rows: np.ndarray) -> Arms:
    """This runtime's arm on the device: device arrays, a plain run with its outputs made anew."""
    kind, _, index = vae.info().device.partition(":")
    value = import_onnxruntime().OrtValue.ortvalue_from_numpy(rows, kind, int(index or 0))
    door = vae.device_arrays()
    if operation == "encode":
        return {"device": (lambda: door.encode(value), lambda found: [each.numpy() for each in found])}
    return {"device": (lambda: door.decode(value), lambda found: [found.numpy()])}


def _moments(found: Any) -> list[np.ndarray]:
    return [found.mean, found.logvar]


def _one(found: np.ndarray) -> list[np.ndarray]:
    return [found]


def distance(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """Largest difference of any value, as a share of its result's largest magnitude; inf where one is not finite."""
    worst = 0.0
    for one, other in zip(found, wanted, strict=True):
        difference = float(np.abs(one - other).max())
        worst = max(worst, difference / max(1e-6, float(np.abs(other).max())) if np.isfinite(difference) else np.inf)
    return worst


def in_turn(arms: dict[str, Call], seconds: float) -> dict[str, list[float]]:
    """Seconds of one call of each arm, round by round: the median of its visit. Both orders take turns."""
    counts: dict[str, int] = {}
    for name, call in arms.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of compilers
            for _ in range(3):  # compiles, captures, warms up
                call()
        counts[name] = max(1, int(_VISIT / max(1e-7, next(_timed(call, 1)))))
    found: dict[str, list[float]] = {name: [] for name in arms}
    end = time.perf_counter() + seconds
    turn = 0
    while time.perf_counter() < end or turn < 4:
        for name in list(arms)[:: 1 if turn % 2 else -1]:
            found[name].append(statistics.median(_timed(arms[name], counts[name])))
        turn += 1
    return found


def _timed(call: Call, times: int) -> Iterator[float]:
    for _ in range(times):
        begin = time.perf_counter()
        call()
        yield time.perf_counter() - begin
