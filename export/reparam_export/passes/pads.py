"""Convolutions whose two ends are padded unevenly get a Pad before them, and pads of none.

cuDNN refuses some of them on some cards, such as [0, 0, 1, 1] at a stride of 2, which encoders of diffusers'
AutoencoderKL have; onnxruntime's CUDA provider has no other way. A CPU's session joins both nodes again at load.

Requires: a float32 graph. Ensures: the same function.
"""

import numpy as np
import onnx

from reparam_export.passes.weights import add_constant, attributes, set_nodes


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
            del node.attribute[[each.name for each in node.attribute].index("pads")]
        nodes.append(node)
    if len(nodes) > len(model.graph.node):
        set_nodes(model, nodes)
