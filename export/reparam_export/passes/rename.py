"""Gives tensors of a graph other names, and states its inputs and outputs anew.

Requires: a graph without subgraphs. Ensures: what is computed stays; names are unique.
"""

# pyright: reportUnknownMemberType=false
# (onnx leaves parameters of its helpers untyped)

from collections.abc import Mapping

import onnx
from onnx import helper

from reparam.bundle.manifest import Axes


def rename(graph: onnx.GraphProto, names: Mapping[str, str], *, taken: tuple[str, ...] = ()) -> None:
    """Renames tensors everywhere; whatever else has one of the new names, or a taken one, makes room."""
    new = dict(names)
    for name in sorted({*names.values(), *taken} & _names(graph) - names.keys()):
        new[name] = free(graph, f"inner_{name}")
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for part in (*graph.initializer, *graph.input, *graph.output):
        part.name = new.get(part.name, part.name)


def free(graph: onnx.GraphProto, name: str) -> str:
    """The name itself, or the first with a number behind it that no tensor has."""
    there, found, number = _names(graph), name, 1
    while found in there:
        found, number = f"{name}_{number}", number + 1
    return found


def declare(graph: onnx.GraphProto, *, inputs: Mapping[str, Axes], outputs: Mapping[str, Axes]) -> None:
    """States inputs and outputs anew, float32 with a dynamic batch, in this order."""
    for values, wanted in ((graph.input, inputs), (graph.output, outputs)):
        del values[:]
        for name, axes in wanted.items():
            values.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *axes]))


def _names(graph: onnx.GraphProto) -> set[str]:
    tensors = {part.name for part in (*graph.initializer, *graph.input, *graph.output)}
    return tensors | {name for node in graph.node for name in (*node.input, *node.output)}
