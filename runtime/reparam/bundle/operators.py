"""The operators that a graph may hold: standard ones of sets 13 to 18 that no input is known to bring down.

A row here is kept by evidence: graphs drawn at random within these limits ran on onnxruntime without a crash, and one
that crashed it left the list or had its limits narrowed (tests/fuzz/graphs.py). Each also has a rule in `sizes.py`.
"""

import dataclasses
from typing import Final, Literal

Kind = Literal["float", "int", "string", "tensor", "floats", "ints"]

LOWEST_OPSET: Final = 13
HIGHEST_OPSET: Final = 18


@dataclasses.dataclass(frozen=True)
class Attribute:
    """What an attribute may be: its kind, the range of its whole numbers, how many there may be, its words."""

    kind: Kind
    low: int = 0
    high: int = 0
    most: int = 8
    words: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Operator:
    """What a node of an operator may have: how many inputs and outputs, and which may be left out.

    An attribute that is not here is refused, and so is an empty name elsewhere: onnxruntime follows some of those into
    memory that is not there.
    """

    inputs: tuple[int, int]
    outputs: tuple[int, int] = (1, 1)
    empty: frozenset[int] = frozenset()
    attributes: dict[str, Attribute] = dataclasses.field(default_factory=dict[str, Attribute])


_FLOAT: Final = Attribute("float")
_FLAG: Final = Attribute("int", 0, 1)
_NEVER: Final = Attribute("int", 0, 0)  # a pool that rounds up has sizes that differ between versions
_AXIS: Final = Attribute("int", -8, 8)
_AXES: Final = Attribute("ints", -8, 7)
_LARGE: Final = 4096


def _words(*words: str) -> Attribute:
    return Attribute("string", words=frozenset(words))


_REDUCTION: Final = _words("none", "add", "mul")

# -- families with the same attributes ------------------------------------------------------------------------------

_WINDOW: Final = {
    "auto_pad": _words("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    "kernel_shape": Attribute("ints", 1, _LARGE, most=3),
    "pads": Attribute("ints", 0, _LARGE, most=6),
    "strides": Attribute("ints", 1, _LARGE, most=3),
}
_CONV: Final = {
    **_WINDOW,
    "dilations": Attribute("ints", 1, _LARGE, most=3),
    "group": Attribute("int", 1, 65536),
}
_RECURRENT: Final = {
    "direction": _words("forward", "reverse", "bidirectional"),
    "hidden_size": Attribute("int", 1, 65536),
    "layout": _NEVER,
}
_SUM: Final = {"keepdims": _FLAG, "noop_with_empty_axes": _FLAG}
_REDUCE: Final = {**_SUM, "axes": _AXES}

UNARY: Final = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor"),
    *("HardSwish", "Identity", "IsNaN", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign"),
    *("Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh"),
)
BINARY: Final = ("Add", "Div", "Mul", "PRelu", "Pow", "Sub")
COMPARING: Final = ("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Or", "Xor")
VARIADIC: Final = ("Max", "Mean", "Min", "Sum")
REDUCING: Final = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"),
    *("ReduceSum", "ReduceSumSquare"),
)

OPERATORS: Final[dict[str, Operator]] = {
    **dict.fromkeys(UNARY, Operator((1, 1))),
    **dict.fromkeys(BINARY, Operator((2, 2))),
    **dict.fromkeys(COMPARING, Operator((2, 2))),
    **dict.fromkeys(VARIADIC, Operator((1, 64))),
    **dict.fromkeys(REDUCING, Operator((1, 2), attributes=_REDUCE)),
    "ReduceSum": Operator((1, 2), attributes=_SUM),
    # -- activations with attributes
    "Celu": Operator((1, 1), attributes={"alpha": _FLOAT}),
    "Clip": Operator((1, 3), empty=frozenset({1, 2})),
    "Elu": Operator((1, 1), attributes={"alpha": _FLOAT}),
    "Hardmax": Operator((1, 1), attributes={"axis": _AXIS}),
    "HardSigmoid": Operator((1, 1), attributes={"alpha": _FLOAT, "beta": _FLOAT}),
    "IsInf": Operator((1, 1), attributes={"detect_negative": _FLAG, "detect_positive": _FLAG}),
    "LeakyRelu": Operator((1, 1), attributes={"alpha": _FLOAT}),
    "LogSoftmax": Operator((1, 1), attributes={"axis": _AXIS}),
    "Selu": Operator((1, 1), attributes={"alpha": _FLOAT, "gamma": _FLOAT}),
    "Shrink": Operator((1, 1), attributes={"bias": _FLOAT, "lambd": _FLOAT}),
    "Softmax": Operator((1, 1), attributes={"axis": _AXIS}),
    "ThresholdedRelu": Operator((1, 1), attributes={"alpha": _FLOAT}),
    "Where": Operator((3, 3)),
    # -- products and convolutions
    "Conv": Operator((2, 3), attributes=_CONV),
    "ConvInteger": Operator((2, 4), attributes=_CONV),
    "ConvTranspose": Operator(
        (2, 3),
        attributes={
            **_CONV,
            "output_padding": Attribute("ints", 0, _LARGE, most=3),
        },
    ),
    "Einsum": Operator((1, 4), attributes={"equation": Attribute("string")}),
    "GRU": Operator((3, 6), (1, 2), empty=frozenset({4}), attributes={**_RECURRENT, "linear_before_reset": _FLAG}),
    "Gemm": Operator((2, 3), attributes={"alpha": _FLOAT, "beta": _FLOAT, "transA": _FLAG, "transB": _FLAG}),
    "LSTM": Operator((3, 7), (1, 3), empty=frozenset({4}), attributes={**_RECURRENT, "input_forget": _NEVER}),
    "MatMul": Operator((2, 2)),
    "MatMulInteger": Operator((2, 4)),
    "QLinearConv": Operator((8, 9), attributes=_CONV),
    "QLinearMatMul": Operator((8, 8)),
    "RNN": Operator((3, 6), (1, 2), empty=frozenset({4}), attributes=_RECURRENT),
    # -- pools and norms
    "AveragePool": Operator((1, 1), attributes={**_WINDOW, "ceil_mode": _NEVER, "count_include_pad": _FLAG}),
    "BatchNormalization": Operator((5, 5), attributes={"epsilon": _FLOAT, "momentum": _FLOAT}),
    "GlobalAveragePool": Operator((1, 1)),
    "GlobalLpPool": Operator((1, 1), attributes={"p": Attribute("int", 1, 8)}),
    "GlobalMaxPool": Operator((1, 1)),
    "GroupNormalization": Operator((3, 3), attributes={"epsilon": _FLOAT, "num_groups": Attribute("int", 1, 65536)}),
    "InstanceNormalization": Operator((3, 3), attributes={"epsilon": _FLOAT}),
    "LRN": Operator(
        (1, 1),
        attributes={"alpha": _FLOAT, "beta": _FLOAT, "bias": _FLOAT, "size": Attribute("int", 1, _LARGE)},
    ),
    "LayerNormalization": Operator(
        (2, 3), attributes={"axis": _AXIS, "epsilon": _FLOAT, "stash_type": Attribute("int", 1, 1)}
    ),
    "LpNormalization": Operator((1, 1), attributes={"axis": _AXIS, "p": Attribute("int", 1, 2)}),
    "MaxPool": Operator(
        (1, 1), attributes={**_WINDOW, "ceil_mode": _NEVER, "dilations": Attribute("ints", 1, _LARGE, most=3)}
    ),
    # -- places and sizes
    "ArgMax": Operator((1, 1), attributes={"axis": _AXIS, "keepdims": _FLAG, "select_last_index": _FLAG}),
    "ArgMin": Operator((1, 1), attributes={"axis": _AXIS, "keepdims": _FLAG, "select_last_index": _FLAG}),
    "CastLike": Operator((2, 2)),
    "Cast": Operator((1, 1), attributes={"to": Attribute("int", 1, 11)}),
    "Concat": Operator((1, 64), attributes={"axis": _AXIS}),
    "Constant": Operator((0, 0), attributes={"value": Attribute("tensor")}),
    "ConstantOfShape": Operator((1, 1), attributes={"value": Attribute("tensor")}),
    "CumSum": Operator((2, 2), attributes={"exclusive": _FLAG, "reverse": _FLAG}),
    "DepthToSpace": Operator((1, 1), attributes={"blocksize": Attribute("int", 1, 64), "mode": _words("DCR", "CRD")}),
    "Expand": Operator((2, 2)),
    "EyeLike": Operator((1, 1), attributes={"dtype": Attribute("int", 1, 11), "k": Attribute("int", -_LARGE, _LARGE)}),
    "Flatten": Operator((1, 1), attributes={"axis": _AXIS}),
    "Gather": Operator((2, 2), attributes={"axis": _AXIS}),
    "GatherElements": Operator((2, 2), attributes={"axis": _AXIS}),
    "GatherND": Operator((2, 2), attributes={"batch_dims": Attribute("int", 0, 7)}),
    "Pad": Operator((2, 4), empty=frozenset({2}), attributes={"mode": _words("constant", "edge", "reflect")}),
    "Range": Operator((3, 3)),
    "Reshape": Operator((2, 2), attributes={"allowzero": _FLAG}),
    "Resize": Operator(
        (3, 4),
        empty=frozenset({1, 2}),
        attributes={
            "antialias": _FLAG,
            "axes": _AXES,
            "coordinate_transformation_mode": _words(
                *("align_corners", "asymmetric", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
            ),
            "cubic_coeff_a": _FLOAT,
            "exclude_outside": _FLAG,
            "extrapolation_value": _FLOAT,
            "keep_aspect_ratio_policy": _words("stretch"),
            "mode": _words("nearest", "linear", "cubic"),
            "nearest_mode": _words("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
        },
    ),
    "ScatterElements": Operator((3, 3), attributes={"axis": _AXIS, "reduction": _REDUCTION}),
    "ScatterND": Operator((3, 3), attributes={"reduction": _REDUCTION}),
    "Shape": Operator((1, 1), attributes={"end": _AXIS, "start": _AXIS}),
    "Size": Operator((1, 1)),
    "Slice": Operator((3, 5), empty=frozenset({3})),
    "SpaceToDepth": Operator((1, 1), attributes={"blocksize": Attribute("int", 1, 64)}),
    "Split": Operator((1, 2), (1, 64), attributes={"axis": _AXIS, "num_outputs": Attribute("int", 1, 64)}),
    "Squeeze": Operator((1, 2)),
    "Tile": Operator((2, 2)),
    "TopK": Operator((2, 2), (2, 2), attributes={"axis": _AXIS, "largest": _FLAG, "sorted": _FLAG}),
    "Transpose": Operator((1, 1), attributes={"perm": Attribute("ints", 0, 7)}),
    "Trilu": Operator((1, 2), attributes={"upper": _FLAG}),
    "Unsqueeze": Operator((2, 2)),
    # -- integers that stand for numbers
    "DequantizeLinear": Operator((2, 3), attributes={"axis": _AXIS}),
    "DynamicQuantizeLinear": Operator((1, 1), (3, 3)),
    "QuantizeLinear": Operator((2, 3), attributes={"axis": _AXIS}),
}
