"""Turns trained VAEs into two ONNX graphs whose noise is an input, proves them, and publishes the bundle."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reparam_export.pipeline import export

__all__ = ["export"]


def __getattr__(name: str) -> object:
    """Loads torch and onnx when `export` is first used, so that the command line answers without them."""
    if name != "export":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from reparam_export.pipeline import export

    return export
