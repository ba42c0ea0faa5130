"""Reshapes get constant shapes where the batch is all that is not known, and what computed the shapes goes.

torch writes group norm, attention and `x.reshape(len(x), ...)` with shapes that are read at run time. onnx's own shape
inference knows all of such a shape but the batch, and that is what -1 stands for.

Requires: a graph whose inputs and outputs state their sizes, as the tracer leaves it. Ensures: the same outputs; no
Reshape takes a computed shape of which at most one size is unknown, and no node or weight is without a use.
"""

import onnx


def fix_shapes(model: onnx.ModelProto) -> None:
    """Rewrites the model in place."""
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer}
    reshapes = [node for node in graph.node if node.op_type == "Reshape" and node.input[1] not in known]
    if not reshapes:
        return
    shapes = _inferred(model)
    for node in reshapes:
        shape = shapes.get(node.output[0])
        if shape is not None and shape.count(-1) <= 1:
            name = f"{node.output[0]}.shape"
            graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [len(shape)], shape))
            node.input[1] = name
    _drop_unused(graph)


def _inferred(model: onnx.ModelProto) -> dict[str, list[int]]:
    """The shape of each value that inference knows, -1 for a size that it does not; empty axes are left alone."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found: dict[str, list[int]] = {}
    for value in (*graph.value_info, *graph.output):
        shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.HasField("shape") and 0 not in shape:
            found[value.name] = shape
    return found


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Removes nodes and initializers that no output needs."""
    used = {value.name for value in graph.output}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(graph.node):  # a graph's nodes stand after those that they need
        if used.intersection(node.output):
            used.update(node.input)
            nodes.append(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(weights)
