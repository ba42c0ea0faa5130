"""What the columns of a table mean: continuous, binary, or one of several categories as a one-hot block."""

import math
from collections.abc import Iterator
from typing import Final, Literal, get_args

import msgspec

from reparam.errors import OptionError
from reparam_train import typed

Kind = Literal["gaussian", "bernoulli", "categorical"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Choice = Literal[Kind, "drop"]
CHOICES: Final[tuple[Choice, ...]] = get_args(Choice)


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column of a table. Raises `OptionError` where the fields contradict each other."""

    name: str
    kind: Kind
    """"gaussian" is any number, "bernoulli" lies in [0, 1], "categorical" is a one-hot block."""
    categories: tuple[str, ...] = ()
    """categorical: what each place of the block stands for, two or more."""
    shift: float = 0.0
    """gaussian: about where its values lie, in their own units; a model works with (x - shift) / scale."""
    scale: float = 1.0
    """gaussian: about how far they spread."""

    def __post_init__(self) -> None:
        typed.settle(self)
        if self.kind not in KINDS:
            raise OptionError(f"columns: {self.name}: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if (self.kind == "categorical") != (len(self.categories) >= 2):
            raise OptionError(
                f"columns: {self.name}: categorical goes with two or more categories and no other kind does, "
                f"got {self.kind} with {len(self.categories)}"
            )
        if len(set(self.categories)) != len(self.categories):
            raise OptionError(f"columns: {self.name}: each category stands once, got {list(self.categories)}")
        if not (math.isfinite(self.shift) and math.isfinite(self.scale) and self.scale > 0):
            raise OptionError(
                f"columns: {self.name}: shift must be finite and scale finite and above 0, "
                f"got {self.shift} and {self.scale}"
            )
        if self.kind != "gaussian" and (self.shift, self.scale) != (0, 1):
            raise OptionError(f"columns: {self.name}: shift and scale belong to kind gaussian, got {self.kind}")

    @property
    def width(self) -> int:
        """Values that it takes up in a row."""
        return len(self.categories) or 1


def places(columns: tuple[Column, ...]) -> Iterator[tuple[Column, int, int]]:
    """Each column with the slice start:stop of a row that it takes up, from the left without gaps."""
    start = 0
    for column in columns:
        yield column, start, start + column.width
        start += column.width
