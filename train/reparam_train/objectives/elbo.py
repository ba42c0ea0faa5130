"""The negative ELBO with closed-form KL; its weight, warm-up and free bits are named where they are not 1, 0 and 0.

    loss = mean over rows of -log p(x|z) + w(step) sum over j of max(f, mean over rows of KL_j)

- w = beta: I. Higgins et al., "beta-VAE", ICLR 2017, equation 4.
- w rises from 0 to beta, linearly over the first `warmup` epochs: C. K. Sonderby et al., "Ladder Variational
  Autoencoders", NeurIPS 2016, section 2.3.
- f nats for each latent dimension j are free: D. P. Kingma et al., "Improved Variational Inference with Inverse
  Autoregressive Flow", NeurIPS 2016, appendix C.8, each dimension a group of its own, mean over the batch first. In a
  spatial latent [channels, *sides] each channel at each place is a dimension.

With beta 1, no warm-up and no free bits: the plain sum of rate and distortion, Kingma and Welling 2014, equation 7.
"""

from torch import Tensor

from reparam_train import posteriors
from reparam_train.distributed import row_mean
from reparam_train.model import VAE
from reparam_train.objectives.objective import Objective


class NegativeElbo(Objective):
    """Distortion plus weighed rate.

    Args:
        model: with a posterior.
        beta: weight of the KL once the warm-up is over, at least 0.
        warmup_steps: steps in which the weight rises; 0 for none.
        free_bits: f, nats a latent dimension, at least 0.
    """

    def __init__(self, model: VAE, *, beta: float, warmup_steps: float, free_bits: float) -> None:
        super().__init__(model)
        self._beta, self._warmup_steps, self._free_bits = beta, warmup_steps, free_bits

    def weight(self, step: int) -> float:
        """Of the KL: beta * min(1, step / warmup_steps), so 0 in the first step of a warm-up."""
        return self._beta * min(1.0, step / self._warmup_steps) if self._warmup_steps else self._beta

    def forward(self, x: Tensor, eps: Tensor, weight: Tensor) -> Tensor:
        """The loss of a batch; eps [1, batch, *latent]."""
        mean, logvar, outputs = self.model(x, eps[0])
        each = posteriors.kl_each(mean, logvar, self.model.config.law)  # [batch, *latent]
        rate = each.mean(0)  # [*latent]
        if self._free_bits:  # the mean over the global batch decides, so that several processes make one's gradient
            rate = rate.where(row_mean(each) > self._free_bits, self._free_bits)
        loss: Tensor = weight * rate.sum() - self.model.log_prob(x, outputs).mean()
        return loss
