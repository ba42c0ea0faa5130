"""Transposed convolutions of stride 2 as ordinary ones, which integer kernels run; exactly equal in exact arithmetic.

Output 2m + r of a side is the sum over taps k of x[m + (r + p - k) / 2] w[k], where r + p - k is even (p the padding):
for each r an ordinary convolution at the smaller size. One convolution with four times the channels does the four
(row, column) remainders of an image at once, and DepthToSpace lays them out side by side. W. Shi et al., "Is the
deconvolution layer the same as a convolutional layer?", 2016 (arXiv:1609.07009).

Where a kernel's taps spread less if outputs are counted one later (kernel 4, padding 1), they are, and a border is cut.

Requires: any ModelProto. Ensures: a ConvTranspose of two sides, stride 2, one group, constant weights and a padding
below its kernel is replaced; others stay; the same outputs, to the order in which products are added.
"""

import dataclasses
import itertools
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from reparam_export.passes.weights import add_constant, attributes, constants, set_nodes, values

_END: Final = np.iinfo(np.int64).max
_PLAIN: Final[dict[str, Any]] = {"group": 1, "dilations": [1, 1], "auto_pad": b"NOTSET"}


@dataclasses.dataclass(frozen=True)
class Side:
    """One side of a transposed convolution as an ordinary one.

    Attributes:
        taps: (remainder, tap of the new kernel) to the tap of the old one.
        kernel: taps of the new kernel.
        pads: zeros before and after the input; with them each place of the result stands for two outputs.
        crop: outputs to cut off before and after.
    """

    taps: dict[tuple[int, int], int]
    kernel: int
    pads: tuple[int, int]
    crop: tuple[int, int]


def side(kernel: int, begin: int, end: int, extra: int) -> Side | None:
    """The side of a transposed convolution with this kernel, padding and output padding; None where there is none."""
    found = [plan for later in (0, 1) if (plan := _counted(kernel, begin, end, extra, later)) is not None]
    return min(found, key=lambda plan: (plan.kernel, sum(plan.crop)), default=None)


def _counted(kernel: int, begin: int, end: int, extra: int, later: int) -> Side | None:
    """The side with outputs counted from 0 or 1."""
    reach = {
        (r, (r - later + begin - k) // 2): k
        for r, k in itertools.product((0, 1), range(kernel))
        if (r - later + begin - k) % 2 == 0
    }
    first, last = min(at for _, at in reach), max(at for _, at in reach)
    grown = kernel - 2 - begin - end + extra  # outputs above twice the inputs
    places = -((-grown - later) // 2)  # of the result, above the inputs: two outputs each
    after = places + last
    if first > 0 or after < 0:
        return None
    return Side(
        taps={(r, at - first): k for (r, at), k in reach.items()},
        kernel=last - first + 1,
        pads=(-first, after),
        crop=(later, 2 * places - later - grown),
    )


def plain_convolutions(model: onnx.ModelProto) -> None:
    """Rewrites the model in place."""
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += (_rewritten(model, node) if node.op_type == "ConvTranspose" else None) or [node]
    set_nodes(model, nodes)


def _rewritten(model: onnx.ModelProto, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    known = constants(model)
    weight = values(known, node.input[1])
    bias = values(known, node.input[2]) if len(node.input) > 2 else None
    found = attributes(node)
    if weight is None or weight.ndim != 4 or "output_shape" in found or (bias is None and len(node.input) > 2):
        return None
    if found.get("strides") != [2, 2] or any(found.get(name, value) != value for name, value in _PLAIN.items()):
        return None
    pads, extra = found.get("pads", [0] * 4), found.get("output_padding", [0] * 2)
    rows, columns = (side(weight.shape[2 + axis], pads[axis], pads[2 + axis], extra[axis]) for axis in (0, 1))
    if rows is None or columns is None:
        return None
    out = node.output[0]
    inputs = [node.input[0], add_constant(model, f"{out}.weight", _kernel(weight, rows, columns))]
    if bias is not None:
        inputs.append(add_constant(model, f"{out}.bias", np.tile(bias, 4)))
    crops = [rows.crop, columns.crop]
    whole = f"{out}.whole" if any(map(any, crops)) else out
    (top, bottom), (left, right) = rows.pads, columns.pads
    nodes = [
        helper.make_node(
            "Conv",
            inputs,
            [f"{out}.places"],
            pads=[top, left, bottom, right],
            kernel_shape=[rows.kernel, columns.kernel],
        ),
        helper.make_node("DepthToSpace", [f"{out}.places"], [whole], blocksize=2, mode="DCR"),
    ]
    if whole != out:
        limits = {
            "starts": [before for before, _ in crops],
            "ends": [-after if after else _END for _, after in crops],
            "axes": [2, 3],
        }
        named = [add_constant(model, f"{out}.{name}", np.array(limit, np.int64)) for name, limit in limits.items()]
        nodes.append(helper.make_node("Slice", [whole, *named], [out]))
    return nodes


def _kernel(weight: npt.NDArray[Any], rows: Side, columns: Side) -> npt.NDArray[Any]:
    """[in, out, height, width] of a transposed convolution to [4 out, in, *kernel], remainders before channels."""
    before, after = weight.shape[:2]
    kernel = np.zeros((2, 2, after, before, rows.kernel, columns.kernel), weight.dtype)
    for ((r, y), k), ((s, x), w) in itertools.product(rows.taps.items(), columns.taps.items()):
        kernel[r, s, :, :, y, x] = weight[:, :, k, w].T
    return kernel.reshape(4 * after, before, rows.kernel, columns.kernel)
