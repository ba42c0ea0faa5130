"""Which device a model runs on: asked for strictly, checked before onnxruntime can fall back in silence."""

import dataclasses
import inspect
import re
import sys
import warnings
from typing import Final, Literal

from reparam.engine.libraries import missing_libraries
from reparam.engine.wheel import import_onnxruntime, installed_wheels
from reparam.errors import DeviceUnavailable, OptionError

CUDA: Final = "CUDAExecutionProvider"
CPU: Final = "CPUExecutionProvider"


@dataclasses.dataclass(frozen=True)
class Device:
    """A device by kind and number; `str` gives the name a user would write."""

    kind: Literal["cpu", "cuda"]
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"cuda:{self.index}"

    @property
    def provider(self) -> str:
        """Onnxruntime's name for what runs there."""
        return CPU if self.kind == "cpu" else CUDA


def providers(device: Device, *, tf32: bool, capture: bool) -> list[tuple[str, dict[str, str]]]:
    """What a session on the device asks onnxruntime for.

    Args:
        device: where it runs.
        tf32: whether a card may round the factors of float32 products to 10 bits of mantissa. Without it onnxruntime
            looks for kernels of convolutions off the tensor cores first, of half precision too.
        capture: whether the session's runs are captured in CUDA graphs.
    """
    if device.kind == "cpu":
        return [(CPU, {})]
    options = {
        "device_id": str(device.index),
        "use_tf32": str(int(tf32)),
        # one of cuDNN's heuristics, whose answer repeats; nothing here is chosen by the clock
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    return [(CUDA, options | ({"enable_cuda_graph": "1"} if capture else {}))]


def missing_for_cuda() -> list[str]:
    """What keeps onnxruntime from running on CUDA here, by name; empty where nothing does.

    Asks the wheel, then the system's loader for each library, since onnxruntime itself would only log.
    """
    onnxruntime = import_onnxruntime()
    if CUDA not in onnxruntime.get_available_providers():
        wheel = ", ".join(f"{name} {version}" for name, version in installed_wheels().items()) or "onnxruntime"
        return [f"the CUDA provider (installed is {wheel})"]
    if sys.platform != "linux":
        return []
    return missing_libraries(onnxruntime)


def _advice(missing: list[str]) -> str:
    if any("provider" in item for item in missing):
        return "pip uninstall -y onnxruntime, then pip install 'reparam[gpu]'"
    if "libcuda.so.1" in missing:
        return "install NVIDIA's driver, or run where there is a card"
    return "pip install 'reparam[cuda]'"


def resolve(device: str) -> Device:
    """The device that a name means here.

    Args:
        device: "cpu", "cuda", "cuda:N", or "auto": cuda where it can be had, else cpu with one Python warning.

    Raises:
        OptionError: another name.
        DeviceUnavailable: cuda was named and cannot be had, with what is missing and what to do.
    """
    if device == "cpu":
        return Device("cpu")
    match = re.fullmatch(r"cuda(?::([0-9]{1,3}))?", str(device))
    if device != "auto" and match is None:
        raise OptionError(f"device: must be auto, cpu, cuda or cuda:N, got {device!r}")
    missing = missing_for_cuda()
    if not missing:
        return Device("cuda", int(match[1] or 0) if match else 0)
    what = f"{', '.join(missing)} missing; {_advice(missing)}"
    if device != "auto":
        raise DeviceUnavailable(f"device: {device} cannot be had here: {what}, or use device='cpu'")
    warn_caller(f"reparam runs on the CPU: {what}, or pass device='cpu' to choose it")
    return Device("cpu")


def warn_caller(message: str) -> None:
    """One Python warning, shown at the line outside this package that led here."""
    level, frame = 1, inspect.currentframe()
    while frame and frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "reparam":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RuntimeWarning, stacklevel=level)
