"""The ELBO of a model over a split, as a number that repeats to the last digit."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from reparam_train import keyed
from reparam_train.data.split import Split
from reparam_train.distributed import Group
from reparam_train.model import VAE
from reparam_train.objectives import bound

CHUNK: Final = 256  # rows a pass: fixed, so that sums do not depend on memory


@dataclass(frozen=True)
class Elbo:
    """Means over the rows of a split, in nats per row."""

    elbo: float
    """-(rate + distortion), a lower bound of log p(x)."""
    rate: float
    """KL(q(z|x) || p(z))."""
    distortion: float
    """-log p(x|z), one z a row."""


def elbo(model: VAE, split: Split, *, seed: int, group: Group | None = None) -> Elbo:
    """Evidence lower bound, rate and distortion, averaged over all rows of a split.

    Row i's noise is that of row number i, as in the runtime's `elbo(x, seed=...)`. Sums are float64. It is the plain
    ELBO, with the KL's weight 1, whatever objective trained the model.

    Args:
        model: on any device; its mode (train or eval) is left as it was.
        split: rows that the model takes.
        seed: of the noise, 0 <= seed < 2^64.
        group: processes that share the work and all call this; left out, this one alone.

    Returns:
        Three floats in nats per row. The same model, rows, seed and machine give the same digits.

    Raises:
        OptionError: seed out of range, or a plain autoencoder, which has no ELBO.
    """
    law, shape = model.config.law, model.config.latent_shape

    def terms(x: Tensor, rows: range) -> tuple[Tensor, ...]:
        eps = keyed.evaluation_noise(seed, rows=rows, shape=shape, law=law)  # [chunk, *latent]
        return bound.terms(model, x, torch.as_tensor(eps, device=x.device))

    rate, distortion = _means(model, split, terms, group or Group())
    return Elbo(elbo=-(rate + distortion), rate=rate, distortion=distortion)


def distortion(model: VAE, split: Split, *, group: Group | None = None) -> float:
    """Mean of -log p(x|z) over the rows of a split, in nats, for a plain autoencoder, whose z takes no noise."""
    (mean,) = _means(model, split, lambda x, _: (-model.log_prob(x, model.decode(model.code(x))),), group or Group())
    return mean


def scores(model: VAE, split: Split, *, seed: int, group: Group | None = None) -> dict[str, float]:
    """What a validation reports: elbo, rate and distortion; of a plain autoencoder the distortion alone."""
    if model.config.posterior == "none":
        return {"distortion": distortion(model, split, group=group)}
    found = elbo(model, split, seed=seed, group=group)
    return {"elbo": found.elbo, "rate": found.rate, "distortion": found.distortion}


def _means(model: VAE, split: Split, terms: Callable[[Tensor, range], tuple[Tensor, ...]], group: Group) -> list[float]:
    """Mean over all rows of each of the terms [chunk] that a function gives for a chunk and its row numbers."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            parts = [[float(term.double().sum()) for term in terms(*part)] for part in _chunks(model, split, group)]
    finally:
        model.train(was_training)
    return [math.fsum(sums) / len(split) for sums in zip(*group.gather(parts), strict=True)]


def _chunks(model: VAE, split: Split, group: Group) -> Iterator[tuple[Tensor, range]]:
    """This process's rows of a split as x [chunk, *input] on the model's device, with their numbers."""
    device = next(model.parameters()).device
    for start in range(group.rank * CHUNK, len(split), group.size * CHUNK):
        rows = range(start, min(start + CHUNK, len(split)))
        yield torch.as_tensor(split.batch(np.arange(rows.start, rows.stop)), device=device), rows
