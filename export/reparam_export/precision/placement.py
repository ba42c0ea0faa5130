"""Which nodes of a graph run on integers: convolutions and matrix products, and what lies between two of them.

onnxruntime has integer kernels for what only moves values, for ReLU (a matter of the zero point), and for
x sigmoid(x) by a table and an integer product: there an activation between two convolutions costs no way to float32
and back, at the same error (the first silu of 16 images of 64 x 64 x 3: 0.29 ms on integers, 0.82 with the way). Other
activations stay float32.
"""

from typing import Final

import onnx

from reparam_export.passes.shuffle import MOVES
from reparam_export.passes.weights import attributes, constants

PRODUCTS: Final = frozenset({"Conv", "Gemm", "MatMul"})
_MOVES: Final = (MOVES - {"DepthToSpace"}) | {"MaxPool", "Resize"}
_POINTWISE: Final = frozenset({"Relu", "LeakyRelu", "Sigmoid", "Mul"})


def integer_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes to quantise, in the graph's order.

    Products of constant weights; of the other nodes with integer kernels those that read nothing but integer nodes'
    values and give nothing but to integer nodes, and what moves the values of a convolution on the way out.
    """
    known = constants(model)
    nodes = list(model.graph.node)
    outputs = {value.name for value in model.graph.output}
    given = {name: node for node in nodes for name in node.output}
    readers = {name: [node for node in nodes if name in node.input] for name in given}
    chosen = {node.name for node in nodes if node.op_type in PRODUCTS and node.input[1] in known}
    chosen -= {node.name for node in nodes if node.op_type == "Conv" and _is_head(node, readers, model)}
    candidates = {node.name for node in nodes if _has_kernel(node, given)} | chosen

    def reads_integers(node: onnx.NodeProto) -> bool:
        sources = [given.get(name) for name in node.input if name and name not in known]
        return all(source is not None and source.name in candidates for source in sources)

    def feeds_integers(node: onnx.NodeProto) -> bool:
        leaves = node.op_type in _MOVES and _after_convolution(node, given, candidates)
        return leaves or all(
            name not in outputs and all(reader.name in candidates for reader in readers[name]) for name in node.output
        )

    while True:  # a node that drops out may take its neighbours along
        kept = {
            node.name
            for node in nodes
            if node.name in chosen or (node.name in candidates and reads_integers(node) and feeds_integers(node))
        }
        if kept == candidates:
            return [node.name for node in nodes if node.name in kept]
        candidates = kept


def _has_kernel(node: onnx.NodeProto, given: dict[str, onnx.NodeProto]) -> bool:
    if node.op_type == "Resize":
        return bool(attributes(node).get("mode", b"nearest") == b"nearest")
    if node.op_type == "Relu":  # the quantiser folds it into the zero point of what gives its input
        source = given.get(node.input[0])
        return source is not None and source.op_type in PRODUCTS
    if node.op_type == "Mul":  # of x sigmoid(x) alone: any other product keeps its precision
        return _is_gate(node.input[1], node.input[0], given) or _is_gate(node.input[0], node.input[1], given)
    return node.op_type in _MOVES | _POINTWISE


def _is_gate(gate: str, value: str, given: dict[str, onnx.NodeProto]) -> bool:
    source = given.get(gate)
    return source is not None and source.op_type == "Sigmoid" and source.input[0] == value


def _after_convolution(node: onnx.NodeProto, given: dict[str, onnx.NodeProto], candidates: set[str]) -> bool:
    """Whether a node's values come from a convolution by moves and pointwise nodes alone."""
    source = given.get(node.input[0])
    while source is not None and source.op_type in _MOVES | {"Relu"} and source.name in candidates:
        source = given.get(source.input[0])
    return source is not None and source.op_type == "Conv" and source.name in candidates


def _is_head(node: onnx.NodeProto, readers: dict[str, list[onnx.NodeProto]], model: onnx.ModelProto) -> bool:
    """Whether a convolution of the encoder gives moments: no product comes after it.

    An integer convolution's result has 256 values; a moment needs more, since mean and logvar share one scale.
    """
    if model.graph.name != "encoder":
        return False
    waiting, seen = [node], set[str]()
    while waiting:
        for name in waiting.pop().output:
            for reader in readers[name]:
                if reader.op_type in PRODUCTS:
                    return False
                if reader.name not in seen:
                    seen.add(reader.name)
                    waiting.append(reader)
    return True
