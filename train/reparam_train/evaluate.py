"""The ELBO of a model over a split, as a number that repeats to the last digit."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from reparam_train import keyed, objectives
from reparam_train.data.split import Split
from reparam_train.model import VAE

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


def elbo(model: VAE, split: Split, *, seed: int) -> Elbo:
    """Evidence lower bound, rate and distortion, averaged over all rows of a split.

    Row i's noise is that of row number i, as in the runtime's `elbo(x, seed=...)`. Sums are float64.

    Args:
        model: on any device; its mode (train or eval) is left as it was.
        split: rows that the model takes.
        seed: of the noise, 0 <= seed < 2^64.

    Returns:
        Three floats in nats per row. The same model, rows, seed and machine give the same digits.

    Raises:
        OptionError: seed out of range.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    sums = np.zeros(2)
    try:
        with torch.inference_mode():
            for start in range(0, len(split), CHUNK):
                rows = range(start, min(start + CHUNK, len(split)))
                x = torch.as_tensor(split.batch(np.arange(rows.start, rows.stop)), device=device)  # [chunk, *input]
                eps = keyed.evaluation_noise(
                    seed, rows=rows, shape=(model.config.latent,), law=model.config.posterior
                )  # [chunk, latent]
                terms = objectives.terms(model, x, torch.as_tensor(eps, device=device))
                sums += [float(term.double().sum()) for term in terms]
    finally:
        model.train(was_training)
    rate, distortion = (sums / len(split)).tolist()
    return Elbo(elbo=-(rate + distortion), rate=rate, distortion=distortion)
