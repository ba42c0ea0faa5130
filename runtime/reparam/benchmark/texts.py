"""What a report may hold for people to read: lines of printable text of a bounded length, numbers that fit on a line.

A report is written so and is held to it when it is read, since one from elsewhere is hostile until it is checked.
"""

# pyright: reportUnknownVariableType=false
# (isinstance leaves open what a dict or tuple holds)

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from reparam.errors import printable

LONGEST: Final = 10_000  # characters of a text
LARGEST: Final = 1e20  # of a number's magnitude: nanoseconds of 3,000 years, seeds of 64 bits


def unfit(part: object) -> str | None:
    """The first text or number that no report may hold, by its key and in words; None where there is none.

    Args:
        part: a struct, with structs, tuples and dicts in it.
    """
    return next(_unfit(part, "report"), None)


def _unfit(part: object, where: str) -> Iterator[str]:
    if (fault := _fault(part)) is not None:
        yield f"{where}: {fault}"
    for name, each in _parts(part, where):
        yield from _unfit(each, name)


def _fault(part: object) -> str | None:
    if isinstance(part, int | float) and not -LARGEST < part < LARGEST:
        return f"must be a number within {LARGEST:g}"
    if not isinstance(part, str) or (len(part) <= LONGEST and part.isprintable()):
        return None
    if len(part) > LONGEST:
        return f"must be at most {LONGEST:,} characters, got {len(part):,}"
    return f"must be one line of printable text, got {part[:60]!r}"


def _parts(part: Any, where: str) -> Iterator[tuple[str, object]]:
    if isinstance(part, msgspec.Struct):
        yield from ((f"{where}.{name}", getattr(part, name)) for name in part.__struct_fields__)
    elif isinstance(part, dict):
        named: dict[Any, Any] = part
        for key, value in named.items():
            yield f"{where}, a key of it", key
            yield f"{where}.{key}", value
    elif isinstance(part, tuple):
        placed: tuple[Any, ...] = part
        if placed and isinstance(placed[0], int):
            yield where, max(placed)  # samples, which are many, and none below 0
        else:
            yield from ((f"{where}[{place}]", value) for place, value in enumerate(placed))


def fitting(part: Any) -> Any:
    """The same with every text in one printable line, cut where it is too long; of lists, dicts and plain values."""
    if isinstance(part, str):
        line = printable(part)
        return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
    if isinstance(part, dict):
        named: dict[Any, Any] = part
        return {fitting(key): fitting(value) for key, value in named.items()}
    if isinstance(part, list | tuple):
        placed: list[Any] | tuple[Any, ...] = part
        return [fitting(value) for value in placed]
    return part
