"""A model as it can be traced here: in float32 on the CPU, the caller's own left as it is."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from reparam.errors import ExportError
from reparam_export.adapters.reasons import reason

Module = TypeVar("Module", bound=nn.Module)


def as_traceable(module: Module, *, what: str) -> Module:
    """The module itself where it is in float32 on the CPU, else a copy that is.

    Args:
        module: anyone's; it is not changed.
        what: how messages call it.

    Raises:
        ExportError: weights without values, or a module that cannot be copied.
    """
    tensors = [*module.parameters(), *module.buffers()]
    if any(tensor.is_meta for tensor in tensors):
        raise ExportError(f"{what}: its weights are on the device meta and have no values; load them first")
    if all(_fits(tensor) for tensor in tensors):
        return module
    try:
        return copy.deepcopy(module).to("cpu", torch.float32)
    except Exception as error:  # a module's own code is called, which may raise anything
        raise ExportError(f"{what}: cannot be copied to the CPU in float32: {reason(error)}; pass it so") from error


def needs_copy(module: nn.Module) -> bool:
    """Whether `as_traceable` would copy the module."""
    return not all(_fits(tensor) for tensor in (*module.parameters(), *module.buffers()))


def _fits(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and (tensor.dtype == torch.float32 or not tensor.is_floating_point())
