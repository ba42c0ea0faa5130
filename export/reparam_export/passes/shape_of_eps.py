"""Takes eps out of a graph that reads nothing of it but its shape: the shape is computed from that of x.

Requires: an encoder's graph down to mean and logvar, with x [batch, channels, height, width] and an open height and
width. The tracer reads the latent's sides off eps, where they stand as they are, and not off x, where they would have
to be divided. Ensures: no node reads eps; every Shape node of it became a Slice of the same numbers.
"""

# pyright: reportUnknownMemberType=false
# (onnx leaves parameters of its helpers untyped)

import numpy as np
import onnx
from onnx import helper, numpy_helper

from reparam.errors import ExportError
from reparam_export.passes.rename import free


def read_shape_off_x(graph: onnx.GraphProto, *, channels: tuple[int, int], factors: tuple[int, int] | None) -> None:
    """Rewrites the graph in place.

    Args:
        graph: with the input x; eps may be missing among its inputs already.
        channels: of x and of eps.
        factors: how many times the latent's side a side of x is.

    Raises:
        ExportError: a node reads more of eps than its shape.
    """
    readers = [place for place, node in enumerate(graph.node) if "eps" in node.input]
    if not readers:
        return
    if factors is None or any(graph.node[place].op_type != "Shape" for place in readers):
        raise ExportError(f"{graph.name}: mean and logvar depend on eps; export the model again")
    divisors = _constant(graph, "divisors", [1, channels[0] + 1, *factors])  # the channels of x become 0
    added = _constant(graph, "latent_channels", [0, channels[1], 0, 0])
    sizes, divided, shape = (free(graph, name) for name in ("sizes_of_x", "divided_sizes", "shape_of_eps"))
    for place in readers:
        node = graph.node[place]
        span = {attribute.name: attribute.i for attribute in node.attribute}
        ends = [_constant(graph, name, [span.get(name, other)]) for name, other in (("start", 0), ("end", 4))]
        node.CopyFrom(helper.make_node("Slice", [shape, *ends], list(node.output)))
    for place, node in enumerate(
        (
            helper.make_node("Shape", ["x"], [sizes]),
            helper.make_node("Div", [sizes, divisors], [divided]),
            helper.make_node("Add", [divided, added], [shape]),
        )
    ):
        graph.node.insert(place, node)


def _constant(graph: onnx.GraphProto, name: str, values: list[int]) -> str:
    """Adds whole numbers to the weights and gives their name."""
    name = free(graph, name)
    graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    return name
