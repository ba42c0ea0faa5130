"""The evidence lower bound, split in rate and distortion, in nats per row: what every validation reports.

log p(x) >= ELBO = E_q log p(x|z) - KL(q(z|x) || p(z)) = -(distortion + rate).
Kingma and Welling 2014, equations 3 and 7 (one sample of eps); the two names after A. A. Alemi et al., "Fixing a Broken
ELBO", ICML 2018. Neither term is weighed here, whatever the objective of training weighs.
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


def terms(model: VAE, x: Tensor, eps: Tensor) -> Terms:
    """Rate and distortion of each row, for x [batch, *input_shape] and eps [batch, *latent].

    Raises:
        OptionError: the model is a plain autoencoder, which has no posterior and so no rate.
    """
    mean, logvar, outputs = model(x, eps)
    return Terms(rate=posteriors.kl(mean, logvar, model.config.law), distortion=-model.log_prob(x, outputs))
