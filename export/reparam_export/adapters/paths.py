"""A model given by its folder."""

import os
from pathlib import Path
from typing import Final, cast

MOST_CONFIG: Final = 2**24  # bytes of the .json files that say what a folder holds


def as_path(model: object) -> Path | None:
    """The path that a model was given by; None for anything else.

    Examples:
        >>> as_path("runs/mine").name, as_path(3)
        ('mine', None)
    """
    if isinstance(model, str | os.PathLike):
        return Path(cast("str | os.PathLike[str]", model))
    return None
