"""What a node costs beside its inputs and outputs: how long it takes, and the memory that its kernel needs meanwhile.

Source: measured with onnxruntime 1.32 on a CPU, as peaks of a process around one run.
"""

import math
from typing import Final

from reparam.bundle.sizes import chains
from reparam.bundle.sizes.sized import Call, Sized

_SEGMENT: Final = 2**22  # bytes of the windows of Conv that are laid out at a time, of all threads together
_CUBIC: Final = 4096  # multiplications that a value costs, looked up in a table of its row
_CUBIC_ENTRY: Final = 64  # bytes of a place in that table

# values of its largest side that an operator keeps beside its inputs and outputs, in other orders or half done
_COPIES: Final = {
    "ArgMax": 1,
    "ArgMin": 1,
    "DynamicQuantizeLinear": 1,
    "GroupNormalization": 2,
    "HardSwish": 1,
    "Hardmax": 1,
    "LRN": 3,
    "LogSoftmax": 1,
    "Mish": 1,
    "ReduceLogSumExp": 1,
    "Resize": 1,
    "Softmax": 1,
    "Where": 3,
}
_OF_MANY: Final = frozenset({"Max", "Mean", "Min", "Sum"})  # of more than two inputs, two at a time


def work(call: Call, made: Sized) -> int:
    """How long a node takes, in multiplications of a matrix product; a value by itself takes as long as four."""
    match call.node.operator:
        case "Conv" | "ConvInteger" | "QLinearConv":
            weights = call.given(3 if call.node.operator == "QLinearConv" else 1)
            return made.size * math.prod(weights.shape[1:])
        case "ConvTranspose":
            return call.given(0).size * math.prod(call.given(1).shape[1:])
        case operator if operator in chains.RULES:
            return chains.work(call)
        case "MatMul" | "MatMulInteger" | "Gemm" | "QLinearMatMul":
            a = call.given(0).shape
            each = a[0] if call.whole("transA", 0) else a[-1]
        case "MaxPool" | "AveragePool":
            each = math.prod(call.wholes("kernel_shape") or ())
        case "Resize" if _cubic(call):
            each = _CUBIC
        case _:
            return 4 * max(made.size, *(each.size for each in call.inputs if each is not None), 0)
    return made.size * each


def scratch(call: Call, made: Sized) -> int:
    """Bytes that a kernel needs beside its inputs and outputs.

    Convolutions lay the windows of a row side by side; Conv a few at a time, where a channel has more places than there
    are channels.
    """
    operator = call.node.operator
    match operator:
        case "Conv" if math.prod(made.shape[2:]) >= made.shape[1]:
            return _SEGMENT
        case "Conv" | "ConvInteger" | "QLinearConv":
            weights = call.given(3 if operator == "QLinearConv" else 1)
            return 4 * math.prod(made.shape[2:]) * math.prod(weights.shape[1:])
        case "ConvTranspose":
            return 4 * math.prod(call.given(0).shape[2:]) * math.prod(call.given(1).shape[1:])
        case "Einsum" | "GRU" | "LSTM" | "RNN":
            return chains.scratch(call)
        case _:
            copies = 2 if operator in _OF_MANY and len(call.inputs) > 2 else _COPIES.get(operator, 0)
    if not copies:
        return 0
    table = 0
    if operator == "Resize" and _cubic(call):
        rows = min(call.given(0).shape[-2] + 4, 4 * made.shape[-2])  # each output row looks at four of the input
        table = _CUBIC_ENTRY * made.shape[-1] * rows
    return copies * 4 * max(made.size, call.given(0).size) + table


def _cubic(call: Call) -> bool:
    return call.word("mode", "nearest") == "cubic"
