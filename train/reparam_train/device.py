"""Where training runs, and torch's process-wide settings while it does."""

import contextlib
import os
import shutil
from collections.abc import Generator
from typing import Any

import torch

from reparam.engine.threads import available_threads
from reparam.errors import DeviceUnavailable
from reparam_train.options import Device


def pick(name: Device) -> torch.device:
    """The device of that name; "auto" is CUDA where torch sees a card. `DeviceUnavailable` where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable(f"device: cuda asked for, but torch {torch.__version__} sees no card; use --device cpu")
    return torch.device(name)


def check_compiler(where: torch.device) -> None:
    """`DeviceUnavailable` unless torch.compile finds what it needs for this device."""
    names = [os.environ.get("CXX", ""), "g++", "clang++", "cl"]
    if where.type == "cpu" and not any(name and shutil.which(name) for name in names):
        raise DeviceUnavailable("compile: needs a C++ compiler on a CPU, found none; install g++ or leave it out")


@contextlib.contextmanager
def torch_settings(threads: int | None) -> Generator[None]:
    """The thread count, and cuDNN's deterministic algorithms; both as before when the block ends."""
    threads_before = torch.get_num_threads()
    cudnn: Any = torch.backends.cudnn  # a module that replaces itself by an object with properties
    cudnn_before = cudnn.deterministic, cudnn.benchmark
    try:
        # torch counts cores, not what a container grants; under torchrun it has fewer already
        torch.set_num_threads(threads or min(threads_before, available_threads()))
        cudnn.deterministic, cudnn.benchmark = True, False
        yield
    finally:
        torch.set_num_threads(threads_before)
        cudnn.deterministic, cudnn.benchmark = cudnn_before
