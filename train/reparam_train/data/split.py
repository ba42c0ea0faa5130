"""Rows of an array, memory-mapped or not, that become float32 a batch at a time."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from reparam.arrays import RowSource
from reparam.errors import InputError
from reparam_train.binarize import binarized
from reparam_train.data.columns import Column
from reparam_train.data.paging import gather
from reparam_train.data.reading import OWN_SPLIT, Reading
from reparam_train.keyed import FIRST_STATIC_ROW

Layout = Literal["features", "channels_first"]
Binarize = Literal["none", "static", "dynamic"]
IntArray = npt.NDArray[np.integer]

_PIECE: Final = 2**24  # bytes looked at in one go
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Split:
    """Some rows of an array, each divided by `scale` when it is read.

    Row numbers below are places in the split, 0 <= i < len(split).
    """

    source: str
    """What to call it in a message: a file or a built-in."""
    values: RowSource = field(repr=False)
    """[stored rows, ...] as stored, in memory or in a file."""
    rows: IntArray = field(repr=False)
    """Which stored rows, [n]."""
    shape: tuple[int, ...]
    """Of one row, as models see it; the stored row has as many values."""
    scale: float = 1.0
    labels: npt.NDArray[np.uint8] | None = field(default=None, repr=False)
    """[n], one for each row, or None."""
    binary: tuple[int, int] | None = None
    """(seed, number of the first row) where batches are binarised, a row always in the same way; else None."""

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: IntArray) -> npt.NDArray[np.float32]:
        """The rows at these places, float32 [len(indices), *shape], C-contiguous and writable."""
        stored = gather(self.values, self.rows[indices])  # [b, ...] a copy, never a memmap
        batch = stored.astype(np.float32, order="C").reshape(len(indices), *self.shape)
        batch = batch if self.scale == 1 else np.divide(batch, np.float32(self.scale), out=batch)
        if self.binary is None:
            return batch
        seed, first = self.binary
        return binarized(batch, seed, np.uint64(first) + indices.astype(np.uint64))

    def head(self, limit: int | None) -> "Split":
        """The first `limit` rows, or all."""
        labels = None if self.labels is None else self.labels[:limit]
        return replace(self, rows=self.rows[:limit], labels=labels)

    def binarized(self, seed: int, *, first_row: int = 0) -> "Split":
        """These rows with every value x in [0, 1] as one draw of Bernoulli(x), a function of (seed, first_row + i)."""
        return replace(self, binary=(seed, first_row))

    def pieces(self) -> Iterator[IntArray]:
        """Consecutive places in bounded pieces, over the whole split."""
        row_bytes = max(1, int(np.prod(self.shape)) * max(4, self.values.dtype.itemsize))
        size = max(1, _PIECE // row_bytes)
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)))

    def mean(self) -> npt.NDArray[np.float32]:
        """Of all rows, float32 [*shape]; summed in float64."""
        total = np.zeros(self.shape)
        for piece in self.pieces():
            total += self.batch(piece).sum(0, dtype=np.float64)
        return (total / len(self)).astype(np.float32)

    def sha256(self) -> str:
        """Of dtype, shape and stored bytes (little-endian) of these rows, in order."""
        stored = self.values.dtype.newbyteorder("<")
        digest = hashlib.sha256(f"{stored.str} {[len(self), *self.shape]} /{self.scale!r}\n".encode("ascii"))
        for piece in self.pieces():
            digest.update(gather(self.values, self.rows[piece]).astype(stored, copy=False).tobytes())
        return digest.hexdigest()

    def check(self, *, low: float = -np.inf, high: float = np.inf) -> None:
        """One pass that refuses the first value that is not finite as float32, or not within [low, high].

        Raises:
            InputError: with the stored row and the column (the place in the flattened row) of the first such value.
        """
        for piece in self.pieces():
            with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which is what is refused
                batch = self.batch(piece).reshape(len(piece), -1)  # [b, columns]
            if max(low, -_FLOAT32_MAX) <= batch.min() and batch.max() <= min(high, _FLOAT32_MAX):  # false for NaN
                continue
            bad = ~(np.isfinite(batch) & (batch >= low) & (batch <= high))
            place, column = np.unravel_index(int(bad.argmax()), bad.shape)
            value, row = float(batch[place, column]), int(self.rows[piece[place]])
            where = f"row {row}, column {int(column)}"
            if not np.isfinite(value):
                raise InputError(
                    f"{self.source}: values must be finite float32, got {value} at {where}; clean the data"
                )
            raise InputError(
                f"{self.source}: likelihood bernoulli needs values from {low:g} to {high:g}, "
                f"got {value:g} at {where}; scale the data or use --likelihood gaussian"
            )


@dataclass(frozen=True)
class Data:
    """A training and a test split of one source, with what is known about their values."""

    name: str
    """A built-in's name, or the last part of the path."""
    train: Split
    test: Split
    low: float | None
    """Least value a row may hold, in the units that models see; None where no bound is known."""
    high: float | None
    layout: Layout
    columns: tuple[Column, ...] = ()
    """Of a table, from the left; empty where the rows are no table or nothing is known of their columns."""
    reading: Reading = OWN_SPLIT
    """How the source was read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return self.train.shape

    @cached_property
    def sha256(self) -> str:
        """Of the training split: dtype, shape and stored bytes."""
        return self.train.sha256()

    def head(self, limit: int | None) -> "Data":
        """The first `limit` rows of each split, or all."""
        if limit is None:
            return self
        return replace(self, train=self.train.head(limit), test=self.test.head(limit))

    def binarized(self, how: Binarize, seed: int) -> "Data":
        """What a run with this binarisation and seed reads: "static" fixes both splits, "dynamic" the test split."""
        if how == "none":
            return self
        train = self.train.binarized(seed, first_row=FIRST_STATIC_ROW) if how == "static" else self.train
        return replace(self, train=train, test=self.test.binarized(seed))
