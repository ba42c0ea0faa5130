"""Convolutions whose two ends are padded unevenly get a Pad before them, and even pads of zero.

cuDNN refuses some of them on some cards, such as [0, 0, 1, 1] at a stride of 2, which encoders of diffusers'
AutoencoderKL have; onnxruntime's CUDA provider has no other way. A CPU's session of float32 joins both nodes again when
it loads them; `joined_pads` does so for integer kernels, which onnxruntime leaves alone.

Requires: a float32 graph. Ensures: the same function.
"""

import numpy as np
import onnx

from reparam_export.passes.weights import add_constant, attributes, constants, set_nodes, values


def even_pads(model: onnx.ModelProto) -> None:
    """Rewrites the model in place."""
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        pads: list[int] = list(attributes(node).get("pads", ())) if node.op_type == "Conv" else []
        begin, end = pads[: len(pads) // 2], pads[len(pads) // 2 :]
        if begin != end:
            padded, where = f"{node.output[0]}.padded", f"{node.output[0]}.pads"
            add_constant(model, where, np.array([0, 0, *begin, 0, 0, *end], np.int64))
            nodes.append(onnx.helper.make_node("Pad", [node.input[0], where], [padded]))
            node.input[0] = padded
            _set_pads(node, [0] * len(pads))  # left out, onnxruntime 1.18 would not join them
        nodes.append(node)
    if len(nodes) > len(model.graph.node):
        set_nodes(model, nodes)


def joined_pads(model: onnx.ModelProto) -> None:
    """Rewrites the model in place: zeros that a Pad of opset 18 puts around a convolution's sides are its own pads."""
    known = constants(model)
    added: dict[str, tuple[str, list[int]]] = {}  # by what a Pad gives: what it reads, and the pads of all axes
    for node in model.graph.node:
        found = values(known, node.input[1]) if node.op_type == "Pad" and len(node.input) == 2 else None
        if found is not None and not attributes(node):
            added[node.output[0]] = node.input[0], list(map(int, found))
    joined: set[str] = set()
    for node in model.graph.node:
        pads: list[int] = attributes(node).get("pads", []) if node.op_type == "Conv" else []
        source, ends = added.get(node.input[0], ("", list[int]())) if pads else ("", list[int]())
        begin, end = ends[: len(ends) // 2], ends[len(ends) // 2 :]
        if ends and not any((*begin[:2], *end[:2])):
            _set_pads(node, [one + other for one, other in zip(pads, (*begin[2:], *end[2:]), strict=True)])
            joined.add(node.input[0])
            node.input[0] = source
    read = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    if joined:
        set_nodes(model, [node for node in model.graph.node if node.output[0] not in joined - read])


def _set_pads(node: onnx.NodeProto, pads: list[int]) -> None:
    next(each for each in node.attribute if each.name == "pads").ints[:] = pads
