"""Reference vectors: what the source model gives in PyTorch for keyed inputs, at several batch sizes.

x is made from the noise of this project over the value range of training, never taken from anyone's data, so that a
published bundle shows no row of a training set.
"""

# pyright: reportUnknownMemberType=false
# (torch.from_numpy leaves its argument untyped)

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
import torch

import reparam
from reparam.arrays import FloatArray
from reparam.bundle.golden import Vectors
from reparam.bundle.manifest import Likelihood, Mixed
from reparam_export.source import Source

_SEED: Final = 0
CHECKED: Final = (1, 3, 5)  # batch sizes that are verified
KEPT: Final = (1, 3)  # batch sizes that golden.npz keeps
GOLDEN_BYTES: Final = 1 << 20


def keyed_rows(rows: range, source: Source) -> FloatArray:
    """X float32 [n, *input]: uniform over the value range, or normal where none is known, in a table's own units."""
    shape = source.input
    if shape.low is None or shape.high is None:
        return _in_units(reparam.noise("normal", _SEED, rows, shape.shape, stream="data"), source.likelihood)
    uniform = reparam.noise("uniform", _SEED, rows, shape.shape, stream="data")  # [-sqrt 3, sqrt 3]
    unit = (uniform / np.float32(2 * math.sqrt(3)) + np.float32(0.5)).clip(0, 1)
    return (np.float32(shape.low) + np.float32(shape.high - shape.low) * unit).astype(np.float32)


def _in_units(x: FloatArray, likelihood: Likelihood | None) -> FloatArray:
    """The columns of a table [n, width] from standard normal ones; other rows as they are."""
    if isinstance(likelihood, Mixed):
        for column in likelihood.columns:
            x[:, column.start : column.stop] = x[:, column.start : column.stop] * column.scale + column.shift
    return x


def reference(source: Source, batches: Iterable[int] = CHECKED) -> dict[int, Vectors]:
    """x, eps and every output of the source model by batch size; each batch takes rows of its own."""
    found: dict[int, Vectors] = {}
    first = 0
    for batch in batches:
        found[batch] = run_source(source, range(first, first + batch))
        first += batch
    return found


def run_source(source: Source, rows: range) -> dict[str, FloatArray]:
    """x, eps, mean, logvar, z (x and z alone of a plain autoencoder) and the decoder's outputs of z for keyed rows."""
    x = torch.from_numpy(keyed_rows(rows, source))  # [n, *input]
    if source.latent.noise is None:
        (z,) = source.encode(x)  # [n, *latent]
        encoded = {"z": z}
    else:
        eps = torch.from_numpy(reparam.noise(source.latent.noise, _SEED, rows, source.latent.shape))
        mean, logvar = source.encode(x)  # [n, *latent] each
        z = mean + torch.exp(logvar / 2) * eps
        encoded = {"eps": eps, "mean": mean, "logvar": logvar, "z": z}
    tensors = {"x": x, **encoded, **source.decode(z)}
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def kept(found: dict[int, Vectors]) -> dict[int, Vectors]:
    """What golden.npz keeps: batches 1 and 3, or batch 1 alone where both exceed a mebibyte."""
    size = sum(array.nbytes for batch in KEPT for array in found[batch].values())
    return {batch: found[batch] for batch in (KEPT if size <= GOLDEN_BYTES else KEPT[:1])}
