"""The autoencoder whose posterior's moments are penalised instead of its divergence.

    loss = mean over rows of -log p(x|z) + alpha |mean|^2 + beta |std - 1|^2

|.|^2 sums over the latent. It pulls every posterior towards mean 0 and standard deviation 1, as the KL does, but is no
bound of log p(x): near the prior the normal law's KL is |mean|^2 / 2 + |std - 1|^2 to second order (as
(std^2 - 1) / 2 - log std = (std - 1)^2 + O((std - 1)^3)), so alpha 1/2 and beta 1 come closest to it. Where std
falls to 0 the penalty stays at beta, while the KL grows as -log std.
"""

from torch import Tensor

from reparam_train.model import VAE
from reparam_train.objectives.objective import Objective


def penalty(mean: Tensor, logvar: Tensor, *, alpha: float, beta: float) -> Tensor:
    """Alpha |mean|^2 + beta |std - 1|^2 of each row, [batch], for mean and logvar [batch, *latent]."""
    off_one = (logvar / 2).expm1()  # [batch, *latent] std - 1, with its digits near 1
    return (alpha * mean.square() + beta * off_one.square()).flatten(1).sum(1)


class Moments(Objective):
    """Distortion plus the penalty on both moments.

    Args:
        model: with a posterior.
        alpha: weight of |mean|^2, at least 0.
        beta: weight of |std - 1|^2, at least 0; not the beta of a KL.
    """

    def __init__(self, model: VAE, *, alpha: float, beta: float) -> None:
        super().__init__(model)
        self._alpha, self._beta = alpha, beta

    def forward(self, x: Tensor, eps: Tensor, weight: Tensor) -> Tensor:  # noqa: ARG002  both weights are constants
        """The loss of a batch; eps [1, batch, *latent]."""
        mean, logvar, outputs = self.model(x, eps[0])
        off = penalty(mean, logvar, alpha=self._alpha, beta=self._beta)  # [batch]
        loss: Tensor = (off - self.model.log_prob(x, outputs)).mean()
        return loss
