"""Which rows a net takes, and how deep it is where nobody says: rules on shapes, free of torch.

Rows are (length,), read as one channel, (channels, length) or (channels, height, width); the sides are all but the
channels.
"""

from itertools import count
from typing import Final

from reparam.errors import OptionError

SMALLEST_SIDE: Final = 4  # below it, a strided convolution has nothing left to halve
_MLP: Final = (200, 200)
_FIRST_WIDTH: Final = 32
_LARGEST_WIDTH: Final = 256
_CONV_SIDE: Final = 7  # conv halves until no side is larger
_LARGEST_LEVELS: Final = 4  # a latent an eighth as high and wide: f8, the usual one of Rombach et al. 2022


def maps(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(channels, *sides) of rows of this shape.

    Examples:
        >>> maps((100,)), maps((2, 100)), maps((3, 8, 8))
        ((1, 100), (2, 100), (3, 8, 8))
    """
    return shape if len(shape) > 1 else (1, *shape)


def is_spatial(shape: tuple[int, ...]) -> bool:
    """Whether rows of this shape have one or two sides, each of at least 4."""
    return 1 <= len(shape) <= 3 and min(maps(shape)[1:]) >= SMALLEST_SIDE


def latent_sides(shape: tuple[int, ...], *, levels: int) -> tuple[int, ...]:
    """Sides of the latent of a resnet: the input's, halved between its levels."""
    return tuple(side // 2 ** (levels - 1) for side in maps(shape)[1:])


def check(net: str, shape: tuple[int, ...], hidden: tuple[int, ...]) -> None:
    """`OptionError` where conv or resnet does not take rows of this shape; any other net may."""
    if net not in ("conv", "resnet"):
        return
    if not is_spatial(shape):
        raise OptionError(
            f"net: {net} needs rows of shape (length,), (channels, length) or (channels, height, width) with sides of "
            f"at least {SMALLEST_SIDE}, got {list(shape)}; use mlp"
        )
    factor = 2 ** (len(hidden) - 1)
    if net == "resnet" and any(side % factor for side in maps(shape)[1:]):
        raise OptionError(
            f"hidden: {len(hidden)} levels of a resnet need sides that are multiples of {factor}, got "
            f"{list(maps(shape)[1:])}; give fewer levels, or pad the data"
        )
    if net == "resnet" and 1 in hidden[-2:] and set(latent_sides(shape, levels=len(hidden))) == {1}:
        raise OptionError(
            f"hidden: a resnet normalises 2 channels or more where its map is one place, got {list(hidden)}; "
            "give wider or fewer levels"
        )


def hidden(net: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Widths of a net for rows of this shape where none are given; none for anyone's own net.

    conv halves the sides at least twice, and until none is larger than 7; resnet halves them while all of them are even
    and at least 8, three times at most. Channels double from 32 up to 256.

    Examples:
        >>> hidden("conv", (1, 28, 28)), hidden("resnet", (1, 28, 28)), hidden("mlp", (64,))
        ((32, 64), (32, 64, 128), (200, 200))
    """
    if net == "mlp":
        return _MLP
    sides = maps(shape)[1:]
    if net == "conv":
        layers = next(n for n in count(2) if -(-max(sides) // 2**n) <= _CONV_SIDE)
    elif net == "resnet":
        fitting = [n for n in range(1, _LARGEST_LEVELS + 1) if all(_halves(side, n - 1) for side in sides)]
        layers = max(fitting, default=1)
    else:
        return ()
    return tuple(min(_FIRST_WIDTH * 2**place, _LARGEST_WIDTH) for place in range(layers))


def _halves(side: int, times: int) -> bool:
    """Whether a side can be halved so often without a remainder, and 4 are left."""
    whole, rest = divmod(side, 1 << times)
    return rest == 0 and whole >= SMALLEST_SIDE
