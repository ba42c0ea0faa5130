"""Takes quantisation off what leaves a matrix product for float32 nodes or for the outside.

An integer matrix product can give float32 itself: then nothing is rounded to 256 values, and two passes over memory
fall away.

Requires: a graph with QuantizeLinear and DequantizeLinear in pairs. Ensures: a pair after Gemm or MatMul, none of whose
readers is an integer node, is gone.
"""

from collections.abc import Collection
from typing import Final

import onnx

from reparam_export.passes.weights import set_nodes

_GIVES_FLOAT: Final = frozenset({"Gemm", "MatMul"})


def float_ends(model: onnx.ModelProto, integers: Collection[str]) -> None:
    """Removes the pairs in place; `integers` names the nodes that were quantised."""
    nodes = list(model.graph.node)
    given = {name: node for node in nodes for name in node.output}
    gone: list[onnx.NodeProto] = []
    for quantize in nodes:
        product = given.get(quantize.input[0]) if quantize.op_type == "QuantizeLinear" else None
        pair = [node for node in nodes if quantize.output[0] in node.input]
        others = sum(quantize.input[0] in node.input for node in nodes) if product is not None else 0
        if product is None or product.op_type not in _GIVES_FLOAT or others != 1 or len(pair) != 1:
            continue
        (dequantize,) = pair
        readers = [node for node in nodes if dequantize.output[0] in node.input]
        if dequantize.op_type != "DequantizeLinear" or any(node.name in integers for node in readers):
            continue
        product.output[0] = dequantize.output[0]
        gone += [quantize, dequantize]
    set_nodes(model, [node for node in nodes if not any(node is each for each in gone)])
