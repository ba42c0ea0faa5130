"""Sizes of operators that move, cut, repeat and name values: shapes are their subject."""

import itertools
import math
from typing import Final, cast

from reparam.bundle.outline import FLOAT32, INT64, SIZES, Number
from reparam.bundle.sizes.elements import Rule
from reparam.bundle.sizes.sized import Call, Shape, Sized, axes_of, axis_of, broadcast, known, listed, same

_FAR: Final = 2**31  # steps beyond it could overflow where they are negated


# -- shapes as values ------------------------------------------------------------------------------------------------


def _shape(call: Call) -> list[Sized]:
    shape = call.given(0).shape
    rank = len(shape)
    start, end = call.whole("start", 0), call.whole("end", rank)
    first, last = (min(max(axis + rank if axis < 0 else axis, 0), rank) for axis in (start, end))
    return [listed(shape[first:last])]


def _size(call: Call) -> list[Sized]:
    return [known(INT64, (), [call.given(0).size])]


def _constant(call: Call) -> list[Sized]:
    tensor = call.tensor("value")
    if tensor is None:
        raise ValueError("has no value")
    return [known(tensor.dtype, tensor.shape, tensor.values)]


def _filled(call: Call) -> list[Sized]:
    shape, tensor = call.integers(0), call.tensor("value")
    if tensor is None:
        return [Sized(FLOAT32, shape)]
    if math.prod(tensor.shape) != 1:
        raise ValueError("value must be one number")
    values = tensor.values
    few = values is not None and len(shape) <= 1 and 0 <= math.prod(shape) <= 64
    return [known(tensor.dtype, shape, (values or ()) * math.prod(shape) if few else None)]


def _range(call: Call) -> list[Sized]:
    (start,), (limit,), (step,) = (call.integers(place) for place in range(3))
    if not step:
        raise ValueError("its step is 0")
    count = max(0, -(-(limit - start) // step))
    dtype = call.given(0).dtype
    return [known(dtype, (count,), range(start, limit, step) if count <= 64 else None)]


# -- the same values in another shape --------------------------------------------------------------------------------


def _reshape(call: Call) -> list[Sized]:
    x, wanted = call.given(0), list(call.integers(1))
    if not call.whole("allowzero", 0):
        for axis, side in enumerate(wanted):
            if side == 0:
                if axis >= len(x.shape):
                    raise ValueError(f"size 0 at axis {axis} copies a side that is not there")
                wanted[axis] = x.shape[axis]
    rest = math.prod(side for side in wanted if side != -1)
    if wanted.count(-1) == 1 and rest > 0:
        wanted[wanted.index(-1)] = x.size // rest
    if any(side < 0 for side in wanted) or math.prod(wanted) != x.size:
        raise ValueError(f"{list(x.shape)} cannot take the shape {list(call.integers(1))}")
    return [Sized(x.dtype, tuple(wanted), x.values)]


def _flatten(call: Call) -> list[Sized]:
    x = call.given(0)
    axis = axis_of(call.whole("axis", 1), len(x.shape), extra=1) if call.whole("axis", 1) >= 0 else None
    if axis is None:
        axis = axis_of(call.whole("axis", 1), len(x.shape))
    return [Sized(x.dtype, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))]


def _squeeze(call: Call) -> list[Sized]:
    x = call.given(0)
    given = () if call.optional(1) is None else call.integers(1)
    if not given:  # onnxruntime takes an empty list for none
        return [Sized(x.dtype, tuple(side for side in x.shape if side != 1), x.values)]
    axes = axes_of(given, len(x.shape))
    if any(x.shape[axis] != 1 for axis in axes):
        raise ValueError(f"axes {list(axes)} of {list(x.shape)} are not all 1")
    return [Sized(x.dtype, tuple(side for axis, side in enumerate(x.shape) if axis not in axes), x.values)]


def _unsqueeze(call: Call) -> list[Sized]:
    x, given = call.given(0), call.integers(1)
    shape = list(x.shape)
    for axis in sorted(axes_of(given, len(shape) + len(given))):
        shape.insert(axis, 1)
    return [Sized(x.dtype, tuple(shape), x.values)]


def _transpose(call: Call) -> list[Sized]:
    x = call.given(0)
    order = call.wholes("perm")
    if order is None:
        order = tuple(reversed(range(len(x.shape))))
    if sorted(order) != list(range(len(x.shape))):
        raise ValueError(f"perm {list(order)} is no order of {len(x.shape)} axes")
    moved = [range(0, side * step, step) for side, step in zip(x.shape, _steps(x.shape), strict=True)]
    return [known(x.dtype, tuple(x.shape[axis] for axis in order), _taken(x, [moved[axis] for axis in order]))]


def _blocks(call: Call) -> list[Sized]:
    """DepthToSpace and SpaceToDepth: channels against sides."""
    x, block = call.given(0), call.whole("blocksize", 0)
    if len(x.shape) != 4 or block < 1:
        raise ValueError(f"takes images with channels and a blocksize, got {list(x.shape)} and {block}")
    n, channels, height, width = x.shape
    if call.node.operator == "DepthToSpace":
        if channels % block**2:
            raise ValueError(f"{channels} channels are no multiple of {block**2}")
        return [Sized(x.dtype, (n, channels // block**2, height * block, width * block))]
    if height % block or width % block:
        raise ValueError(f"sides {height} and {width} are no multiples of {block}")
    return [Sized(x.dtype, (n, channels * block**2, height // block, width // block))]


# -- more, or fewer, values ------------------------------------------------------------------------------------------


def _concat(call: Call) -> list[Sized]:
    inputs = [call.given(place) for place in range(len(call.inputs))]
    first = inputs[0]
    axis = axis_of(call.whole("axis", 0), len(first.shape))
    for each in inputs[1:]:
        if each.dtype != first.dtype or len(each.shape) != len(first.shape):
            raise ValueError("its inputs differ in type or rank")
        same((*each.shape[:axis], 0, *each.shape[axis + 1 :]), (*first.shape[:axis], 0, *first.shape[axis + 1 :]), "it")
    shape = (*first.shape[:axis], sum(each.shape[axis] for each in inputs), *first.shape[axis + 1 :])
    if len(shape) > 1 or any(each.values is None for each in inputs):
        return [Sized(first.dtype, shape)]
    return [known(first.dtype, shape, [value for each in inputs for value in each.values or ()])]


def _split(call: Call) -> list[Sized]:
    x, outputs = call.given(0), len(call.node.outputs)
    axis = axis_of(call.whole("axis", 0), len(x.shape))
    side = x.shape[axis]
    if call.optional(1) is not None:
        parts = call.integers(1)
        if "num_outputs" in call.node.attributes:
            raise ValueError("split and num_outputs exclude each other")
    else:
        if call.whole("num_outputs", outputs) != outputs or (call.opset < 18 and side % outputs):
            raise ValueError(f"{side} cannot be split in {outputs}")
        part = -(-side // outputs)
        parts = (*(part,) * (outputs - 1), side - part * (outputs - 1))
    if len(parts) != outputs or sum(parts) != side or min(parts) < 1:
        raise ValueError(f"{side} cannot be split in {list(parts)}")
    return [Sized(x.dtype, (*x.shape[:axis], part, *x.shape[axis + 1 :])) for part in parts]


def _slice(call: Call) -> list[Sized]:
    x = call.given(0)
    starts, ends = call.integers(1), call.integers(2)
    axes = axes_of(call.integers(3) if call.optional(3) is not None else range(len(starts)), len(x.shape))
    steps = call.integers(4) if call.optional(4) is not None else (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or any(not 0 < abs(step) < _FAR for step in steps):
        raise ValueError("starts, ends, axes and steps must be lists of one length, no step 0")
    kept = [range(0, side * stride, stride) for side, stride in zip(x.shape, _steps(x.shape), strict=True)]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        side = x.shape[axis]
        cut = slice(start, end, step) if end >= -side or step > 0 else slice(start, None, step)
        kept[axis] = kept[axis][cut]
    return [known(x.dtype, tuple(map(len, kept)), _taken(x, kept))]


def _steps(shape: Shape) -> list[int]:
    """How far apart neighbours of each axis lie; 1 where there are no values."""
    return [max(1, math.prod(shape[axis + 1 :])) for axis in range(len(shape))]


def _taken(x: Sized, places: list[range]) -> list[Number] | None:
    """The numbers of x at these distances along each axis, in their order, where they are known."""
    if x.values is None:
        return None
    return [x.values[sum(place)] for place in itertools.product(*places)]


def _gather(call: Call) -> list[Sized]:
    x, places = call.given(0), call.given(1)
    axis = axis_of(call.whole("axis", 0), len(x.shape))
    shape: Shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    if x.values is None or places.values is None or len(x.shape) != 1 or len(shape) > 1:
        return [Sized(x.dtype, shape)]
    count = len(x.values)
    if any(not isinstance(place, int) or not -count <= place < count for place in places.values):
        raise ValueError(f"takes a place out of {count} that is not there")
    return [known(x.dtype, shape, [x.values[cast("int", place)] for place in places.values])]


def _gather_elements(call: Call) -> list[Sized]:
    x, places = call.given(0), call.given(1)
    axis = axis_of(call.whole("axis", 0), len(x.shape))
    if len(places.shape) != len(x.shape) or any(
        side > own for each, (side, own) in enumerate(zip(places.shape, x.shape, strict=True)) if each != axis
    ):
        raise ValueError(f"places {list(places.shape)} reach beyond {list(x.shape)}")
    return [Sized(x.dtype, places.shape)]


def _gather_nd(call: Call) -> list[Sized]:
    x, places, batch = call.given(0), call.given(1), call.whole("batch_dims", 0)
    depth = places.shape[-1] if places.shape else 0
    if not batch < len(places.shape) or not 0 < depth <= len(x.shape) - batch:
        raise ValueError(f"places {list(places.shape)} do not fit {list(x.shape)}")
    same(places.shape[:batch], x.shape[:batch], "places")
    return [Sized(x.dtype, (*places.shape[:-1], *x.shape[batch + depth :]))]


def _scatter_elements(call: Call) -> list[Sized]:
    x, places = call.given(0), call.given(1)
    axis_of(call.whole("axis", 0), len(x.shape))
    same(call.given(2).shape, places.shape, "updates")
    if len(places.shape) != len(x.shape) or any(a > b for a, b in zip(places.shape, x.shape, strict=True)):
        raise ValueError(f"places {list(places.shape)} reach beyond {list(x.shape)}")
    return [Sized(x.dtype, x.shape)]


def _scatter_nd(call: Call) -> list[Sized]:
    x, places = call.given(0), call.given(1)
    depth = places.shape[-1] if places.shape else 0
    if not 0 < depth <= len(x.shape):
        raise ValueError(f"places {list(places.shape)} do not fit {list(x.shape)}")
    same(call.given(2).shape, (*places.shape[:-1], *x.shape[depth:]), "updates")
    return [Sized(x.dtype, x.shape)]


def _diagonal(call: Call) -> list[Sized]:
    x = call.given(0)
    if len(x.shape) != 2:
        raise ValueError(f"takes a matrix, got {list(x.shape)}")
    dtype = call.whole("dtype", x.dtype)
    if dtype not in SIZES:
        raise ValueError(f"dtype must be a data type of numbers, got {dtype}")
    return [Sized(dtype, x.shape)]


def _expand(call: Call) -> list[Sized]:
    x, wanted = call.given(0), call.integers(1)
    if any(side < 1 for side in wanted):
        raise ValueError(f"cannot take the shape {list(wanted)}")
    shape = broadcast(x.shape, wanted)
    few = x.values is not None and len(shape) == 1 and shape[0] <= 64
    return [known(x.dtype, shape, (x.values or ()) * (shape[0] // x.size) if few else None)]


def _tile(call: Call) -> list[Sized]:
    x, repeats = call.given(0), call.integers(1)
    if len(repeats) != len(x.shape) or any(count < 1 for count in repeats):
        raise ValueError(f"repeats must be positive, one for each of {len(x.shape)} axes, got {list(repeats)}")
    return [Sized(x.dtype, tuple(side * count for side, count in zip(x.shape, repeats, strict=True)))]


def _pad(call: Call) -> list[Sized]:
    x, pads, rank = call.given(0), call.integers(1), len(call.given(0).shape)
    axes = axes_of(call.integers(3) if call.optional(3) is not None else range(rank), rank)
    value = call.optional(2)
    if len(pads) != 2 * len(axes) or min(pads, default=0) < 0 or (value is not None and value.size != 1):
        raise ValueError(f"pads must be two for each axis and not negative, got {list(pads)}")
    shape = list(x.shape)
    for place, axis in enumerate(axes):
        before, after = pads[place], pads[place + len(axes)]
        if call.word("mode", "constant") == "reflect" and max(before, after) >= shape[axis]:
            raise ValueError(f"reflects {max(before, after)} values of {shape[axis]}")
        shape[axis] += before + after
    return [Sized(x.dtype, tuple(shape))]


def _top(call: Call) -> list[Sized]:
    x, count = call.given(0), call.integers(1)
    axis = axis_of(call.whole("axis", -1), len(x.shape))
    if len(count) != 1 or not 1 <= count[0] <= x.shape[axis]:
        raise ValueError(f"K must be 1 to {x.shape[axis]}, got {list(count)}")
    shape = (*x.shape[:axis], count[0], *x.shape[axis + 1 :])
    return [Sized(x.dtype, shape), Sized(INT64, shape)]


def _triangle(call: Call) -> list[Sized]:
    x = call.given(0)
    if call.optional(1) is not None:
        same((len(call.integers(1)),), (1,), "k")
    if len(x.shape) < 2:
        raise ValueError(f"takes matrices, got {list(x.shape)}")
    return [Sized(x.dtype, x.shape)]


RULES: Final[dict[str, Rule]] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "DepthToSpace": _blocks,
    "Expand": _expand,
    "EyeLike": _diagonal,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "SpaceToDepth": _blocks,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "TopK": _top,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "Unsqueeze": _unsqueeze,
}
