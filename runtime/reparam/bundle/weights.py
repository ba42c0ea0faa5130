"""The float32 constants of a graph by name, read from its bytes: what another library builds the same model from."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from reparam.bundle import wire

# onnx.proto3: ModelProto.graph, GraphProto.initializer, TensorProto
_GRAPH, _INITIALIZER = 7, 5
_DIMS, _TYPE, _FLOATS, _NAME, _RAW = 1, 2, 4, 8, 9
_FLOAT32: Final = 1
Weight = npt.NDArray[np.float32]


def weights_of(data: bytes) -> dict[str, Weight]:
    """Every float32 initializer of an ONNX file, [*shape] each; those of other types are left out.

    Raises:
        ValueError: the bytes are no such file.
    """
    found: dict[str, Weight] = {}
    for number, graph in wire.fields(memoryview(data)):
        if number != _GRAPH:
            continue
        for inside, tensor in wire.fields(wire.message(graph)):
            if inside == _INITIALIZER:
                found |= dict(_tensor(wire.message(tensor)))
    return found


def _tensor(data: memoryview) -> Iterator[tuple[str, Weight]]:
    """Name and values of a tensor, where it is float32."""
    shape: list[int] = []
    kind, name, values = 0, "", b""
    for number, value in wire.fields(data):
        if number == _DIMS:
            shape += [value] if isinstance(value, int) else wire.varints(value)
        elif number == _TYPE and isinstance(value, int):
            kind = value
        elif number == _NAME:
            name = wire.text(value)
        elif number in (_RAW, _FLOATS):
            values += wire.message(value).tobytes()  # little-endian float32 either way
    if kind != _FLOAT32:
        return
    if len(values) != 4 * math.prod(shape):
        raise ValueError(f"{name}: must have {math.prod(shape)} values, found {len(values)} bytes")
    yield name, np.frombuffer(values, "<f4").reshape(shape).astype(np.float32)
