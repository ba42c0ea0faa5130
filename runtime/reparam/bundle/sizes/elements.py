"""Sizes of operators that work value by value, reduce axes, or multiply matrices."""

import math
from collections.abc import Callable
from typing import Final

from reparam.bundle.operators import BINARY, COMPARING, REDUCING, UNARY, VARIADIC
from reparam.bundle.outline import BOOL, FLOAT32, INT32, INT64, INTEGERS, SIZES, Number
from reparam.bundle.sizes.sized import Call, Shape, Sized, axes_of, axis_of, broadcast, known, same

Rule = Callable[[Call], list[Sized]]

_FEW: Final = 2**31  # whole numbers that any type of ours takes from a float


def _alike(call: Call) -> list[Sized]:
    """Shape and type of the first input."""
    x = call.given(0)
    return [Sized(x.dtype, x.shape)]


def _unary(call: Call) -> list[Sized]:
    x, operator = call.given(0), call.node.operator
    if operator == "Identity":
        return [x]
    if operator in ("IsNaN", "IsInf", "Not"):
        return [Sized(BOOL, x.shape)]
    return [Sized(x.dtype, x.shape)]


def _along(call: Call) -> list[Sized]:
    """Shape and type of the first input, which must have the axis."""
    x = call.given(0)
    axis_of(call.whole("axis", -1), len(x.shape))
    return [Sized(x.dtype, x.shape)]


def _stretched(values: tuple[Number, ...], count: int) -> tuple[Number, ...]:
    return values * count if len(values) == 1 else values


def _binary(call: Call) -> list[Sized]:
    a, b, operator = call.given(0), call.given(1), call.node.operator
    shape = broadcast(a.shape, b.shape)
    if operator == "Div" and a.dtype in INTEGERS and (b.values is None or min(b.values, default=0) <= 0):
        raise ValueError("divides whole numbers by what is not known to be positive, which can end the process")
    if a.values is None or b.values is None or len(shape) > 1 or a.dtype not in INTEGERS:
        return [Sized(a.dtype, shape)]
    count = math.prod(shape)
    pairs = zip(_stretched(a.values, count), _stretched(b.values, count), strict=True)
    match operator:
        case "Add":
            values = [left + right for left, right in pairs]
        case "Sub":
            values = [left - right for left, right in pairs]
        case "Mul":
            values = [left * right for left, right in pairs]
        case "Div":
            values = [abs(left) // right * (1 if left >= 0 else -1) for left, right in pairs]
        case _:
            return [Sized(a.dtype, shape)]
    return [known(a.dtype, shape, values) if a.dtype == INT64 else Sized(a.dtype, shape)]


def _sloped(call: Call) -> list[Sized]:
    """PRelu: slopes are stretched to x, never x to them, which onnxruntime would do against its own forecast."""
    x, slope = call.given(0), call.given(1)
    same(broadcast(x.shape, slope.shape), x.shape, "x with its slopes")
    return [Sized(x.dtype, x.shape)]


def _comparing(call: Call) -> list[Sized]:
    a, b = call.given(0), call.given(1)
    shape = broadcast(a.shape, b.shape)
    if call.node.operator != "Equal" or a.values is None or b.values is None or len(shape) > 1:
        return [Sized(BOOL, shape)]
    count = math.prod(shape)
    pairs = zip(_stretched(a.values, count), _stretched(b.values, count), strict=True)
    return [known(BOOL, shape, [int(left == right) for left, right in pairs])]


def _where(call: Call) -> list[Sized]:
    condition, a, b = call.given(0), call.given(1), call.given(2)
    shape = broadcast(condition.shape, a.shape, b.shape)
    if condition.values is None or a.values is None or b.values is None or len(shape) > 1:
        return [Sized(a.dtype, shape)]
    count = math.prod(shape)
    chosen = zip(*(_stretched(each, count) for each in (condition.values, a.values, b.values)), strict=True)
    return [known(a.dtype, shape, [left if first else right for first, left, right in chosen])]


def _variadic(call: Call) -> list[Sized]:
    inputs = [call.given(place) for place in range(len(call.inputs))]
    return [Sized(inputs[0].dtype, broadcast(*(each.shape for each in inputs)))]


def _cast(call: Call) -> list[Sized]:
    x, to = call.given(0), call.whole("to", 0)
    if to not in SIZES:
        raise ValueError(f"attribute to must be a data type of numbers, got {to}")
    if x.values is None or to not in (FLOAT32, INT32, INT64):
        return [Sized(to, x.shape)]
    if any(value - value != 0 or abs(value) >= _FEW for value in x.values):
        return [Sized(to, x.shape)]
    return [known(to, x.shape, [float(value) if to == FLOAT32 else int(value) for value in x.values])]


def _cast_like(call: Call) -> list[Sized]:
    return [Sized(call.given(1).dtype, call.given(0).shape)]


def _quantized(call: Call) -> list[Sized]:
    """QuantizeLinear and DequantizeLinear: one scale, or one for each place of an axis."""
    x, scale, zero = call.given(0), call.given(1), call.optional(2)
    if scale.shape not in ((), (1,)):
        axis = axis_of(call.whole("axis", 1), len(x.shape))
        same(scale.shape, (x.shape[axis],), "scale")
    if zero is not None:
        same(zero.shape, scale.shape, "zero point")
    if call.node.operator == "DequantizeLinear":
        return [Sized(scale.dtype, x.shape)]
    return [Sized(2 if zero is None else zero.dtype, x.shape)]


def _dynamic_quantized(call: Call) -> list[Sized]:
    return [Sized(2, call.given(0).shape), Sized(), Sized(2)]


# -- axes ------------------------------------------------------------------------------------------------------------


def _reducing(call: Call) -> list[Sized]:
    x, rank = call.given(0), len(call.given(0).shape)
    attribute = call.wholes("axes")
    axes = attribute if attribute is not None else call.integers(1) if call.optional(1) is not None else ()
    if not axes and call.whole("noop_with_empty_axes", 0):
        return [Sized(x.dtype, x.shape)]
    gone = axes_of(axes, rank) if axes else tuple(range(rank))
    return [Sized(x.dtype, _without(x.shape, gone, keep=call.whole("keepdims", 1)))]


def _arg(call: Call) -> list[Sized]:
    x = call.given(0)
    axis = axis_of(call.whole("axis", 0), len(x.shape))
    return [Sized(INT64, _without(x.shape, (axis,), keep=call.whole("keepdims", 1)))]


def _without(shape: Shape, axes: tuple[int, ...], *, keep: int) -> Shape:
    if keep:
        return tuple(1 if axis in axes else side for axis, side in enumerate(shape))
    return tuple(side for axis, side in enumerate(shape) if axis not in axes)


def _cumulative(call: Call) -> list[Sized]:
    x, axes = call.given(0), call.integers(1)
    if len(axes) != 1:
        raise ValueError(f"takes one axis, got {len(axes)}")
    axis_of(axes[0], len(x.shape))
    return [Sized(x.dtype, x.shape)]


# -- products --------------------------------------------------------------------------------------------------------


def product(a: Shape, b: Shape) -> Shape:
    """The shape of a matrix product as numpy has it."""
    if not a or not b:
        raise ValueError("a number is no matrix")
    left = (1, *a) if len(a) == 1 else a
    right = (*b, 1) if len(b) == 1 else b
    if left[-1] != right[-2]:
        raise ValueError(f"matrices {list(a)} and {list(b)} do not fit")
    sides = [left[-2]] * (len(a) > 1) + [right[-1]] * (len(b) > 1)
    return (*broadcast(left[:-2], right[:-2], ()), *sides)


def _matmul(call: Call) -> list[Sized]:
    match call.node.operator:
        case "QLinearMatMul":
            return [Sized(call.given(7).dtype, product(call.given(0).shape, call.given(3).shape))]
        case "MatMulInteger":
            return [Sized(INT32, product(call.given(0).shape, call.given(1).shape))]
        case _:
            return [Sized(call.given(0).dtype, product(call.given(0).shape, call.given(1).shape))]


def _gemm(call: Call) -> list[Sized]:
    a, b, c = call.given(0), call.given(1), call.optional(2)
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise ValueError(f"takes two matrices, got {list(a.shape)} and {list(b.shape)}")
    left = a.shape[::-1] if call.whole("transA", 0) else a.shape
    right = b.shape[::-1] if call.whole("transB", 0) else b.shape
    if left[1] != right[0]:
        raise ValueError(f"matrices {list(left)} and {list(right)} do not fit")
    shape = left[0], right[1]
    if c is not None:
        same(broadcast(c.shape, shape), shape, "the product with C")
    return [Sized(a.dtype, shape)]


RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(COMPARING, _comparing),
    **dict.fromkeys(VARIADIC, _variadic),
    **dict.fromkeys(REDUCING, _reducing),
    **dict.fromkeys(
        ("Celu", "Clip", "Elu", "HardSigmoid", "LeakyRelu", "Selu", "Shrink", "ThresholdedRelu"),
        _alike,
    ),
    **dict.fromkeys(("Hardmax", "LogSoftmax", "Softmax", "LpNormalization"), _along),
    "IsInf": _unary,
    "PRelu": _sloped,
    "CastLike": _cast_like,
    "Where": _where,
    "Cast": _cast,
    "QuantizeLinear": _quantized,
    "DequantizeLinear": _quantized,
    "DynamicQuantizeLinear": _dynamic_quantized,
    "ArgMax": _arg,
    "ArgMin": _arg,
    "CumSum": _cumulative,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Gemm": _gemm,
}
