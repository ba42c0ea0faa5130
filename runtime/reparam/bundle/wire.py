"""The protobuf wire format, read strictly and without a protobuf library: one message's fields at a time.

A field is (key, first, last). The key holds number and wire type, as it stands in the file, so that one comparison
checks both. Of a number, first is its value; of everything else, first and last are where its bytes begin and end.
Nothing is copied and nothing skipped.

Source: Protocol Buffers, "Encoding" (protobuf.dev).
"""

import re
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

Field = tuple[int, int, int]

_PAST: Final = "a field runs past its message"
_OVERLONG: Final = re.compile(rb"[\x80-\xff]{10}")  # a number of more than ten bytes
_LONGEST: Final = 512  # bytes of a name
_MIDDLE: Final = bytes(range(0x80, 0x100))  # bytes after which a number goes on


def key(number: int, kind: int) -> int:
    """What stands in front of field `number` of this wire type."""
    return number << 3 | kind


def fields(data: bytes, place: int, end: int, *, most: int) -> list[Field]:  # noqa: C901  one loop, for speed
    """The fields of the message in data[place:end].

    Args:
        data: what holds the message.
        place: where it begins.
        end: where it ends, at most len(data).
        most: how many fields it may have.

    Raises:
        ValueError: the bytes are not a message, or have more fields.
    """
    found: list[Field] = []
    append = found.append
    try:
        for _ in range(most + 1):
            if place >= end:
                break
            tag = data[place]
            place += 1
            if tag > 0x7F:
                tag, place = varint(data, place - 1)
            kind = tag & 7
            if kind == BYTES:
                size = data[place]
                place += 1
                if size > 0x7F:
                    size, place = varint(data, place - 1)
                append((tag, place, place + size))
                place += size
            elif kind == VARINT:
                value = data[place]
                place += 1
                if value > 0x7F:
                    value, place = varint(data, place - 1)
                append((tag, value, 0))
            elif kind in (FIXED32, FIXED64):
                size = 4 if kind == FIXED32 else 8
                append((tag, place, place + size))
                place += size
            else:
                raise ValueError(f"field {tag >> 3} has wire type {kind}")
        else:
            raise ValueError(f"a message has more than {most} fields")
    except IndexError:
        raise ValueError(_PAST) from None
    if place != end:
        raise ValueError(_PAST)
    return found


def varint(data: bytes, place: int) -> tuple[int, int]:
    """The number that begins at a place, and the place behind it; IndexError where the data end before it does."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 2**64:
                raise ValueError("a number has more than 64 bits")
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number runs past ten bytes")


def signed(value: int) -> int:
    """A number of 64 bits in two's complement."""
    return value - 2**64 if value >> 63 else value


def count_varints(data: bytes) -> int:
    """How many numbers stand in a packed field; `ValueError` where the last one is cut or one is too long."""
    if data and data[-1] > 0x7F:
        raise ValueError(_PAST)
    if _OVERLONG.search(data):
        raise ValueError("a number runs past ten bytes")
    return len(data.translate(None, _MIDDLE))


def varints(data: bytes) -> list[int]:
    """The numbers of a packed field, signed."""
    count_varints(data)
    found, place = list[int](), 0
    while place < len(data):
        value, place = varint(data, place)
        found.append(signed(value))
    return found


def text(data: bytes, first: int, last: int) -> str:
    """A name or word: UTF-8, printable, at most 512 bytes.

    Raises:
        ValueError: anything else.
    """
    if last - first > _LONGEST:
        raise ValueError(f"a name has more than {_LONGEST} bytes")
    found = data[first:last].decode()
    if not found.isprintable():
        raise ValueError(f"a name is not printable: {found!r:.80}")
    return found
