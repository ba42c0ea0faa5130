"""How a source is read where it leaves a choice: which rows are for testing, and what the axes of a row are."""

from typing import Final, Literal, get_args

import msgspec

from reparam.errors import OptionError
from reparam_train import typed

RowLayout = Literal["features", "signal", "image"]
ROW_LAYOUTS: Final[tuple[RowLayout, ...]] = get_args(RowLayout)
TEST_EVERY: Final = 10


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a source was read; run.json holds it. Raises `OptionError` for values out of range."""

    test_every: int | None = TEST_EVERY
    """N: rows N - 1, 2 N - 1, 3 N - 1 ... are the test split, 2 or more; None where the source has a split of its
    own."""
    layout: RowLayout | None = None
    """"features" flattens a row, "signal" is (channels, length), "image" is (channels, height, width); None goes by the
    number of axes."""

    def __post_init__(self) -> None:
        typed.settle(self)
        if self.test_every is not None and self.test_every < 2:
            raise OptionError(f"test_every: must be at least 2, so that rows are left to train, got {self.test_every}")
        if self.layout is not None and self.layout not in ROW_LAYOUTS:
            raise OptionError(f"layout: must be one of {', '.join(ROW_LAYOUTS)}, got {self.layout!r}")


OWN_SPLIT: Final = Reading(test_every=None)
