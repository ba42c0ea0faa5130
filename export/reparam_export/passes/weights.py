"""Constants of a graph by name, and new ones: what passes over weights have in common."""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import onnx
from onnx import numpy_helper


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes by name; strings are bytes."""
    return {found.name: onnx.helper.get_attribute_value(found) for found in node.attribute}


def constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """The graph's initializers by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def values(constants: Mapping[str, onnx.TensorProto], name: str) -> npt.NDArray[Any] | None:
    """The value of a constant; None of what is computed when the graph runs."""
    return numpy_helper.to_array(constants[name]) if name in constants else None


def add_constant(model: onnx.ModelProto, name: str, value: npt.NDArray[Any]) -> str:
    """Adds a constant and returns its name."""
    model.graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def set_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Puts these nodes in place of the graph's, and drops constants that none of them reads."""
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]  # clearing frees the originals
    del model.graph.node[:]
    model.graph.node.extend(kept)
    read = {name for node in kept for name in node.input} | {value.name for value in model.graph.output}
    used = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in model.graph.initializer]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensor for tensor in used if tensor.name in read)
