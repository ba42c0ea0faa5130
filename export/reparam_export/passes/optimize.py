"""torch's own optimiser, kept from taking a small constant for none.

onnxscript's rules drop `x + c` where |c| is at most 1e-8, and `x * c` where c is within 1e-5 of 1: an epsilon of 1e-12
that guards a division or a logarithm is gone, and what was finite is not. While the optimiser runs, such constants are
inputs of the graph, which no rule matches.

Requires: a program of torch.onnx.export with optimize=False. Ensures: what `ONNXProgram.optimize` ensures, and the same
numbers.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (onnx_ir and torch leave some of their parameters untyped)

from collections.abc import Iterator
from typing import Final

import onnx_ir as ir
import torch

_NEUTRAL: Final = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}
_NEAR: Final = 1e-4  # wider than the rules' own tolerances


def optimize(program: torch.onnx.ONNXProgram) -> None:
    """Optimises the program in place."""
    held: list[tuple[ir.Value, ir.TensorProtocol]] = []
    graph = program.model.graph
    for node, place, tensor in _near_neutral(graph):
        value = ir.Value(
            name=f"held_{len(held)}", shape=ir.Shape(tensor.numpy().shape), type=ir.TensorType(tensor.dtype)
        )
        graph.inputs.append(value)
        node.replace_input_with(place, value)
        held.append((value, tensor))
    program.optimize()
    graph = program.model.graph
    for value, tensor in held:
        graph.inputs.remove(value)
        value.const_value = tensor
        if value.uses():
            graph.register_initializer(value)


def _near_neutral(graph: ir.Graph) -> Iterator[tuple[ir.Node, int, ir.TensorProtocol]]:
    """Each constant that nearly does nothing where it is used: its node, its place among the inputs, its value."""
    for node in list(graph):
        neutral = _NEUTRAL.get(node.op_type)
        if neutral is None:
            continue
        for place, value in enumerate(node.inputs):
            tensor = None if value is None else ir.convenience.get_const_tensor(value)
            if tensor is None or tensor.size != 1:
                continue
            distance = abs(float(tensor.numpy().item()) - neutral)
            if 0 < distance <= _NEAR:
                yield node, place, tensor
