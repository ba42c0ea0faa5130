"""ONNX files written in protobuf's wire format, as few lines as it takes. Field numbers are onnx.proto3's.

The counterpart of `bundle/wire.py`, for graphs so small that a library would be out of place.
"""

import numpy as np
import numpy.typing as npt

from reparam.bundle.wire import BYTES

Value = int | str | bytes


def varint(number: int) -> bytes:
    """A whole number, seven bits a byte, low ones first; a negative one as its 64 bits in two's complement."""
    out, number = bytearray(), number % 2**64
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: Value) -> bytes:
    """One field of a message: a number, a text, or the bytes of another message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(data)) + data


def message(*fields: tuple[int, Value]) -> bytes:
    """A message of numbered fields, in the order given."""
    return b"".join(field(number, value) for number, value in fields)


def value(name: str | bytes, *shape: Value) -> bytes:
    """A float32 input or output; a size by name is dynamic."""
    sizes = b"".join(field(1, field(1 if isinstance(size, int) else 2, size)) for size in shape)
    return message((1, name), (2, field(1, message((1, 1), (2, sizes)))))


def node(operator: str, inputs: str, outputs: str, *more: tuple[int, Value]) -> bytes:
    """A node; inputs and outputs are names with spaces between."""
    names = [(1, name) for name in inputs.split()] + [(2, name) for name in outputs.split()]
    return message(*names, (3, f"{operator} {outputs}"), (4, operator), *more)


def integers(name: str, *values: int) -> bytes:
    """A one-dimensional int64 initializer."""
    return message((1, len(values)), (2, 7), (8, name), (9, np.array(values, "<i8").tobytes()))


def floats(name: str, values: npt.ArrayLike) -> bytes:
    """A float32 initializer of any rank."""
    array = np.asarray(values, "<f4")
    return message(*((1, size) for size in array.shape), (2, 1), (8, name), (9, array.tobytes()))


def graph(nodes: list[bytes], inputs: list[bytes], outputs: list[bytes], *more: tuple[int, Value]) -> bytes:
    """A graph; further fields, such as initializers (field 5), come behind."""
    parts = [(1, item) for item in nodes] + [(11, item) for item in inputs] + [(12, item) for item in outputs]
    return message(*parts, (2, "graph"), *more)


def model(body: bytes, *more: tuple[int, Value], opset: int = 18, ir_version: int = 9) -> bytes:
    """A whole file around one graph."""
    return message((1, ir_version), (7, body), (8, message((1, ""), (2, opset))), *more)
