"""What no program can go below on this device: bytes and operations of a model at the rates that were measured here."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def settle(device: torch.device) -> None:
    """Waits until the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fastest(call: Callable[[], object], device: torch.device, times: int) -> float:
    """Seconds of the fastest of some calls, each waited for."""
    best = math.inf
    for _ in range(times + 1):  # the first one warms up
        settle(device)
        begin = time.perf_counter()
        call()
        settle(device)
        best = min(best, time.perf_counter() - begin)
    return best


def bandwidth(device: torch.device, *, size: int = 1 << 30, times: int = 10) -> float:
    """Bytes a second that a copy of `size` bytes within the device's memory reads and writes."""
    source = torch.ones(size // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return 2 * size / fastest(lambda: target.copy_(source), device, times)


def matrix_rate(device: torch.device, dtype: torch.dtype, *, side: int = 8192, times: int = 10) -> float:
    """Operations a second of a product of two square matrices, TF32 off."""
    one = torch.randn(side, side, device=device, dtype=dtype)
    return 2 * side**3 / fastest(lambda: one @ one, device, times)


class Work:
    """What one run of a function costs at the least.

    Attributes:
        operations: of products and convolutions, as PyTorch counts them.
        least_bytes: weights, inputs and outputs, each once.
        layer_bytes: the same, and what every layer with weights reads and gives, each once: a run that fuses nothing
            across such layers moves that much.
    """

    def __init__(self, function: Callable[[Any], Any], module: torch.nn.Module, given: Any) -> None:
        moved: list[int] = []
        weights: set[torch.nn.Parameter] = set()

        def look(layer: torch.nn.Module, inputs: Any, output: Any) -> None:
            own = list(layer.parameters(recurse=False))
            if own:
                weights.update(own)
                moved.extend(_bytes(each) for each in (*inputs, output))

        hooks = [layer.register_forward_hook(look) for layer in module.modules() if not list(layer.children())]
        try:
            with torch.inference_mode(), FlopCounterMode(display=False) as counter:
                found = function(given)
        finally:
            for hook in hooks:
                hook.remove()
        held = sum(_bytes(each) for each in weights)
        self.operations: int = counter.get_total_flops()
        self.least_bytes: int = held + _bytes(given) + sum(_bytes(each) for each in _tensors(found))
        self.layer_bytes: int = max(self.least_bytes, held + sum(moved))

    def seconds(self, *, bytes_a_second: float, operations_a_second: float) -> tuple[float, float]:
        """The floor, and the floor of a run that fuses nothing across layers."""
        products = self.operations / operations_a_second
        return max(products, self.least_bytes / bytes_a_second), max(products, self.layer_bytes / bytes_a_second)


def _tensors(found: Any) -> list[Any]:
    return [found] if isinstance(found, torch.Tensor) else list(found)


def _bytes(tensor: Any) -> int:
    return tensor.numel() * tensor.element_size() if isinstance(tensor, torch.Tensor) else 0
