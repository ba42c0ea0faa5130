"""The gate's look at tensors: weights of exactly their shape's bytes, and the types of inputs and outputs.

Field numbers are those of TensorProto, ValueInfoProto and TypeProto in onnx.proto3 (onnx 1.23).
"""

import math
import struct
from typing import Final

from reparam.bundle import wire
from reparam.bundle.outline import BOOL, FLOAT16, LETTERS, MOST_KNOWN, SIZES, Number, Tensor
from reparam.bundle.wire import BYTES, FIXED32, FIXED64, VARINT, key

_RANK: Final = 8
_SIDE: Final = 2**31 - 1

_DIM, _DIMS, _TYPE, _NAME = key(1, VARINT), key(1, BYTES), key(2, VARINT), key(8, BYTES)
_RAW, _EXTERNAL, _LOCATION = key(9, BYTES), key(13, BYTES), key(14, VARINT)
# packed data fields, and the data types that they may hold
_FLOATS, _WORDS, _LONGS, _DOUBLES, _UNSIGNED = (key(number, BYTES) for number in (4, 5, 7, 10, 11))
_TYPED: Final = {
    _FLOATS: (1,),
    _WORDS: (2, 3, 4, 5, 6, 9, 10),
    _LONGS: (7,),
    _DOUBLES: (11,),
    _UNSIGNED: (12, 13),
}
_UNPACKED: Final = {key(4, FIXED32), key(5, VARINT), key(7, VARINT), key(10, FIXED64), key(11, VARINT)}


def read_tensor(data: bytes, first: int, last: int) -> tuple[str, Tensor]:  # noqa: C901, PLR0912  one loop, for speed
    """The name ("" where it has none) and outline of the tensor in data[first:last].

    Raises:
        ValueError: data outside the file, a field that no tensor needs, or bytes that are not those of its shape.
    """
    name, dtype, shape = "", 0, list[int]()
    found: wire.Field | None = None
    seen = 0  # a bit for each field
    for tag, start, end in wire.fields(data, first, last, most=_RANK + 8):
        if tag == _DIM:
            shape.append(start)
            continue
        if tag == _DIMS:
            shape += wire.varints(data[start:end])
        elif tag == _RAW or tag in _TYPED:
            if found is not None:
                raise ValueError("a tensor has its data twice")
            found = tag, start, end
        elif tag == _NAME:
            name = wire.text(data, start, end)
        elif tag == _TYPE:
            dtype = start
        elif tag == _EXTERNAL or (tag == _LOCATION and start != 0):
            raise ValueError("external data is not allowed; weights belong inside the file")
        elif tag in _UNPACKED:
            raise ValueError(f"tensor {name!r}: its data must be packed")
        elif tag != _LOCATION:
            raise ValueError(f"tensor {name!r}: field {tag >> 3} is not allowed")
        if seen >> (bit := tag >> 3) & 1:
            raise ValueError(f"tensor {name!r}: field {bit} stands twice")
        seen |= 1 << bit
    if dtype not in SIZES:
        raise ValueError(f"tensor {name!r}: data type {dtype} is not allowed")
    if len(shape) > _RANK or (shape and not 0 <= min(shape) <= max(shape) <= _SIDE):
        raise ValueError(f"tensor {name!r}: its shape must have at most {_RANK} sizes, got {shape[:9]}")
    return name, _sized(data, name, dtype, tuple(shape), found)


def _sized(data: bytes, name: str, dtype: int, shape: tuple[int, ...], found: wire.Field | None) -> Tensor:
    count = math.prod(shape)
    tag, first, last = (_RAW, 0, 0) if found is None else found
    if tag == _RAW:
        held, wanted = last - first, count * SIZES[dtype]
        if held != wanted:
            raise ValueError(f"tensor {name!r}: its shape {list(shape)} means {wanted} bytes, it has {held}")
        if dtype == BOOL and data[first:last].translate(None, b"\x00\x01"):
            raise ValueError(f"tensor {name!r}: a truth value is 0 or 1")
        return Tensor(dtype, shape, first)
    if dtype not in _TYPED[tag]:
        raise ValueError(f"tensor {name!r}: field {tag >> 3} cannot hold data type {dtype}")
    size = {_FLOATS: 4, _DOUBLES: 8}.get(tag)
    held = wire.count_varints(data[first:last]) if size is None else (last - first) // size
    if held != count or (size is not None and (last - first) % size):
        raise ValueError(f"tensor {name!r}: its shape {list(shape)} means {count} values, it has {held}")
    if count > MOST_KNOWN:
        return Tensor(dtype, shape)
    values: tuple[Number, ...] | None = None
    if size is None and dtype != FLOAT16:
        values = tuple(wire.varints(data[first:last]))
    elif size is not None:
        values = struct.unpack_from(f"<{count}{LETTERS[dtype]}", data, first)
    return Tensor(dtype, shape, -1, values)


# -- inputs and outputs ----------------------------------------------------------------------------------------------

_FIRST, _SECOND = key(1, BYTES), key(2, BYTES)
_ELEMENT, _SIZE = key(1, VARINT), key(1, VARINT)
_VALUE_FIELDS: Final = frozenset({_FIRST, _SECOND})  # ValueInfoProto
_TYPE_FIELDS: Final = frozenset({_FIRST})  # TypeProto
_TENSOR_FIELDS: Final = frozenset({_ELEMENT, _SECOND})  # TypeProto.Tensor


def read_value(data: bytes, first: int, last: int) -> str:
    """The name of the input or output in data[first:last], a tensor with a shape; its types are checked later.

    Raises:
        ValueError: a sequence, map, optional or sparse one, or no shape.
    """
    parts = _once(data, first, last, _VALUE_FIELDS, "an input or output")
    name = wire.text(data, *parts[_FIRST])
    where = f"input or output {name!r}"
    kind = _once(data, *parts[_SECOND], _TYPE_FIELDS, where)
    tensor = _once(data, *kind[_FIRST], _TENSOR_FIELDS, where)
    if tensor[_ELEMENT][0] not in SIZES:
        raise ValueError(f"{where}: data type {tensor[_ELEMENT][0]} is not allowed")
    for tag, start, end in wire.fields(data, *tensor[_SECOND], most=_RANK):
        if tag != _FIRST:
            raise ValueError(f"{where}: field {tag >> 3} of its shape is not allowed")
        side = wire.fields(data, start, end, most=1)
        given, size, after = side[0] if side else (0, 0, 0)
        if given == _SECOND:
            wire.text(data, size, after)
        elif given != _SIZE:
            raise ValueError(f"{where}: a side must have a size or a name")
        elif size > _SIDE:
            raise ValueError(f"{where}: a side must be at most {_SIDE}")
    return name


def _once(data: bytes, first: int, last: int, tags: frozenset[int], where: str) -> dict[int, tuple[int, int]]:
    """The fields of a message that must have each of these once and nothing else."""
    listed = wire.fields(data, first, last, most=len(tags))
    found = {tag: (start, end) for tag, start, end in listed}
    if len(listed) != len(tags) or found.keys() != tags:
        raise ValueError(f"{where}: must be a tensor with a name, a data type and a shape")
    return found
