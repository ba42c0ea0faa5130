"""Turns trained VAEs into two ONNX graphs whose noise is an input, proves them, and publishes the bundle."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reparam_export.adapters.modules import Modules
    from reparam_export.pipeline import export

__all__ = ["Modules", "export"]


def __getattr__(name: str) -> object:
    """Loads torch and onnx when a public name is first used, so that the command line answers without them."""
    if name == "export":
        from reparam_export.pipeline import export

        return export
    if name == "Modules":
        from reparam_export.adapters.modules import Modules

        return Modules
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
