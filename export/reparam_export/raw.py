"""Graphs that take and give images as programs hold them: uint8 [batch, height, width, channels].

0 stands for the least value of x in training and 255 for the greatest, so that nobody can get the preprocessing wrong.
"""

import dataclasses
import math

import msgspec
import torch
from torch import Tensor

from reparam.errors import OptionError
from reparam_export.source import Source

_LEVELS = 255


def raw(source: Source) -> Source:
    """The same model with uint8 images, channels last, on its outside.

    Args:
        source: of images [channels, height, width] whose value range is known.

    Returns:
        A source whose x and x_hat are uint8 [batch, height, width, channels]. It has no likelihood: rounded levels
        have no density.

    Raises:
        OptionError: rows that are no images, or whose range is not known.
    """
    rows = source.input
    if rows.layout != "channels_first" or len(rows.shape) != 3:
        raise OptionError(f"raw: takes images [channels, height, width], this model's rows are {list(rows.shape)}")
    if rows.low is None or rows.high is None or not math.isfinite(rows.high - rows.low) or rows.high <= rows.low:
        raise OptionError(f"raw: needs the range of x, got {rows.low} to {rows.high}; train on a source that has one")
    low, span = rows.low, rows.high - rows.low

    def values(x: Tensor) -> Tensor:  # uint8 [batch, height, width, channels] to [batch, channels, height, width]
        return x.permute(0, 3, 1, 2).to(torch.float32) * (span / _LEVELS) + low

    def levels(x_hat: Tensor) -> Tensor:  # and back
        scaled = (x_hat - low) * (_LEVELS / span)
        return scaled.round().clamp(0, _LEVELS).to(torch.uint8).permute(0, 2, 3, 1)

    def encode(x: Tensor) -> tuple[Tensor, ...]:
        return source.encode(values(x))

    def decode(z: Tensor) -> dict[str, Tensor]:
        return {"x_hat": levels(source.decode(z)["x_hat"])}

    channels, height, width = rows.shape
    return dataclasses.replace(
        source,
        encode=encode,
        decode=decode,
        input=msgspec.structs.replace(rows, shape=(height, width, channels), dtype="uint8", layout="channels_last"),
        likelihood=None,
    )
