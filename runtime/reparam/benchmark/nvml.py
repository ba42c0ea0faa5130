"""What NVIDIA's management library tells: cards, memory of a process, energy. It comes with the extra `nvml`."""

import contextlib
import importlib
from collections.abc import Generator
from typing import Any

from reparam.benchmark.report import Card


@contextlib.contextmanager
def _library() -> Generator[Any]:
    """The library, started.

    Raises:
        LookupError: why it cannot be asked.
    """
    try:
        library = importlib.import_module("pynvml")
    except ImportError:
        raise LookupError("nvidia-ml-py is not installed; pip install 'reparam[nvml]'") from None
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        raise LookupError(f"NVIDIA's management library does not start: {error}") from None
    try:
        yield library
    except library.NVMLError as error:
        raise LookupError(f"NVIDIA's management library fails: {error}") from None
    finally:
        library.nvmlShutdown()


def cards() -> tuple[tuple[Card, ...], str | None]:
    """The cards of this machine, and why none could be asked for, or None."""
    try:
        with _library() as nvml:
            driver = _text(nvml.nvmlSystemGetDriverVersion())
            handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
            found = tuple(
                Card(
                    name=_text(nvml.nvmlDeviceGetName(handle)),
                    driver=driver,
                    memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
                )
                for handle in handles
            )
    except LookupError as error:
        return (), str(error)
    return found, None


def memory_of(process: int, index: int) -> int | None:
    """Bytes of a card that a process holds now; None where that is not told."""
    with contextlib.suppress(LookupError), _library() as nvml:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        for each in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
            if each.pid == process and each.usedGpuMemory is not None:
                return int(each.usedGpuMemory)
    return None


def joules(index: int) -> float | None:
    """Energy that a card has taken since its driver started; None where that is not told."""
    with contextlib.suppress(LookupError), _library() as nvml:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(nvml.nvmlDeviceGetHandleByIndex(index))) / 1000
    return None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
