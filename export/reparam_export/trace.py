"""PyTorch to ONNX with torch's dynamo exporter, at the format's opset; what it leaves behind is for the passes."""

# pyright: reportUnknownMemberType=false
# (torch.onnx.export leaves some of its parameters untyped)

import contextlib
import logging
import warnings
from collections.abc import Generator
from typing import Any, Final

import onnx
import torch
from torch import nn

from reparam.engine.session import Contract
from reparam.errors import ExportError

OPSET: Final = 18  # from 21 on, GroupNormalization has no CPU kernel in onnxruntime


def trace(module: nn.Module, contract: Contract) -> onnx.ModelProto:
    """The module's graph, with the contract's names, a dynamic batch and, where it has them, dynamic sides.

    Args:
        module: in eval mode.
        contract: what the graph must take and give.

    Raises:
        ExportError: the tracer cannot follow the module.
    """
    sizes, dims = _axes(contract.factors)
    axes = {name: ("batch", *row) for name, row in contract.inputs.items()}
    examples = tuple(
        torch.zeros([sizes.get(axis, axis) for axis in found], dtype=getattr(torch, contract.dtype(name)))
        for name, found in axes.items()
    )
    dynamic = tuple({place: dims[axis] for place, axis in enumerate(row) if axis in dims} for row in axes.values())
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                examples,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(contract.inputs),
                output_names=list(contract.outputs),
                dynamic_shapes=dynamic,
                external_data=False,
                optimize=True,
                verbose=False,
            )
        except Exception as error:  # the tracer raises errors of many unrelated classes
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ExportError(
                f"{type(module).__name__}: torch cannot trace the model: {reason.strip()[:300]}"
            ) from error
    if program is None:
        raise ExportError(f"{type(module).__name__}: torch gave no graph; update torch")
    return program.model_proto


def _axes(factors: tuple[int, int] | None) -> tuple[dict[int | str, Any], dict[int | str, Any]]:
    """The size of each dynamic axis in the examples, and what the tracer is told of it.

    A size of 1 would be taken for a constant, and equal sizes for one. A side of x is its factor times the latent's.
    """
    sizes: dict[int | str, Any] = {"batch": 2}
    dims: dict[int | str, Any] = {"batch": torch.export.Dim("batch")}
    for side, factor, size in zip(("height", "width"), factors or (), (3, 4), strict=False):
        latent = torch.export.Dim(f"latent_{side}")
        sizes |= {f"latent_{side}": size, side: size * factor}
        dims |= {f"latent_{side}": latent, side: latent if factor == 1 else factor * latent}
    return sizes, dims


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keeps the tracer's notes on its own internals off the terminal; its errors come through."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
