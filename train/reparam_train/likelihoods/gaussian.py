"""Independent normal dimensions, in four ways to find their standard deviation.

    log p = -1/2 sum(((x - x_hat) / std)^2 + log(2 pi std^2))

Kingma and Welling 2014, appendix C.2, for a std that is an output of the decoder; O. Rybkin, K. Daniilidis and
S. Levine, "Simple and Effective VAE Training with Calibrated Decoders" (sigma-VAE), ICML 2021, for one std of all
dimensions, learned (section 3) or optimal (section 3.1).
"""

import math
from typing import Final

import torch
from torch import Tensor, nn

from reparam_train.distributed import row_mean
from reparam_train.likelihoods.likelihood import LOG_BOUNDS, Likelihood, Outputs

_KEEP: Final = 0.99  # of the running mean of squares, a step


def _log_prob(x: Tensor, x_hat: Tensor, logvar: Tensor) -> Tensor:
    """Log density in nats per row, [batch], for x and x_hat [batch, *input]; logvar broadcasts."""
    scaled = (x - x_hat) * (logvar / -2).exp()  # [batch, *input]
    terms = scaled.square() + (logvar + math.log(2 * math.pi))  # [batch, *input]
    return -terms.flatten(1).sum(1) / 2  # [batch]


class SharedGaussian(Likelihood):
    """One standard deviation for all dimensions, fixed or learned by gradient.

    Args:
        std: fixed, in the data's units; None learns one scalar, from 1 at the start.
    """

    def __init__(self, std: float | None) -> None:
        super().__init__()
        log_std = torch.tensor(0.0 if std is None else math.log(std))
        self.log_std: Tensor
        if std is None:
            self.log_std = nn.Parameter(log_std)
        else:
            self.register_buffer("log_std", log_std, persistent=False)  # the config holds it
        self._fixed = std

    def outputs(self, raw: Tensor) -> Outputs:
        """x_hat alone, [batch, *input]."""
        return {"x_hat": raw}

    def log_prob(self, x: Tensor, outputs: Outputs) -> Tensor:
        """The value of log p(x|z) in nats per row, [batch]."""
        return _log_prob(x, outputs["x_hat"], 2 * self.log_std)

    def constants(self) -> dict[str, float]:
        """The shared standard deviation, in the data's units."""
        return {"std": math.exp(float(self.log_std.detach())) if self._fixed is None else self._fixed}


class OptimalGaussian(Likelihood):
    """One variance for all dimensions, the one that maximises the likelihood: the mean of (x - x_hat)^2, above e^-30.

    In training it is the batch's own mean, so that the gradient of log p is that of -D / 2 log(mean square). What is
    evaluated and exported is a constant: the running mean over the steps, each step's with weight 1 - 0.99, corrected
    for its start as Adam's moments are. It is kept with the weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mean_square: Tensor
        self.register_buffer("mean_square", torch.tensor(0.0))
        self.weight: Tensor
        self.register_buffer("weight", torch.tensor(0.0))  # 1 - 0.99^steps

    def outputs(self, raw: Tensor) -> Outputs:
        """x_hat alone, [batch, *input]."""
        return {"x_hat": raw}

    def log_prob(self, x: Tensor, outputs: Outputs) -> Tensor:
        """The value of log p(x|z) in nats per row, [batch]; in training mode it moves the running mean."""
        if not self.training:
            return _log_prob(x, outputs["x_hat"], self._logvar())
        square = row_mean((x - outputs["x_hat"]).square().flatten(1).mean(1))  # of the global batch
        self.mean_square.mul_(_KEEP).add_(square, alpha=1 - _KEEP)
        self.weight.mul_(_KEEP).add_(1 - _KEEP)
        return _log_prob(x, outputs["x_hat"], square.log().clamp(min=LOG_BOUNDS[0]))

    def _logvar(self) -> Tensor:
        """Of the running mean; 0 before the first step."""
        found = (self.mean_square / self.weight).log().clamp(min=LOG_BOUNDS[0])
        return torch.where(self.weight > 0, found, torch.zeros_like(found))

    def constants(self) -> dict[str, float]:
        """The standard deviation of the running mean, in the data's units."""
        return {"std": math.exp(float(self._logvar()) / 2)}


class ScaledGaussian(Likelihood):
    """A variance for each dimension of each row, the output x_logvar of the decoder, within [-30, 20]."""

    parts = 2

    def outputs(self, raw: Tensor) -> Outputs:
        """x_hat and x_logvar, both [batch, *input]."""
        x_hat, logvar = raw.chunk(2, 1)
        return {"x_hat": x_hat, "x_logvar": logvar.clamp(*LOG_BOUNDS)}

    def log_prob(self, x: Tensor, outputs: Outputs) -> Tensor:
        """The value of log p(x|z) in nats per row, [batch]."""
        return _log_prob(x, outputs["x_hat"], outputs["x_logvar"])

    def constants(self) -> dict[str, float]:
        """None: x_logvar says all."""
        return {}
