"""Sizes of convolutions, pools, norms over channels, and resampling."""

import struct
from typing import Final

from reparam.bundle.outline import INT32
from reparam.bundle.sizes.elements import Rule
from reparam.bundle.sizes.sized import Call, Shape, Sized, axes_of, axis_of, same


def _sides(x: Sized) -> Shape:
    """The sides of rows that have channels and one to three of them."""
    if not 3 <= len(x.shape) <= 5:
        raise ValueError(f"takes rows with channels and one to three sides, got {list(x.shape)}")
    return x.shape[2:]


def _settings(call: Call, count: int) -> tuple[Shape, Shape, Shape]:
    """Strides, dilations, and the padding of each side in all; padding is told only where auto_pad does not."""
    strides, dilations = (call.wholes(name) or (1,) * count for name in ("strides", "dilations"))
    pads = call.wholes("pads") or (0,) * 2 * count
    if len(strides) != count or len(dilations) != count or len(pads) != 2 * count:
        raise ValueError(f"strides, dilations and pads must be those of {count} sides")
    if any(pads) and call.word("auto_pad", "NOTSET") != "NOTSET":
        raise ValueError("pads and auto_pad exclude each other")
    return strides, dilations, tuple(pads[side] + pads[side + count] for side in range(count))


def _spans(kernel: Shape, dilations: Shape) -> Shape:
    return tuple((size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True))


def _windows(call: Call, sides: Shape, kernel: Shape) -> Shape:
    """How many places a window has on each side."""
    strides, dilations, pads = _settings(call, len(sides))
    spans = _spans(kernel, dilations)
    if call.word("auto_pad", "NOTSET").startswith("SAME"):
        if max(dilations) > 1:
            raise ValueError("auto_pad takes no dilations")
        return tuple(-(-side // stride) for side, stride in zip(sides, strides, strict=True))
    every = zip(sides, pads, spans, strides, strict=True)
    return tuple((side + pad - span) // stride + 1 for side, pad, span, stride in every)


def _kernel(call: Call, weights: Sized) -> Shape:
    kernel = weights.shape[2:]
    same(call.wholes("kernel_shape") or kernel, kernel, "kernel_shape")
    return kernel


def _conv(call: Call) -> list[Sized]:
    x, operator = call.given(0), call.node.operator
    w, dtype = call.given(1), x.dtype
    bias = call.optional(2)
    if operator == "QLinearConv":
        w, dtype, bias = call.given(3), call.given(7).dtype, call.optional(8)
    elif operator == "ConvInteger":
        dtype, bias = INT32, None
    sides, group = _sides(x), call.whole("group", 1)
    if len(w.shape) != len(x.shape) or x.shape[1] != w.shape[1] * group or w.shape[0] % group:
        raise ValueError(f"weights {list(w.shape)} in {group} groups do not fit {list(x.shape)}")
    if bias is not None:
        same(bias.shape, (w.shape[0],), "bias")
    return [Sized(dtype, (x.shape[0], w.shape[0], *_windows(call, sides, _kernel(call, w))))]


def _transposed(call: Call) -> list[Sized]:
    x, w, bias = call.given(0), call.given(1), call.optional(2)
    sides, group = _sides(x), call.whole("group", 1)
    if len(w.shape) != len(x.shape) or x.shape[1] != w.shape[0] or w.shape[0] % group:
        raise ValueError(f"weights {list(w.shape)} in {group} groups do not fit {list(x.shape)}")
    if bias is not None:
        same(bias.shape, (w.shape[1] * group,), "bias")
    strides, dilations, pads = _settings(call, len(sides))
    more = call.wholes("output_padding") or (0,) * len(sides)
    spans = _spans(_kernel(call, w), dilations)
    if call.word("auto_pad", "NOTSET") != "NOTSET":
        raise ValueError("auto_pad is not allowed; give pads")
    if len(more) != len(sides) or any(a >= max(b, c) for a, b, c in zip(more, strides, dilations, strict=True)):
        raise ValueError("output_padding must be below stride or dilation on each side")
    every = zip(sides, strides, more, spans, pads, strict=True)
    found = tuple(stride * (side - 1) + extra + span - pad for side, stride, extra, span, pad in every)
    return [Sized(x.dtype, (x.shape[0], w.shape[1] * group, *found))]


def _pool(call: Call) -> list[Sized]:
    x, kernel = call.given(0), call.wholes("kernel_shape")
    sides = _sides(x)
    if kernel is None or len(kernel) != len(sides):
        raise ValueError("kernel_shape must be that of its sides")
    pads = call.wholes("pads") or ()
    if any(pad >= size for pad, size in zip(pads, kernel * 2, strict=False)):
        raise ValueError("pads must be smaller than the kernel")
    return [Sized(x.dtype, (*x.shape[:2], *_windows(call, sides, kernel)))]


def _global_pool(call: Call) -> list[Sized]:
    x = call.given(0)
    return [Sized(x.dtype, (*x.shape[:2], *(1 for _ in _sides(x))))]


# -- norms -----------------------------------------------------------------------------------------------------------


def _channels(call: Call) -> list[Sized]:
    """BatchNormalization and InstanceNormalization: each parameter has one value for each channel."""
    x = call.given(0)
    if len(x.shape) < (3 if call.node.operator == "InstanceNormalization" else 2):
        raise ValueError(f"takes rows with channels, got {list(x.shape)}")
    for place in range(1, len(call.inputs)):
        same(call.given(place).shape, x.shape[1:2], f"input {place}")
    return [Sized(x.dtype, x.shape)]


def _groups(call: Call) -> list[Sized]:
    x, groups = call.given(0), call.whole("num_groups", 0)
    sides = _sides(x)
    if groups < 1 or x.shape[1] % groups:
        raise ValueError(f"num_groups {groups} does not divide {x.shape[1]} channels")
    for place in (1, 2):
        same(call.given(place).shape, (groups,), f"input {place}")
    return [Sized(x.dtype, (*x.shape[:2], *sides))]


def _layer(call: Call) -> list[Sized]:
    x = call.given(0)
    axis = axis_of(call.whole("axis", -1), len(x.shape))
    for place in range(1, len(call.inputs)):
        same(call.given(place).shape, x.shape[axis:], f"input {place}")
    return [Sized(x.dtype, x.shape)]


def _neighbours(call: Call) -> list[Sized]:
    x, size = call.given(0), call.whole("size", 0)
    if size < 1 or not size % 2 or len(x.shape) != 4:
        raise ValueError("size must be odd, and x images with channels")
    return [Sized(x.dtype, x.shape)]


# -- resampling ------------------------------------------------------------------------------------------------------


def _float32(number: float) -> float:
    found: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return found


def _resize(call: Call) -> list[Sized]:
    x, scales, sizes = call.given(0), call.optional(2), call.optional(3)
    rank = len(x.shape)
    axes = axes_of(call.wholes("axes") or range(rank), rank)
    shape = list(x.shape)
    if sizes is not None:
        if scales is not None and scales.size:
            raise ValueError("scales and sizes exclude each other")
        new = call.integers(3)
    elif scales is None or scales.values is None:
        raise ValueError("its scales are not known before the graph runs")
    else:
        if any(not 0 < scale <= 1e6 for scale in scales.values):
            raise ValueError("scales must be positive and at most a million")
        # onnxruntime multiplies in float32 and cuts
        pairs = zip(scales.values, axes, strict=False)
        new = tuple(int(_float32(float(scale) * x.shape[axis])) for scale, axis in pairs)
        same((len(scales.values),), (len(axes),), "scales")
    same((len(new),), (len(axes),), "sizes")
    for axis, side in zip(axes, new, strict=True):
        shape[axis] = side
    if shape[:2] != list(x.shape[:2]) or not 1 <= len(shape[2:]) <= 3:
        raise ValueError(f"resamples one to three sides of rows with channels, got {list(x.shape)} to {shape}")
    return [Sized(x.dtype, tuple(shape))]


RULES: Final[dict[str, Rule]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "QLinearConv": _conv,
    "ConvTranspose": _transposed,
    "AveragePool": _pool,
    "MaxPool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalLpPool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "BatchNormalization": _channels,
    "InstanceNormalization": _channels,
    "GroupNormalization": _groups,
    "LayerNormalization": _layer,
    "LRN": _neighbours,
    "Resize": _resize,
}
