"""What nodes of kernels take: convolutions, products, norms, pools, recurrent nets, integers that stand for numbers."""

import math
from collections.abc import Callable
from typing import Any, Final

from drawing import Drawing, Operands

from reparam.bundle.outline import FLOAT32

Inputs = tuple[list[str], dict[str, Any], int]


def image_rows(d: Drawing, dtype: int | None = FLOAT32) -> str:
    """Rows with channels and sides."""
    return d.pick(rank=d.draw.choice((3, 4, 4, 4, 5)), dtype=dtype)


def _groups(d: Drawing, channels: int) -> int:
    return d.draw.choice([each for each in range(1, channels + 1) if channels % each == 0])


def _convolution(d: Drawing, x: str, dtype: int, *, transposed: bool = False) -> tuple[str, dict[str, Any], int]:
    shape = d.values[x].shape
    sides, channels = len(shape) - 2, shape[1]
    group, each = _groups(d, channels), d.draw.randint(1, 3)
    kernel = tuple(d.draw.choice((1, 1, 2, 3, 3, 4)) for _ in range(sides))
    first = (channels, each) if transposed else (group * each, channels // group)
    weights = d.constant((*first, *kernel), dtype)
    settings: dict[str, Any] = {"group": group} if group > 1 or d.chance(0.3) else {}
    if d.chance(0.7):
        settings["strides"] = tuple(d.draw.choice((1, 1, 2, 3)) for _ in range(sides))
    if d.chance(0.7):
        settings["pads"] = tuple(d.draw.choice((0, 1, 1, 2)) for _ in range(2 * sides))
    if d.chance(0.4):
        settings["dilations"] = tuple(d.draw.choice((1, 1, 2)) for _ in range(sides))
    if d.chance(0.6):
        settings["kernel_shape"] = kernel
    return weights, settings, group * each


def _conv(d: Drawing) -> Inputs:
    x = image_rows(d)
    weights, settings, channels = _convolution(d, x, d.values[x].dtype)
    return [x, weights, *([d.constant((channels,), d.values[x].dtype)] if d.chance(0.6) else [])], settings, 1


def _transposed(d: Drawing) -> Inputs:
    x = image_rows(d)
    weights, settings, channels = _convolution(d, x, d.values[x].dtype, transposed=True)
    return [x, weights, *([d.constant((channels,), d.values[x].dtype)] if d.chance(0.6) else [])], settings, 1


def _bytes_like(d: Drawing, rank: int | None = None) -> str:
    """uint8 or int8, there already or new."""
    dtype = d.draw.choice((2, 3))
    sides = d.draw.choice((3, 4, 5)) if rank is None else rank
    have = [name for name, value in d.values.items() if value.dtype == dtype and len(value.shape) == sides]
    if have and d.chance(0.7):
        return d.draw.choice(have)
    return d.constant(tuple(d.draw.randint(1, 5) for _ in range(sides)), dtype)


def _conv_integer(d: Drawing) -> Inputs:
    x = _bytes_like(d)
    weights, settings, channels = _convolution(d, x, d.draw.choice((2, 3)))
    zeros = [d.constant((), d.values[x].dtype)] if d.chance(0.6) else []
    if zeros and d.chance(0.5):
        zeros.append(d.constant(() if d.chance(0.5) else (channels,), d.values[weights].dtype))
    return [x, weights, *zeros], settings, 1


def _scale(d: Drawing, shape: tuple[int, ...] = ()) -> str:
    count = math.prod(shape)
    return (
        d.constant(shape, FLOAT32, [abs(d.draw.gauss(0.1, 0.1)) + 1e-3 for _ in range(count)])
        if d.chance(0.9)
        else d.constant(shape)
    )


def _quantized_conv(d: Drawing) -> Inputs:
    x = _bytes_like(d)
    weights, settings, channels = _convolution(d, x, d.draw.choice((2, 3)))
    per = (channels,) if d.chance(0.4) else ()
    dtype, own = d.values[x].dtype, d.values[weights].dtype
    inputs = [x, _scale(d), d.constant((), dtype), weights, _scale(d, per), d.constant(per, own)]
    inputs += [_scale(d), d.constant((), d.draw.choice((dtype, 2, 3)))]
    return [*inputs, *([d.constant((channels,), 6)] if d.chance(0.5) else [])], settings, 1


def _matrix(d: Drawing, shape: tuple[int, ...], dtype: int) -> str:
    inner = shape[-1] if shape else 1
    wide = d.draw.randint(1, 5)
    if d.chance(0.2) and len(shape) > 2:
        return d.constant((*d.near(shape[:-2]), inner, wide), dtype)
    return d.constant((inner,) if d.chance(0.1) else (inner, wide), dtype)


def _matmul(d: Drawing) -> Inputs:
    x = d.pick()
    return [x, d.pick() if d.chance(0.15) else _matrix(d, d.values[x].shape, d.values[x].dtype)], {}, 1


def _matmul_integer(d: Drawing) -> Inputs:
    x = _bytes_like(d, d.draw.choice((1, 2, 3)))
    w = _matrix(d, d.values[x].shape, d.draw.choice((2, 3)))
    zeros = [d.constant((), d.values[x].dtype)] if d.chance(0.6) else []
    if zeros and d.chance(0.6):
        per = d.values[w].shape[-1:] if d.chance(0.3) else ()
        zeros.append(d.constant(per, d.values[w].dtype))
    return [x, w, *zeros], {}, 1


def _quantized_matmul(d: Drawing) -> Inputs:
    x = _bytes_like(d, d.draw.choice((2, 3)))
    w = _matrix(d, d.values[x].shape, d.draw.choice((2, 3)))
    per = d.values[w].shape[-1:] if d.chance(0.3) else ()
    inputs = [x, _scale(d), d.constant((), d.values[x].dtype), w, _scale(d, per), d.constant(per, d.values[w].dtype)]
    return [*inputs, _scale(d), d.constant((), d.values[x].dtype)], {}, 1


def _gemm(d: Drawing) -> Inputs:
    a = d.pick(rank=2)
    trans_a, trans_b = (int(d.chance(0.3)) for _ in range(2))
    m, k = d.values[a].shape[::-1] if trans_a else d.values[a].shape
    n = d.draw.randint(1, 5)
    b = d.constant((n, k) if trans_b else (k, n))
    c = [d.constant(d.near((m, n)))] if d.chance(0.7) else []
    return [a, b, *c], {"transA": trans_a, "transB": trans_b}, 1


def _pool(d: Drawing) -> Inputs:
    x = image_rows(d, None if d.chance(0.2) else FLOAT32)
    sides = len(d.values[x].shape) - 2
    settings: dict[str, Any] = {"kernel_shape": tuple(d.draw.choice((1, 2, 3)) for _ in range(sides))}
    if d.chance(0.6):
        settings["strides"] = tuple(d.draw.choice((1, 2, 3)) for _ in range(sides))
    if d.chance(0.5):
        settings["pads"] = tuple(d.draw.choice((0, 0, 1)) for _ in range(2 * sides))
    return [x], settings, 1


def _norm(count: int) -> Callable[[Drawing], Inputs]:
    def inputs(d: Drawing) -> Inputs:
        x = image_rows(d)
        dtype = d.values[x].dtype
        return [x, *(d.constant(d.values[x].shape[1:2], dtype) for _ in range(count))], {}, 1

    return inputs


def _group_norm(d: Drawing) -> Inputs:
    x = image_rows(d)
    groups = _groups(d, d.values[x].shape[1])
    return [x, d.constant((groups,)), d.constant((groups,))], {"num_groups": groups}, 1


def _layer_norm(d: Drawing) -> Inputs:
    x = d.pick()
    rank = len(d.values[x].shape)
    axis = d.draw.randrange(rank) if rank else 0
    parts = [d.constant(d.values[x].shape[axis:]) for _ in range(d.draw.randint(1, 2))]
    return [x, *parts], {"axis": axis - rank if d.chance(0.4) else axis}, 1


def _quantize(d: Drawing) -> Inputs:
    x = d.pick()
    shape = d.values[x].shape
    axis = d.draw.randrange(len(shape)) if shape else 0
    per = (shape[axis],) if shape and d.chance(0.4) else ()
    zero = [d.constant(per, d.draw.choice((2, 3)))] if d.chance(0.8) else []
    return [x, _scale(d, per), *zero], {"axis": axis} if per else {}, 1


def _dequantize(d: Drawing) -> Inputs:
    x = d.constant((3, 4), 6) if d.chance(0.1) else _bytes_like(d, d.draw.choice((1, 2, 4)))
    value = d.values[x]
    axis = d.draw.randrange(len(value.shape))
    per = (value.shape[axis],) if d.chance(0.4) else ()
    zero = [d.constant(per, value.dtype)] if d.chance(0.8) else []
    return [x, _scale(d, per), *zero], {"axis": axis} if per else {}, 1


def _recurrent(gates: int) -> Callable[[Drawing], Inputs]:
    def inputs(d: Drawing) -> Inputs:
        x = d.pick(rank=3)
        _, batch, width = d.values[x].shape
        way = d.draw.choice(("forward", "reverse", "bidirectional"))
        many, hidden = 1 + (way == "bidirectional"), d.draw.randint(1, 4)
        names = [x, d.constant((many, gates * hidden, width)), d.constant((many, gates * hidden, hidden))]
        settings = {"direction": way, "hidden_size": hidden}
        outputs = d.draw.randint(1, 3 if gates == 4 else 2)
        if d.chance(0.6):
            names.append(d.constant((many, 2 * gates * hidden)))
            if d.chance(0.5):
                names += ["", *(d.constant((many, batch, hidden)) for _ in range(2 if gates == 4 else 1))]
        return names, settings, outputs

    return inputs


def _einsum(d: Drawing) -> Inputs:
    a = d.pick()
    first = "abcdefgh"[: len(d.values[a].shape)]
    sides = dict(zip(first, d.values[a].shape, strict=True)) | {"x": d.draw.randint(1, 4), "y": 2}
    second = "".join(d.draw.sample(sorted(sides), d.draw.randint(0, min(3, len(sides)))))
    names = [a, d.constant(tuple(sides[letter] for letter in second))] if d.chance(0.8) else [a]
    letters = sorted({*first, *(second if len(names) == 2 else "")})
    given = "".join(d.draw.sample(letters, d.draw.randint(0, len(letters))))
    terms = ",".join((first, second)[: len(names)])
    return names, {"equation": f"{terms}->{given}"}, 1


KERNELS: Final[dict[str, Operands]] = {
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "ConvTranspose": _transposed,
    "QLinearConv": _quantized_conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
    "QLinearMatMul": _quantized_matmul,
    "AveragePool": _pool,
    "MaxPool": _pool,
    "BatchNormalization": _norm(4),
    "InstanceNormalization": _norm(2),
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "LRN": lambda d: ([d.pick(rank=4)], {"size": d.draw.choice((1, 3, 5))}, 1),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), lambda d: ([image_rows(d)], {}, 1)),
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "LSTM": _recurrent(4),
    "GRU": _recurrent(3),
    "RNN": _recurrent(1),
    "Einsum": _einsum,
    "GlobalLpPool": lambda d: ([image_rows(d)], {}, 1),
}
