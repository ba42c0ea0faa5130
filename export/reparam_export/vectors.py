"""Reference vectors: what the source model gives in PyTorch for keyed inputs, at several batch sizes."""

# pyright: reportUnknownMemberType=false
# (torch.from_numpy leaves its argument untyped)

from collections.abc import Iterable
from typing import Any

import numpy.typing as npt
import torch

from reparam.bundle.golden import Case, Vectors
from reparam_export.inputs import CHECKED, keyed_cases, keyed_inputs
from reparam_export.source import Source


def reference(source: Source, batches: Iterable[int] = CHECKED) -> dict[Case, Vectors]:
    """x, eps and every output of the source model by case; each takes rows of its own."""
    return {case: run_source(source, rows, case.size) for case, rows in keyed_cases(source, batches).items()}


def run_source(source: Source, rows: range, size: tuple[int, int] | None = None) -> dict[str, npt.NDArray[Any]]:
    """x, eps, mean, logvar, z (x and z alone of a plain autoencoder) and the decoder's outputs of z for keyed rows."""
    inputs = {name: torch.from_numpy(array) for name, array in keyed_inputs(source, rows, size).items()}
    if source.latent.noise is None:
        (z,) = source.encode(inputs["x"])  # [n, *latent]
        encoded = {"z": z}
    else:
        mean, logvar = source.encode(inputs["x"])  # [n, *latent] each
        z = mean + torch.exp(logvar / 2) * inputs["eps"]
        encoded = {"mean": mean, "logvar": logvar, "z": z}
    tensors = {**inputs, **encoded, **source.decode(z)}
    return {name: tensor.numpy() for name, tensor in tensors.items()}
