"""Folders that pythae's `save` wrote, as far as they can be read without running pickled code.

A net of someone's own is saved by pythae as a pickle of its code, which is refused. The weights of the default nets are
read with torch's weights_only.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (pythae has no types)

import json
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from reparam.errors import CheckpointError, MissingExtra
from reparam.files.regular import read_regular
from reparam_export.adapters.paths import MOST_CONFIG
from reparam_export.adapters.reasons import reason

_CONFIG: Final = "model_config.json"
_WEIGHTS: Final = "model.pt"


def is_folder(folder: Path) -> bool:
    """Whether pythae wrote it."""
    return (folder / _CONFIG).is_file() and (folder / _WEIGHTS).is_file()


def read_folder(folder: Path) -> nn.Module:
    """The model of a folder, on the CPU.

    Raises:
        CheckpointError: nets that are saved as pickled code, or files that cannot be read.
        MissingExtra: pythae is not installed.
    """
    config = _config(folder)
    if not (config.get("uses_default_encoder", True) and config.get("uses_default_decoder", True)):
        raise CheckpointError(
            f"{folder}: its nets are saved as pickled code, which is not run; load it in Python, if you trust it, and "
            "pass the model to reparam_export.export"
        )
    try:
        from pythae import models
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{folder}: a model of pythae needs {error.name}; pip install pythae") from None
    name = str(config.pop("name", ""))
    kind = name.removesuffix("Config").removesuffix("_")
    if name not in models.__all__ or kind not in models.__all__ or kind == name:
        raise CheckpointError(f"{folder}/{_CONFIG}: names no model of pythae, got {name!r:.80}; save the model again")
    weights = _weights(folder / _WEIGHTS)
    try:
        model: nn.Module = getattr(models, kind)(getattr(models, name)(**config))
        model.load_state_dict(weights["model_state_dict"], strict=True)
    except Exception as error:  # pythae, pydantic and torch raise errors of many unrelated classes
        raise CheckpointError(f"{folder}: pythae cannot read the model: {reason(error)}; save it again") from error
    return model


def _weights(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's own words advise to load it as code
        raise CheckpointError(
            f"{file}: is no file of weights alone, and code is not run; save the model again"
        ) from error


def _config(folder: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads(read_regular(folder / _CONFIG, most=MOST_CONFIG))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder}/{_CONFIG}: cannot be read: {error}; save the model again") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{folder}/{_CONFIG}: must hold an object; save the model again")
    return found
