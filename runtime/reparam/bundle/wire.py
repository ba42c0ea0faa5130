"""The protobuf wire format, read strictly and without a protobuf library: one message's fields at a time.

Source: Protocol Buffers, "Encoding" (protobuf.dev). Groups and malformed lengths are refused, nothing is skipped.
"""

from collections.abc import Iterator
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError("a number runs past its message")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), place
        shift += 7


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers with their values: ints of varints, memoryviews of everything else.

    Raises:
        ValueError: the bytes are not a message.
    """
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if number == 0 or number >= 2**29:  # protobuf readers would cut a larger one down to another field
            raise ValueError(f"a field has number {number}")
        if kind == VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == BYTES:
            size, place = _varint(data, place)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"field {number} has wire type {kind}")
        if size > len(data) - place:
            raise ValueError(f"field {number} runs past its message")
        yield number, data[place : place + size]
        place += size


def varints(data: memoryview) -> list[int]:
    """Numbers that lie packed in one field; `ValueError` where they do not end with it."""
    found: list[int] = []
    place = 0
    while place < len(data):
        value, place = _varint(data, place)
        found.append(value)
    return found


def text(value: int | memoryview) -> str:
    """A string field's text; `ValueError` where it is no UTF-8 or no string field."""
    return message(value).tobytes().decode("utf-8")


def message(value: int | memoryview) -> memoryview:
    """A field's bytes; `ValueError` where it is a number instead."""
    if isinstance(value, int):
        raise ValueError("a number stands where a message belongs")  # noqa: TRY004  every malformed message is a ValueError
    return value
