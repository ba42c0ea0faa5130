"""Pixel shuffles laid out for integer kernels: ReLU before them, channels last while the values move.

onnxruntime's integer convolutions keep channels last. DepthToSpace, channels first, costs as much as a convolution
there (0.3 to 0.7 ms of 3.9 in a decoder of 64 x 64 images); the same shuffle by transposing moves whole runs of
channels, and the transposes around it cancel with those of the convolutions (0.01 to 0.1 ms).

Requires: any ModelProto. Ensures: a DepthToSpace of a map of known size becomes Transpose and Reshape; a ReLU that
alone reads moved values goes before the move, where a convolution or product absorbs it; a convolution before a
DepthToSpace of mode CRD gives its channels in the order of mode DCR. The outputs are the same to the bit.
"""

from typing import Final

import numpy as np
import onnx
from onnx import helper

from reparam_export.passes.weights import add_constant, attributes, constants, set_nodes, values

MOVES: Final = frozenset({"DepthToSpace", "Slice", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze"})


def early_relu(model: onnx.ModelProto) -> None:
    """Swaps each ReLU with the moves before it that nothing else reads, in place."""
    outputs = {value.name for value in model.graph.output}
    nodes = list(model.graph.node)
    place = 0
    while place < len(nodes):
        before = [
            at for at in range(place) if nodes[place].op_type == "Relu" and nodes[place].input[0] in nodes[at].output
        ]
        if not before or not _moved_once(nodes, nodes[before[0]], outputs):
            place += 1
            continue
        move, relu = nodes[before[0]], nodes[place]
        early, end = f"{relu.output[0]}.early.{place}", relu.output[0]
        relu.input[0], relu.output[0] = move.input[0], early
        move.input[0], move.output[0] = early, end
        nodes[before[0]], nodes[place] = relu, move
        place = before[0]  # where the ReLU stands now: it may go further
    set_nodes(model, nodes)


def _moved_once(nodes: list[onnx.NodeProto], node: onnx.NodeProto, outputs: set[str]) -> bool:
    """Whether a node only moves values, to a single reader."""
    readers = sum(node.output[0] in other.input for other in nodes)
    return node.op_type in MOVES and readers == 1 and node.output[0] not in outputs


def block_first(model: onnx.ModelProto) -> None:
    """Orders the channels of a convolution so that its pixel shuffle (mode CRD) moves runs of channels, in place."""
    known = constants(model)
    outputs = {value.name for value in model.graph.output}
    for shuffle in model.graph.node:
        if shuffle.op_type != "DepthToSpace" or attributes(shuffle).get("mode") != b"CRD":
            continue
        block, name = attributes(shuffle)["blocksize"], shuffle.input[0]
        while (source := _only(model, name)) is not None and source.op_type == "Relu" and name not in outputs:
            name = source.input[0]
        if source is None or source.op_type != "Conv" or name in outputs:
            continue
        loaded = [values(known, constant) for constant in source.input[1:]]
        if any(value is None for value in loaded):
            continue
        for number, value in enumerate(loaded, 1):
            assert value is not None
            split = value.reshape(-1, block * block, *value.shape[1:])  # [channels, block^2, ...]
            swapped = np.ascontiguousarray(np.swapaxes(split, 0, 1).reshape(value.shape))
            source.input[number] = add_constant(model, f"{source.input[number]}.{source.output[0]}", swapped)
        for attribute in shuffle.attribute:
            if attribute.name == "mode":
                attribute.s = b"DCR"
    set_nodes(model, list(model.graph.node))


def _only(model: onnx.ModelProto, name: str) -> onnx.NodeProto | None:
    """The node that gives a value which a single node reads."""
    if sum(name in node.input for node in model.graph.node) != 1:
        return None
    return next((node for node in model.graph.node if name in node.output), None)


def channels_last(model: onnx.ModelProto) -> None:
    """Replaces each DepthToSpace of a map of known size, in place."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        shape = shapes.get(node.input[0], []) if node.op_type == "DepthToSpace" else []
        nodes += _shuffled(model, node, shape) if len(shape) == 4 and all(shape[1:]) else [node]
    set_nodes(model, nodes)


def _shuffled(model: onnx.ModelProto, node: onnx.NodeProto, shape: list[int]) -> list[onnx.NodeProto]:
    """[batch, channels, height, width] shuffled by way of [batch, height, width, channels]."""
    found = attributes(node)
    block, out = found["blocksize"], node.output[0]
    _, channels, height, width = shape
    left = channels // block**2
    first = found.get("mode", b"DCR") == b"CRD"  # whether the channel comes before the place within the block
    split = [left, block, block] if first else [block, block, left]
    order = [0, 1, 4, 2, 5, 3] if first else [0, 1, 3, 2, 4, 5]
    steps: list[tuple[str, list[int]]] = [
        ("Transpose", [0, 2, 3, 1]),
        ("Reshape", [0, height, width, *split]),
        ("Transpose", order),
        ("Reshape", [0, block * height, block * width, left]),
        ("Transpose", [0, 3, 1, 2]),
    ]
    nodes: list[onnx.NodeProto] = []
    source = node.input[0]
    for number, (operator, numbers) in enumerate(steps):
        target = out if number == len(steps) - 1 else f"{out}.{number}"
        if operator == "Transpose":
            nodes.append(helper.make_node(operator, [source], [target], perm=numbers))
        else:
            sizes = add_constant(model, f"{target}.sizes", np.array(numbers, np.int64))
            nodes.append(helper.make_node(operator, [source, sizes], [target]))
        source = target
    return nodes
