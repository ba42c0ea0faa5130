"""What a node of each operator takes, drawn so that it mostly fits."""

import math
from typing import Any, Final

from drawing import FAR, Drawing, Drawn, Operands
from kernels import KERNELS, image_rows

from reparam.bundle.operators import BINARY, COMPARING, OPERATORS, REDUCING, UNARY, VARIADIC
from reparam.bundle.outline import BOOL, FLOAT32, INT64, SIZES

Inputs = tuple[list[str], dict[str, Any], int]


def _plain(d: Drawing) -> Inputs:
    return [d.pick(dtype=None if d.chance(0.3) else FLOAT32)], {}, 1


def _pair(d: Drawing) -> Inputs:
    a = d.pick(dtype=None if d.chance(0.4) else FLOAT32)
    return [a, d.fitting(a)], {}, 1


def _logical(d: Drawing) -> Inputs:
    have = [name for name, value in d.values.items() if value.dtype == BOOL]
    a = d.draw.choice(have) if have and d.chance(0.7) else d.constant(d.near(d.values["x"].shape), BOOL)
    return [a, d.fitting(a)], {}, 1


def _many(d: Drawing) -> Inputs:
    a = d.pick(dtype=None if d.chance(0.3) else FLOAT32)
    return [a, *(d.fitting(a) for _ in range(d.draw.randint(0, 3)))], {}, 1


def _axes(d: Drawing, rank: int) -> tuple[int, ...]:
    axes = d.draw.sample(range(rank), d.draw.randint(0, rank)) if rank else []
    return tuple(axis - rank if d.chance(0.3) else axis for axis in axes)


def _reducing(d: Drawing, *, as_input: bool) -> Inputs:
    x = d.pick(dtype=None if d.chance(0.3) else FLOAT32)
    axes = _axes(d, len(d.values[x].shape))
    if as_input:
        return [x, d.integers(*axes)] if d.chance(0.7) else [x], {}, 1
    return [x], {"axes": axes} if axes and d.chance(0.7) else {}, 1


def _reduce(d: Drawing) -> Inputs:
    return _reducing(d, as_input=d.opset >= 18)


def _reduce_sum(d: Drawing) -> Inputs:
    return _reducing(d, as_input=True)


def _clip(d: Drawing) -> Inputs:
    x = d.pick(dtype=None if d.chance(0.3) else FLOAT32)
    dtype = d.values[x].dtype
    return [x, *(d.constant((), dtype) for _ in range(d.draw.randint(0, 2)))], {}, 1


def _where(d: Drawing) -> Inputs:
    x = d.pick(dtype=None if d.chance(0.3) else FLOAT32)
    condition = d.pick(dtype=BOOL) if d.chance(0.4) else d.constant(d.near(d.values[x].shape), BOOL)
    return [condition, x, d.fitting(x)], {}, 1


def _along(d: Drawing) -> Inputs:
    x = d.pick(dtype=None if d.chance(0.2) else FLOAT32)
    rank = len(d.values[x].shape)
    return [x], {"axis": d.draw.randrange(-rank, rank)} if rank and d.chance(0.8) else {}, 1


def _cast(d: Drawing) -> Inputs:
    return [d.pick(dtype=None)], {"to": d.draw.choice(sorted(SIZES))}, 1


def _concat(d: Drawing) -> Inputs:
    x = d.pick(dtype=None if d.chance(0.3) else FLOAT32)
    value = d.values[x]
    axis = d.draw.randrange(len(value.shape)) if value.shape else 0
    more: list[str] = []
    for _ in range(d.draw.randint(0, 3)):
        shape = list(value.shape)
        if shape and d.chance(0.6):
            shape[axis] = d.draw.randint(1, 4)
        more.append(x if d.chance(0.3) else d.constant(tuple(shape), value.dtype))
    return [x, *more], {"axis": axis}, 1


def _of_shape(d: Drawing) -> Inputs:
    return [d.integers(*(d.draw.randint(1, 5) for _ in range(d.draw.randint(0, 4))))], {}, 1


def _with_axis(d: Drawing) -> Inputs:
    x = d.pick()
    rank = len(d.values[x].shape)
    return [x, d.constant((), INT64, [d.draw.randrange(-rank, rank) if rank else 0])], {}, 1


def _image(d: Drawing) -> Inputs:
    x = d.pick(rank=4, dtype=None if d.chance(0.3) else FLOAT32)
    return [x], {"blocksize": d.draw.choice((1, 2, 2, 3))}, 1


def _expand(d: Drawing) -> Inputs:
    x = d.pick(dtype=None if d.chance(0.3) else FLOAT32)
    shape = tuple(d.draw.randint(1, 4) if side == 1 else side for side in d.values[x].shape)
    return [x, d.integers(*([2] if d.chance(0.2) else []), *shape)], {}, 1


def _indices(d: Drawing, shape: tuple[int, ...], side: int, dtype: int) -> str:
    values = [d.draw.randrange(-side, side) if side else 0 for _ in range(math.prod(shape))]
    if values and d.chance(0.15):
        values[d.draw.randrange(len(values))] = d.draw.choice([each for each in FAR if abs(each) < 2**31 or dtype == 7])
    return d.constant(shape, dtype, values)


def _gather(d: Drawing) -> Inputs:
    x = d.pick(dtype=None)
    shape = d.values[x].shape
    axis = d.draw.randrange(len(shape)) if shape else 0
    places = tuple(d.draw.randint(1, 3) for _ in range(d.draw.randint(0, 2)))
    side = shape[axis] if shape else 1
    return [x, _indices(d, places, side, d.draw.choice((6, 7)))], {"axis": axis}, 1


def _gather_elements(d: Drawing) -> Inputs:
    x = d.pick(dtype=None)
    shape = d.values[x].shape
    axis = d.draw.randrange(len(shape)) if shape else 0
    places = tuple(d.draw.randint(1, side) for side in shape)
    return [x, _indices(d, places, shape[axis] if shape else 1, d.draw.choice((6, 7)))], {"axis": axis}, 1


def _pad(d: Drawing) -> Inputs:
    x = d.pick(dtype=None if d.chance(0.3) else FLOAT32)
    value = d.values[x]
    rank = len(value.shape)
    axes = _axes(d, rank) if d.opset >= 18 and d.chance(0.4) else None
    count = rank if axes is None else len(axes)
    pads = d.integers(*(d.draw.choice((0, 0, 1, 2)) for _ in range(2 * count)))
    inputs = [x, pads]
    if axes is not None or d.chance(0.5):
        inputs.append(d.constant((), value.dtype))
    if axes is not None:
        inputs.append(d.constant((len(axes),), INT64, list(axes)))
    return inputs, {}, 1


def _range(d: Drawing) -> Inputs:
    dtype = d.draw.choice((6, 7))
    numbers = (d.draw.randint(-2, 3), d.draw.randint(0, 9), d.draw.choice((1, 1, 2, -1)))
    return [d.constant((), dtype, [each]) for each in numbers], {}, 1


def _reshape(d: Drawing) -> Inputs:
    x = d.pick(dtype=None if d.chance(0.3) else FLOAT32)
    sides = list(d.values[x].shape)
    d.draw.shuffle(sides)
    if len(sides) > 1 and d.chance(0.5):
        sides = [sides[0] * sides[1], *sides[2:]]
    if sides and d.chance(0.4):
        sides[d.draw.randrange(len(sides))] = -1
    return [x, d.integers(*sides)], {}, 1


def _resize(d: Drawing) -> Inputs:
    x = image_rows(d, None if d.chance(0.15) else FLOAT32)
    shape = d.values[x].shape
    roi = d.constant((0,) if d.chance(0.5) else (2 * len(shape),), FLOAT32)
    steps = [1.0, 1.0, *(d.draw.choice((0.5, 1.0, 1.5, 2.0, 3.0, 1e-3, 40.0)) for _ in shape[2:])]
    if d.chance(0.6):
        return [x, roi if d.chance(0.5) else "", d.constant((len(shape),), FLOAT32, steps)], {}, 1
    sizes = [*shape[:2], *(d.draw.randint(1, 9) for _ in shape[2:])]
    return [x, roi if d.chance(0.3) else "", "", d.integers(*sizes)], {}, 1


def _slice(d: Drawing) -> Inputs:
    x = d.pick(dtype=None)
    axes = _axes(d, len(d.values[x].shape)) or (0,)
    starts = d.integers(*(d.draw.randint(-3, 3) for _ in axes))
    ends = d.integers(*(d.draw.choice((1, 2, 5, -1, 2**63 - 1)) for _ in axes))
    inputs = [x, starts, ends]
    if d.chance(0.8):
        inputs.append(d.constant((len(axes),), INT64, list(axes)))
        if d.chance(0.6):
            inputs.append(d.integers(*(d.draw.choice((1, 1, 2, -1)) for _ in axes)))
    return inputs, {}, 1


def _split(d: Drawing) -> Inputs:
    x = d.pick(dtype=None if d.chance(0.3) else FLOAT32)
    shape = d.values[x].shape
    axis = d.draw.randrange(len(shape)) if shape else 0
    side = shape[axis] if shape else 1
    parts = d.draw.randint(1, min(side, 4))
    settings: dict[str, Any] = {"axis": axis}
    if d.chance(0.5):
        each = [side // parts] * (parts - 1)
        return [x, d.integers(*each, side - sum(each))], settings, parts
    if d.opset >= 18:
        settings["num_outputs"] = parts
    return [x], settings, parts


def _squeeze(d: Drawing) -> Inputs:
    x = d.pick(dtype=None)
    ones = [axis for axis, side in enumerate(d.values[x].shape) if side == 1]
    return [x, *([d.integers(*ones)] if d.chance(0.8) else [])], {}, 1


def _unsqueeze(d: Drawing) -> Inputs:
    x = d.pick(dtype=None)
    return [x, d.integers(*d.draw.sample(range(len(d.values[x].shape) + 1), 1))], {}, 1


def _tile(d: Drawing) -> Inputs:
    x = d.pick(dtype=None if d.chance(0.3) else FLOAT32)
    return [x, d.integers(*(d.draw.choice((1, 1, 2, 3)) for _ in d.values[x].shape))], {}, 1


def _top(d: Drawing) -> Inputs:
    x = d.pick(dtype=None if d.chance(0.2) else FLOAT32)
    shape = d.values[x].shape
    axis = d.draw.randrange(len(shape)) if shape else 0
    return [x, d.integers(d.draw.randint(1, shape[axis] if shape else 1))], {"axis": axis}, 2


def _transpose(d: Drawing) -> Inputs:
    x = d.pick(dtype=None)
    order = list(range(len(d.values[x].shape)))
    d.draw.shuffle(order)
    return [x], {"perm": tuple(order)} if d.chance(0.8) else {}, 1


def _triangle(d: Drawing) -> Inputs:
    x = d.pick(rank=d.draw.choice((2, 3, 4)), dtype=None)
    return [x, *([d.constant((), INT64, [d.number(INT64)])] if d.chance(0.6) else [])], {}, 1


def _literal(d: Drawing) -> Inputs:
    del d
    return [], {}, 1


def _gather_nd(d: Drawing) -> Inputs:
    x = d.pick(dtype=None)
    shape = d.values[x].shape
    batch = d.draw.randint(0, max(0, min(1, len(shape) - 1)))
    depth = d.draw.randint(1, max(1, len(shape) - batch))
    middle = tuple(d.draw.randint(1, 3) for _ in range(d.draw.randint(0, 2)))
    least = min(shape[batch : batch + depth], default=1)
    return [x, _indices(d, (*shape[:batch], *middle, depth), least, 7)], {"batch_dims": batch}, 1


def _scatter_elements(d: Drawing) -> Inputs:
    (x, places), settings, _ = _gather_elements(d)
    return [x, places, d.constant(d.values[places].shape, d.values[x].dtype)], settings, 1


def _scatter_nd(d: Drawing) -> Inputs:
    x = d.pick(dtype=None)
    shape = d.values[x].shape
    depth = d.draw.randint(1, max(1, len(shape)))
    front = tuple(d.draw.randint(1, 3) for _ in range(d.draw.randint(0, 2)))
    places = _indices(d, (*front, depth), min(shape[:depth], default=1), 7)
    return [x, places, d.constant((*front, *shape[depth:]), d.values[x].dtype)], {}, 1


TAKES: Final[dict[str, Operands]] = {
    **KERNELS,
    **dict.fromkeys(UNARY, _plain),
    **dict.fromkeys(BINARY, _pair),
    **dict.fromkeys(COMPARING, _pair),
    **dict.fromkeys(("And", "Or", "Xor"), _logical),
    "Not": lambda d: (_logical(d)[0][:1], {}, 1),
    **dict.fromkeys(VARIADIC, _many),
    **dict.fromkeys(REDUCING, _reduce),
    "ReduceSum": _reduce_sum,
    "Clip": _clip,
    "Where": _where,
    **dict.fromkeys(("ArgMax", "ArgMin", "Hardmax", "LogSoftmax", "LpNormalization", "Softmax"), _along),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _literal,
    "ConstantOfShape": _of_shape,
    "CumSum": _with_axis,
    "DepthToSpace": _image,
    "SpaceToDepth": _image,
    "Expand": _expand,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Tile": _tile,
    "TopK": _top,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "DynamicQuantizeLinear": lambda d: ([d.pick()], {}, 3),
    **dict.fromkeys(
        ("Celu", "Elu", "Flatten", "HardSigmoid", "IsInf", "LeakyRelu", "Selu", "Shape", "Shrink", "Size"), _plain
    ),
    "ThresholdedRelu": _plain,
    "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "CastLike": lambda d: ([d.pick(dtype=None), d.pick(dtype=None)], {}, 1),
    "EyeLike": lambda d: ([d.pick(rank=2, dtype=None)], {}, 1),
}


def draw(seed: int, number: int) -> Drawn:
    """Graph `number` of a seed. Of every third graph half the nodes are of one operator, each operator in its turn."""
    each = sorted(OPERATORS)
    drawing = Drawing(seed, number, TAKES, only=each[number // 3 % len(each)] if number % 3 == 0 else None)
    for _ in range(drawing.draw.randint(1, 6)):
        drawing.node()
    return drawing.finish()
