"""Turns trained VAEs into two ONNX graphs whose noise is an input, proves them, and publishes the bundle."""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reparam_export.adapters.modules import Modules
    from reparam_export.layouts.writing import lay_out
    from reparam_export.optimum.importing import import_optimum
    from reparam_export.pipeline import export

__all__ = ["Modules", "export", "import_optimum", "lay_out"]

_PLACES: Final = {
    "Modules": "reparam_export.adapters.modules",
    "export": "reparam_export.pipeline",
    "import_optimum": "reparam_export.optimum.importing",
    "lay_out": "reparam_export.layouts.writing",
}


def __getattr__(name: str) -> object:
    """Loads onnx, and torch where it is needed, when a name is first used: the command line answers without them."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
