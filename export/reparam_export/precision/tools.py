"""onnxruntime's own tools for smaller precisions, imported when they are used and without its types, which it lacks."""

import importlib
from typing import Any

from reparam.engine.wheel import import_onnxruntime
from reparam.errors import MissingExtra


def tool(name: str) -> Any:
    """The module onnxruntime.NAME.

    Raises:
        MissingExtra: onnxruntime, or something that this tool of it needs, is not installed.
    """
    import_onnxruntime()
    try:
        return importlib.import_module(f"onnxruntime.{name}")
    except ModuleNotFoundError as error:
        raise MissingExtra(f"onnxruntime.{name} needs {error.name}; pip install {error.name}") from None
