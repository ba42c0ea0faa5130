"""The evidence lower bound, split in rate and distortion, in nats per row.

log p(x) >= ELBO = E_q log p(x|z) - KL(q(z|x) || p(z)) = -(distortion + rate).
Kingma and Welling 2014, equations 3 and 7 (one sample of eps); the two names after A. A. Alemi et al., "Fixing a Broken
ELBO", ICML 2018. Neither term is ever weighed silently: the loss is the mean over rows of their plain sum.
"""

from typing import NamedTuple

from torch import Tensor

from reparam_train import posteriors
from reparam_train.model import VAE


class Terms(NamedTuple):
    """Both parts of the negative ELBO, nats per row, each [batch]."""

    rate: Tensor
    """KL(q(z|x) || p(z)), in closed form."""
    distortion: Tensor
    """-log p(x|z) for the one z that eps gives."""

    def loss(self) -> Tensor:
        """Mean over rows of rate + distortion, a scalar."""
        return (self.rate + self.distortion).mean()


def terms(model: VAE, x: Tensor, eps: Tensor) -> Terms:
    """Rate and distortion of each row, for x [batch, *input_shape] and eps [batch, latent]."""
    mean, logvar, outputs = model(x, eps)
    return Terms(rate=posteriors.kl(mean, logvar, model.config.posterior), distortion=-model.log_prob(x, outputs))
