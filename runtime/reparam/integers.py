"""Whole numbers that callers pass: checked once, with the argument's name and range in the message."""

import operator

from reparam.errors import OptionError, ReparamError


def whole(
    name: str, value: object, *, low: int, high: int | None = None, error: type[ReparamError] = OptionError
) -> int:
    """The value as an int.

    Args:
        name: the argument's name, for the message.
        value: an int, or anything that says it is one through `__index__`, such as numpy's integers.
        low: least value allowed.
        high: greatest value allowed, None for no bound.
        error: class to raise.

    Raises:
        OptionError: (or `error`) not an integer, or out of range.

    Examples:
        >>> whole("n", 3, low=0)
        3
    """
    span = f"an integer of at least {low}" if high is None else f"an integer from {low} to {_told(high)}"
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # what has no __index__ is refused here
    except TypeError:
        raise error(f"{name}: must be {span}, got {value!r:.80}") from None
    if number < low or (high is not None and number > high):
        raise error(f"{name}: must be {span}, got {number}")
    return number


def _told(high: int) -> str:
    """2^64 - 1 and the like as people write them."""
    power = (high + 1).bit_length() - 1
    return f"2^{power} - 1" if high >= 2**20 and high == 2**power - 1 else str(high)
