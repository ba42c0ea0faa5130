"""What NVIDIA's library tells goes into the report, and a machine without it says so. A stand-in, no card is needed."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from reparam.benchmark import nvml


class NVMLError(Exception):
    pass


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("pynvml")
    handles = {"one": SimpleNamespace(total=80 * 2**30)}
    settings: dict[str, Any] = {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: b"580.1",
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda _: "one",
        "nvmlDeviceGetName": lambda _: "Card",
        "nvmlDeviceGetMemoryInfo": handles.__getitem__,
        "nvmlDeviceGetComputeRunningProcesses": lambda _: [
            SimpleNamespace(pid=1, usedGpuMemory=5),
            SimpleNamespace(pid=2, usedGpuMemory=None),
        ],
        "nvmlDeviceGetTotalEnergyConsumption": lambda _: 2500,
    }
    for name, value in settings.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


@pytest.mark.usefixtures("library")
def test_cards_memory_and_energy_are_read() -> None:
    cards, unseen = nvml.cards()
    assert unseen is None
    assert [(card.name, card.driver, card.memory_bytes) for card in cards] == [("Card", "580.1", 80 * 2**30)]
    assert (nvml.memory_of(1, 0), nvml.memory_of(2, 0), nvml.memory_of(3, 0)) == (5, None, None)
    assert nvml.joules(0) == 2.5


def test_a_library_that_does_not_start_is_a_reason_not_an_error(library: Any) -> None:
    def failing() -> None:
        raise NVMLError("Driver Not Loaded")

    library.nvmlInit = failing
    assert nvml.cards() == ((), "NVIDIA's management library does not start: Driver Not Loaded")
    assert nvml.joules(0) is None


def test_without_the_library_the_pip_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.cards() == ((), "nvidia-ml-py is not installed; pip install 'reparam[nvml]'")
    assert nvml.memory_of(1, 0) is None
