"""NVIDIA's libraries, loaded from wherever pip put them, so that onnxruntime's CUDA provider finds them by name."""

import contextlib
import ctypes
import io
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

# What the CUDA provider of onnxruntime-gpu 1.31 links to (its NEEDED entries), the driver's first, and cuDNN, which the
# first convolution loads.
CUDA_LIBRARIES: Final = (
    "libcuda.so.1",
    "libcudart.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libcurand.so.10",
    "libcudnn.so.9",
)
_WANTED: Final = ("libnvrtc.so.13", "libcufft.so.12")  # by cuDNN, where it compiles a kernel; and by graphs with an FFT


def missing_libraries(onnxruntime: ModuleType) -> list[str]:
    """Those of CUDA_LIBRARIES that cannot be loaded, after the nvidia wheels' were."""
    # prints where it fails; whether it worked is asked below
    with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls(directory="")
    folders = _folders()  # since onnxruntime looks beside itself alone, and may be in a folder of PYTHONPATH
    for library in (*_WANTED, *CUDA_LIBRARIES):
        if not _loadable(library):
            _ = any(_loadable(str(folder / library)) for folder in folders if (folder / library).is_file())
    return [library for library in CUDA_LIBRARIES if not _loadable(library)]


def free_on_card() -> int:
    """Bytes that nobody holds of the card that this thread used last; a great many where nothing tells."""
    free, total = ctypes.c_size_t(2**62), ctypes.c_size_t()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(CUDA_LIBRARIES[1]).cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
    return free.value


def _folders() -> list[Path]:
    """Of libraries in nvidia wheels, in the order of sys.path."""
    return [folder for entry in sys.path for folder in sorted(Path(entry, "nvidia").glob("*/lib"))]


def _loadable(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
