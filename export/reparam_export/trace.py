"""PyTorch to ONNX with torch's dynamo exporter, at the format's opset; what it leaves behind is for the passes."""

# pyright: reportUnknownMemberType=false
# (torch.onnx.export leaves some of its parameters untyped)

import contextlib
import logging
import warnings
from collections.abc import Generator

import onnx
import torch
from torch import Tensor, nn

from reparam.errors import ExportError
from reparam_export.passes.stamp import OPSET


def trace(module: nn.Module, inputs: dict[str, Tensor], outputs: list[str]) -> onnx.ModelProto:
    """The module's graph, with a dynamic batch.

    Args:
        module: in eval mode.
        inputs: an example for each input by name, batch of 2 or more (1 would be taken for a constant).
        outputs: names of the outputs, in order.

    Raises:
        ExportError: the tracer cannot follow the module.
    """
    batch = torch.export.Dim("batch")
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=outputs,
                dynamic_shapes=tuple({0: batch} for _ in inputs),
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
