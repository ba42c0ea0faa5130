"""The importance-weighted bound with k samples of the posterior.

    L_k = E log (1/k) sum over i of p(x|z_i) p(z_i) / q(z_i|x),  z_i ~ q(z|x)

L_1 is the ELBO with its KL sampled instead of closed, and L_k <= L_(k+1) <= log p(x).
Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016 (arXiv:1509.00519), equation 8.
"""

import math

from torch import Tensor

from reparam_train import posteriors
from reparam_train.model import VAE
from reparam_train.objectives.objective import Objective


def log_weights(model: VAE, x: Tensor, eps: Tensor) -> Tensor:
    """The value of log p(x|z) + log p(z) - log q(z|x) for the z of each draw of each row, in nats.

    Args:
        model: with a posterior.
        x: [batch, *input_shape].
        eps: [k, batch, *latent], from the posterior's law.

    Returns:
        [k, batch].
    """
    mean, logvar = model.encode(x)  # [batch, *latent] each
    z = posteriors.sample(mean, logvar, eps)  # [k, batch, *latent]
    outputs = model.decode(z.flatten(0, 1))  # [k * batch, ...]
    log_p_x = model.log_prob(x.repeat(len(eps), *[1] * (x.ndim - 1)), outputs).view(eps.shape[:2])  # [k, batch]
    log_q = posteriors.log_density(eps, logvar, model.config.law)  # [k, batch]
    return log_p_x + posteriors.log_prior(z, axes=mean.ndim - 1) - log_q


class NegativeIwae(Objective):
    """Minus the bound L_k.

    Args:
        model: with a posterior.
        samples: k, at least 1.
    """

    def __init__(self, model: VAE, *, samples: int) -> None:
        super().__init__(model)
        self.draws = samples

    def forward(self, x: Tensor, eps: Tensor, weight: Tensor) -> Tensor:  # noqa: ARG002  nothing is weighed
        """The loss of a batch; eps [k, batch, *latent]."""
        weights = log_weights(self.model, x, eps)  # [k, batch]
        return math.log(self.draws) - weights.logsumexp(0).mean()
