"""Imports onnxruntime, telemetry off, and says which pip line mends a missing or doubled wheel."""

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from reparam.errors import MissingExtra

WHEELS: Final = ("onnxruntime", "onnxruntime-gpu")


def installed_wheels() -> dict[str, str]:
    """Versions of the onnxruntime wheels that an import takes, by name: one, unless both lie in one folder.

    Of wheels in two folders, such as one of PYTHONPATH and the environment's own, the first on sys.path is taken.
    """
    found: dict[str, importlib.metadata.Distribution] = {}
    for name in WHEELS:
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    folders = {name: Path(str(wheel.locate_file(""))).resolve() for name, wheel in found.items()}
    if len(set(folders.values())) == 2:
        try:
            spec = importlib.util.find_spec("onnxruntime")
        except ValueError:  # a program put a module without a spec in its place
            spec = None
        taken = Path(spec.origin).parents[1].resolve() if spec and spec.origin else None
        found = {name: wheel for name, wheel in found.items() if folders[name] == taken}
    return {name: wheel.version for name, wheel in found.items()}


def import_onnxruntime() -> ModuleType:
    """The onnxruntime module.

    Its telemetry starts a thread when the library is first imported, unless this variable is set by then; where the
    program imported it earlier, it is switched off through its own function.

    Raises:
        MissingExtra: neither wheel is installed, or both are, in one folder, where they overwrite each other.
    """
    loaded = sys.modules.get("onnxruntime")
    if isinstance(loaded, ModuleType):
        loaded.disable_telemetry_events()
        return loaded
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    wheels = installed_wheels()
    if len(wheels) == 2:
        raise MissingExtra(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other; "
            "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install 'reparam[gpu]' or 'reparam[cpu]'"
        )
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        if wheels:
            raise MissingExtra(f"onnxruntime is installed but cannot be imported: {error}; reinstall it") from error
        raise MissingExtra(
            "onnxruntime is not installed; pip install 'reparam[cpu]', or 'reparam[gpu]' for a CUDA card"
        ) from None
    onnxruntime.disable_telemetry_events()
    return onnxruntime
