"""Why someone else's code failed, in one line of ours."""

from typing import Final

_LENGTH: Final = 200


def reason(error: BaseException) -> str:
    """The error's class and the start of its message.

    Examples:
        >>> reason(ValueError("no such layer:\\n  conv 3"))
        'ValueError: no such layer: conv 3'
    """
    told = " ".join(str(error).split())
    return f"{type(error).__name__}: {told[:_LENGTH]}" if told else type(error).__name__
