"""What must hold of a finished graph: asserted after the export, since the tracer promises little of it."""

# pyright: reportUnknownMemberType=false
# (onnx leaves a parameter of check_model untyped)

import contextlib
import getpass
import re
import socket
from pathlib import Path

import onnx

from reparam.engine.session import Contract
from reparam.errors import ExportError
from reparam_export.passes.stamp import IR_VERSION, OPSET

_BATCH_FREE = re.compile(r"Shape|Size|NonZero")  # what reads a size at run time; a fixed row needs none


def check_graph(model: onnx.ModelProto, contract: Contract, *, opset: int = OPSET) -> int:
    """Holds a graph against the contract; what the runtime's gate refuses is left to the gate.

    Args:
        model: the finished graph.
        contract: names, dtypes and rows that it must take and give.
        opset: version of the standard operator set that it must have.

    Returns:
        How many of its nodes read a size at run time: none where height and width are fixed.

    Raises:
        ExportError: with the first finding.
    """
    role = model.graph.name
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{role}: onnx refuses the graph: {str(error).splitlines()[0]}") from None
    if model.ir_version != IR_VERSION:
        raise ExportError(f"{role}: ir_version must be {IR_VERSION}, got {model.ir_version}")
    opsets = [(entry.domain, entry.version) for entry in model.opset_import]
    if opsets != [("", opset)]:
        raise ExportError(f"{role}: operator sets must be the standard one at {opset}, got {opsets}")
    graph = model.graph
    for kind, found, wanted in (("inputs", graph.input, contract.inputs), ("outputs", graph.output, contract.outputs)):
        signatures = [_signature(value) for value in found]
        expected = [(name, contract.dtype(name), ("batch", *row)) for name, row in wanted.items()]
        if signatures != expected:
            raise ExportError(
                f"{role}: {kind} must be {expected}, got {signatures}; the model ignores or fixes an axis"
            )
    reading = [node.op_type for node in graph.node if _BATCH_FREE.fullmatch(node.op_type)]
    if reading and contract.factors is None:
        raise ExportError(f"{role}: {reading[0]} reads a size at run time; give reshapes constant sizes")
    return len(reading)


def _signature(value: onnx.ValueInfoProto) -> tuple[str, str, tuple[str | int, ...]]:
    tensor = value.type.tensor_type
    dims = tuple(dim.dim_param or dim.dim_value for dim in tensor.shape.dim)
    return value.name, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, dims


def check_anonymous(data: bytes, *, where: str) -> None:
    """Refuses bytes that name the machine's paths, user or host.

    Raises:
        ExportError: with what was found.
    """
    for word in _identities():
        if word.encode() in data:
            raise ExportError(f"{where}: holds {word!r}, which names this machine; report this as a bug")


def _identities() -> set[str]:
    here = Path(__file__).resolve()
    found = {str(Path.home()), str(Path.cwd()), str(here.parents[1]), socket.gethostname()}
    with contextlib.suppress(OSError, KeyError, ImportError):  # a user without a name cannot be named
        found.add(getpass.getuser())
    # short words such as "root" or "/" stand in innocent names; a path or host of 6 letters and more does not
    return {word for word in found if len(word) >= 6}
