"""Independent Laplace dimensions: absolute instead of squared errors.

    log p = -sum(|x - x_hat| / b + log(2 b)),  b the scale; the standard deviation is sqrt(2) b

S. Kotz, T. Kozubowski and K. Podgorski, "The Laplace Distribution and Generalizations", 2001, section 2.1. x_hat is its
mean and its median.
"""

import math

import torch
from torch import Tensor, nn

from reparam_train.likelihoods.likelihood import LOG_BOUNDS, Likelihood, Outputs


def _log_prob(x: Tensor, x_hat: Tensor, logscale: Tensor) -> Tensor:
    """Log density in nats per row, [batch], for x and x_hat [batch, *input]; logscale broadcasts."""
    terms = (x - x_hat).abs() * (-logscale).exp() + (logscale + math.log(2))  # [batch, *input]
    return -terms.flatten(1).sum(1)  # [batch]


class SharedLaplace(Likelihood):
    """One scale for all dimensions, fixed or learned by gradient.

    Args:
        std: fixed standard deviation, sqrt(2) b, in the data's units; None learns one scale, from b = 1 at the start.
    """

    def __init__(self, std: float | None) -> None:
        super().__init__()
        log_scale = torch.tensor(0.0 if std is None else math.log(std / math.sqrt(2)))
        self.log_scale: Tensor
        if std is None:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale, persistent=False)  # the config holds it
        self._fixed = std

    def outputs(self, raw: Tensor) -> Outputs:
        """x_hat alone, [batch, *input]."""
        return {"x_hat": raw}

    def log_prob(self, x: Tensor, outputs: Outputs) -> Tensor:
        """The value of log p(x|z) in nats per row, [batch]."""
        return _log_prob(x, outputs["x_hat"], self.log_scale)

    def constants(self) -> dict[str, float]:
        """The shared scale b, in the data's units."""
        fixed = self._fixed
        return {"scale": math.exp(float(self.log_scale.detach())) if fixed is None else fixed / math.sqrt(2)}


class ScaledLaplace(Likelihood):
    """A scale for each dimension of each row: the output x_logscale of the decoder, log b, within [-30, 20]."""

    parts = 2

    def outputs(self, raw: Tensor) -> Outputs:
        """x_hat and x_logscale, both [batch, *input]."""
        x_hat, logscale = raw.chunk(2, 1)
        return {"x_hat": x_hat, "x_logscale": logscale.clamp(*LOG_BOUNDS)}

    def log_prob(self, x: Tensor, outputs: Outputs) -> Tensor:
        """The value of log p(x|z) in nats per row, [batch]."""
        return _log_prob(x, outputs["x_hat"], outputs["x_logscale"])

    def constants(self) -> dict[str, float]:
        """None: x_logscale says all."""
        return {}
