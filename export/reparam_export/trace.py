"""PyTorch to ONNX with torch's dynamo exporter, at the format's opset; what it leaves behind is for the passes."""

# pyright: reportUnknownMemberType=false
# (torch.onnx.export leaves some of its parameters untyped)

import contextlib
import io
import logging
import warnings
from collections.abc import Generator
from typing import Any

import onnx
import torch
from torch import nn

from reparam.engine.session import Contract
from reparam.errors import ExportError
from reparam_export.passes.optimize import optimize
from reparam_export.passes.stamp import OPSET


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
                optimize=False,
                verbose=False,
            )
            if program is not None:
                optimize(program)
        except Exception as error:  # the tracer raises errors of many unrelated classes
            raise ExportError(f"{type(module).__name__}: torch cannot trace the model: {_reason(error)}") from error
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


def _reason(error: BaseException) -> str:
    """The first line of what went wrong first; torch wraps it in advice on how to report it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keeps the tracer's notes on its own internals off the terminal; its errors come through."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx.experimental.symbolic_shapes")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        # of a model that it cannot follow, the tracer prints the whole graph
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
