"""Reference vectors: what the source model gives in PyTorch for keyed inputs, at several batch sizes.

x is made from the noise of this project over the value range of training, never taken from anyone's data, so that a
published bundle shows no row of a training set.
"""

# pyright: reportUnknownMemberType=false
# (torch.from_numpy leaves its argument untyped)

import math
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

import reparam
from reparam.arrays import FloatArray
from reparam.bundle.golden import Case, Vectors
from reparam.bundle.manifest import Likelihood, Manifest, Mixed, sized
from reparam_export.source import Source

_SEED: Final = 0
CHECKED: Final = (1, 3, 5)  # batch sizes that are verified
KEPT: Final = (1, 3)  # batch sizes that golden.npz keeps
GOLDEN_BYTES: Final = 1 << 20


def golden_sizes(source: Source) -> tuple[tuple[int, int], ...] | None:
    """The two smallest heights and widths that tell one from the other; None where they are fixed."""
    if source.input.factors is None:
        return None
    height, width = source.input.factors
    return (height, 2 * width), (2 * height, 3 * width)


def keyed_rows(rows: range, source: Source | Manifest, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Rows [n, *shape]: uniform over the value range, or normal where none is known, in a table's own units."""
    low, high = source.input.low, source.input.high
    if source.input.dtype == "uint8":
        low, high = 0.0, 255.0
    if low is None or high is None:
        return _in_units(reparam.noise("normal", _SEED, rows, shape, stream="data"), source.likelihood)
    uniform = reparam.noise("uniform", _SEED, rows, shape, stream="data")  # [-sqrt 3, sqrt 3]
    unit = (uniform / np.float32(2 * math.sqrt(3)) + np.float32(0.5)).clip(0, 1)
    return (np.float32(low) + np.float32(high - low) * unit).astype(source.input.dtype)


def _in_units(x: FloatArray, likelihood: Likelihood | None) -> FloatArray:
    """The columns of a table [n, width] from standard normal ones; other rows as they are."""
    if isinstance(likelihood, Mixed):
        for column in likelihood.columns:
            x[:, column.start : column.stop] = x[:, column.start : column.stop] * column.scale + column.shift
    return x


def reference(source: Source, batches: Iterable[int] = CHECKED) -> dict[Case, Vectors]:
    """x, eps and every output of the source model by case; each takes rows of its own."""
    found: dict[Case, Vectors] = {}
    first = 0
    for size in golden_sizes(source) or (None,):
        for batch in batches:
            found[Case(batch, size)] = run_source(source, range(first, first + batch), size)
            first += batch
    return found


def run_source(source: Source, rows: range, size: tuple[int, int] | None = None) -> dict[str, npt.NDArray[Any]]:
    """x, eps, mean, logvar, z (x and z alone of a plain autoencoder) and the decoder's outputs of z for keyed rows."""
    shape, latent = source.input.shape, source.latent.shape
    if size is not None:
        shape, latent = sized(source.input, source.latent, size)
    x = torch.from_numpy(keyed_rows(rows, source, shape))  # [n, *input]
    if source.latent.noise is None:
        (z,) = source.encode(x)  # [n, *latent]
        encoded = {"z": z}
    else:
        eps = torch.from_numpy(reparam.noise(source.latent.noise, _SEED, rows, latent))
        mean, logvar = source.encode(x)  # [n, *latent] each
        z = mean + torch.exp(logvar / 2) * eps
        encoded = {"eps": eps, "mean": mean, "logvar": logvar, "z": z}
    tensors = {"x": x, **encoded, **source.decode(z)}
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def kept(found: dict[Case, Vectors]) -> dict[Case, Vectors]:
    """What golden.npz keeps: batches 1 and 3, or batch 1 alone where both exceed a mebibyte."""
    both = {case: vectors for case, vectors in found.items() if case.batch in KEPT}
    size = sum(array.nbytes for vectors in both.values() for array in vectors.values())
    return both if size <= GOLDEN_BYTES else {case: both[case] for case in both if case.batch == KEPT[0]}
