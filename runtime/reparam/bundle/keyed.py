"""Keyed rows of x: made from the noise of this project over the value range of training, never anyone's data.

So a published bundle shows no row of a training set, and whoever measures a bundle needs no data.
"""

import math
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from reparam.bundle.manifest import Input, Likelihood, Mixed
from reparam.laws import noise

SEED: Final = 0


class Described(Protocol):
    """What rows of x depend on: a manifest, or what becomes one."""

    @property
    def input(self) -> Input:
        """One row of x."""
        ...

    @property
    def likelihood(self) -> Likelihood | None:
        """p(x given z), for the units of a table's columns."""
        ...


def keyed_rows(rows: range, source: Described, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Rows [n, *shape]: uniform over the value range, or normal where none is known, in a table's own units."""
    low, high = source.input.low, source.input.high
    if source.input.dtype == "uint8":
        low, high = 0.0, 255.0
    if low is None or high is None:
        return _in_units(noise("normal", SEED, rows, shape, stream="data"), source.likelihood)
    uniform = noise("uniform", SEED, rows, shape, stream="data")  # [-sqrt 3, sqrt 3]
    unit = (uniform / np.float32(2 * math.sqrt(3)) + np.float32(0.5)).clip(0, 1)
    return (np.float32(low) + np.float32(high - low) * unit).astype(source.input.dtype)


def _in_units(x: npt.NDArray[np.float32], likelihood: Likelihood | None) -> npt.NDArray[np.float32]:
    """The columns of a table [n, width] from standard normal ones; other rows as they are."""
    if isinstance(likelihood, Mixed):
        for column in likelihood.columns:
            x[:, column.start : column.stop] = x[:, column.start : column.stop] * column.scale + column.shift
    return x
