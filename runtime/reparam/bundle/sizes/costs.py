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
_CONVOLUTIONS: Final = frozenset({"Conv", "ConvInteger", "ConvTranspose", "QLinearConv"})
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
    """Bytes that a kernel needs beside its inputs and outputs."""
    operator = call.node.operator
    if operator in _COPIES:
        return _COPIES[operator] * 4 * max(made.size, call.given(0).size) + (_table(call, made) if _cubic(call) else 0)
    if operator in _OF_MANY:
        return 8 * made.size if len(call.inputs) > 2 else 0
    if operator in chains.RULES:
        return chains.scratch(call)
    return _windows(call, made) if operator in _CONVOLUTIONS else 0


def _windows(call: Call, made: Sized) -> int:
    """Bytes of a row's windows side by side; of Conv a few, where a channel has more places than there are channels."""
    operator = call.node.operator
    if operator == "Conv" and math.prod(made.shape[2:]) >= made.shape[1]:
        return _SEGMENT
    places = call.given(0).shape[2:] if operator == "ConvTranspose" else made.shape[2:]
    weights = call.given(3 if operator == "QLinearConv" else 1)
    return 4 * math.prod(places) * math.prod(weights.shape[1:])


def _table(call: Call, made: Sized) -> int:
    """Bytes of what cubic resampling keeps of a channel: each output row looks at four of the input."""
    rows = min(call.given(0).shape[-2] + 4, 4 * made.shape[-2])
    return _CUBIC_ENTRY * made.shape[-1] * rows


def _cubic(call: Call) -> bool:
    return call.word("mode", "nearest") == "cubic"
