"""fp16 for GPUs: half precision inside, float32 at the edge, and float32 wherever half precision cannot hold a value.

A CPU hides an overflow: it has no half-precision kernels, so onnxruntime computes in float32 between casts. Therefore
the float32 graph is run first and every value's range is held against what half precision holds.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import onnx

from reparam_export.passes.weights import attributes, set_nodes
from reparam_export.precision.ranges import Feeds, largest_values
from reparam_export.precision.tools import tool

LARGEST: Final = 65504.0 / 4  # rows that were not seen, and sums inside a kernel, need room
SMALLEST: Final = 2.0**-14  # of a whole value's largest: below it half precision loses digits


def unsafe_nodes(model: onnx.ModelProto, largest: Mapping[str, float]) -> list[str]:
    """Names of the nodes that read or give a value which half precision cannot hold, in the graph's order.

    Args:
        model: a float32 graph.
        largest: magnitude of each value that a node gives, on rows like those that it will see.
    """
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    sizes = {
        name: float(np.abs(value).max(initial=0.0)) for name, value in constants.items() if value.dtype == np.float32
    }
    bad = {name for name, size in {**sizes, **largest}.items() if size and not SMALLEST <= size <= LARGEST}
    return [node.name for node in model.graph.node if bad & {*node.input, *node.output}]


def _reparameterisation(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes after mean and logvar: z = mean + exp(logvar / 2) eps stays float32."""
    after = {"mean", "logvar", "eps"} if model.graph.name == "encoder" else set[str]()
    names: list[str] = []
    for node in model.graph.node:
        if after & set(node.input):
            after |= set(node.output)
            names.append(node.name)
    return names


def halve(model: onnx.ModelProto, feeds: Iterable[Feeds]) -> tuple[onnx.ModelProto, int]:
    """An fp16 graph of the model's function, and how many nodes stay float32 for their values; the model is left alone.

    Args:
        model: a float32 graph of the contract.
        feeds: inputs by name, a batch each, on which ranges are found.
    """
    unsafe = unsafe_nodes(model, largest_values(model, feeds))
    found: onnx.ModelProto = tool("transformers.float16").convert_float_to_float16(
        onnx.ModelProto.FromString(model.SerializeToString()),
        keep_io_types=True,
        node_block_list=sorted({*unsafe, *_reparameterisation(model)}),
    )
    _once(found)
    onnx_model = tool("transformers.onnx_model").OnnxModel
    onnx_model.graph_topological_sort(found.graph, is_deterministic=True)  # new casts stand at the end
    _join_casts(found)
    return found, len(unsafe)


def _once(model: onnx.ModelProto) -> None:
    """Leaves one of several nodes for a value: before 1.32, onnxruntime adds a cast for each that reads it."""
    set_nodes(model, list({next(filter(None, node.output)): node for node in model.graph.node}.values()))


def _join_casts(model: onnx.ModelProto) -> None:
    """Leaves out float32 to float16 to float32 between neighbours that both stay float32: it would overflow there."""
    given = {name: node for node in model.graph.node for name in node.output}
    nodes: list[onnx.NodeProto] = []
    wide: dict[str, str] = {}  # a value that went down and up again, and the float32 one that it was
    for node in model.graph.node:
        down = given.get(node.input[0]) if node.input else None
        if _casts(node, onnx.TensorProto.FLOAT) and down is not None and _casts(down, onnx.TensorProto.FLOAT16):
            wide[node.output[0]] = down.input[0]
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.op_type == "Cast" and node.output[0] in wide:
            if node.output[0] in outputs:
                nodes.append(onnx.helper.make_node("Identity", [wide[node.output[0]]], [node.output[0]]))
            continue
        for number, name in enumerate(node.input):
            node.input[number] = wide.get(name, name)
        nodes.append(node)
    read = {name for node in nodes for name in node.input} | outputs
    set_nodes(model, [node for node in nodes if node.op_type != "Cast" or node.output[0] in read])


def _casts(node: onnx.NodeProto, to: int) -> bool:
    return node.op_type == "Cast" and attributes(node)["to"] == to
