"""Devices and wheels that cannot be had."""

import contextlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from catalogue.row import Place, Row

GENERATE = "reparam generate AT/bundle 3 --seed 7 --out AT/new.npy"


@contextlib.contextmanager
def without_cuda(_: Place) -> Iterator[None]:
    """An onnxruntime that knows the CPU alone."""
    import onnxruntime

    with mock.patch.object(onnxruntime, "get_available_providers", return_value=["CPUExecutionProvider"]):
        yield


@contextlib.contextmanager
def wheels(*names: str) -> Iterator[None]:
    """These wheels of onnxruntime are installed, as far as anybody can see, and nothing has imported one."""
    real = importlib.metadata.distribution

    def distribution(name: str) -> Any:
        if name.startswith("onnxruntime"):
            if name not in names:
                raise importlib.metadata.PackageNotFoundError(name)
            return SimpleNamespace(version="1.31.1", locate_file=Path)
        return real(name)

    hidden = {name: None for name in list(sys.modules) if name.partition(".")[0] == "onnxruntime"} | {
        "onnxruntime": None
    }
    with mock.patch.dict(sys.modules, hidden), mock.patch.object(importlib.metadata, "distribution", distribution):
        yield


ROWS = [
    Row(
        key="device-cuda",
        fault="CUDA where the wheel has none",
        way=f"{GENERATE} --device cuda",
        message="device: cuda cannot be had here: the CUDA provider (installed is <wheel>) missing; pip uninstall -y "
        "onnxruntime, then pip install 'reparam[gpu]', or use device='cpu'",
        code=5,
        make=Place.bundle,
        during=without_cuda,
    ),
    Row(
        key="device-name",
        fault="a device that there is not",
        way=f"{GENERATE} --device gpu",
        message="device: must be auto, cpu, cuda or cuda:N, got 'gpu'",
        code=2,
        make=Place.bundle,
    ),
    Row(
        key="device-precision",
        fault="a precision that the bundle does not hold",
        way='reparam.load("AT/bundle", device="cpu", precision="int8")',
        message="precision: AT/bundle has fp32, got 'int8'; export it with that precision",
        code=2,
        error="OptionError",
        make=Place.bundle,
    ),
    Row(
        key="device-no-wheel",
        fault="no onnxruntime",
        way=f"{GENERATE} --device cpu",
        message="onnxruntime is not installed; pip install 'reparam[cpu]', or 'reparam[gpu]' for a CUDA card",
        code=5,
        make=Place.bundle,
        during=lambda _: wheels(),
    ),
    Row(
        key="device-two-wheels",
        fault="both wheels of onnxruntime",
        way=f"{GENERATE} --device cpu",
        message="onnxruntime and onnxruntime-gpu are both installed and overwrite each other; pip uninstall -y "
        "onnxruntime onnxruntime-gpu, then pip install 'reparam[gpu]' or 'reparam[cpu]'",
        code=5,
        make=Place.bundle,
        during=lambda _: wheels("onnxruntime", "onnxruntime-gpu"),
    ),
    Row(
        key="device-broken-wheel",
        fault="a wheel of onnxruntime that cannot be imported",
        way=f"{GENERATE} --device cpu",
        message="onnxruntime is installed but cannot be imported: <reason>; reinstall it",
        code=5,
        make=Place.bundle,
        during=lambda _: wheels("onnxruntime"),
    ),
    Row(
        key="device-threads",
        fault="more threads than can be",
        way=f"{GENERATE} --threads 99999999999999 --device cpu",
        message="threads: must be an integer from 1 to <n>, got 99999999999999",
        code=2,
        make=Place.bundle,
    ),
]
