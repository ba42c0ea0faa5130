"""The laws p(x|z): how a decoder's raw output becomes outputs of the contract, and how x is scored, in nats.

A likelihood is a module: `outputs` names the decoder's results, x_hat (the mean of p(x|z) in the data's own units)
first; `log_prob` sums over every dimension of a row; `constants` are the numbers that scoring needs besides outputs.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from reparam_train.options import Likelihood

Outputs = dict[str, Tensor]


class Law(nn.Module, ABC):
    """Interface of a likelihood."""

    @abstractmethod
    def outputs(self, raw: Tensor) -> Outputs:
        """The decoder's outputs in contract order, from its last layer's values [batch, *input]."""

    @abstractmethod
    def log_prob(self, x: Tensor, outputs: Outputs) -> Tensor:
        """The value of log p(x|z) in nats per row, [batch], for x [batch, *input] and the outputs of z."""

    @abstractmethod
    def constants(self) -> dict[str, float]:
        """Scalars of the law that do not depend on z."""


class Bernoulli(Law):
    """Independent Bernoulli dimensions: log p = sum(x l - log(1 + exp(l))), l the logits; x_hat = sigmoid(l).

    Grey values x in [0, 1] are scored by the same formula, as in most of the literature; it is then a cross-entropy
    and not the logarithm of a density (Loaiza-Ganem and Cunningham, "The continuous Bernoulli", NeurIPS 2019).

    Source:
        Kingma and Welling 2014, appendix C.1, in the form max(l, 0) - x l + log(1 + exp(-|l|)) that cannot overflow.
    """

    def outputs(self, raw: Tensor) -> Outputs:
        """x_hat (probabilities) and logits, both [batch, *input]."""
        return {"x_hat": raw.sigmoid(), "logits": raw}

    def log_prob(self, x: Tensor, outputs: Outputs) -> Tensor:
        """The value of log p(x|z) in nats per row, [batch]; x in [0, 1]."""
        entropy = functional.binary_cross_entropy_with_logits(outputs["logits"], x, reduction="none")  # [batch, *input]
        return -entropy.flatten(1).sum(1)  # [batch]

    def constants(self) -> dict[str, float]:
        """None: the logits say all."""
        return {}


class Gaussian(Law):
    """Independent normal dimensions: log p = -1/2 sum(((x - x_hat) / std)^2 + log(2 pi std^2)), one std for all.

    Args:
        std: fixed, in the data's units; None learns one scalar for all dimensions, from 1 at the start.

    Source:
        Kingma and Welling 2014, appendix C.2; the learned shared scalar as in O. Rybkin, K. Daniilidis and S. Levine,
        "Simple and Effective VAE Training with Calibrated Decoders", ICML 2021, section 3.
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
        scaled = (x - outputs["x_hat"]) * (-self.log_std).exp()  # [batch, *input]
        terms = scaled.square() + (2 * self.log_std + math.log(2 * math.pi))  # [batch, *input]
        return -terms.flatten(1).sum(1) / 2  # [batch]

    def constants(self) -> dict[str, float]:
        """The shared standard deviation, in the data's units."""
        return {"std": math.exp(float(self.log_std.detach())) if self._fixed is None else self._fixed}


def build(name: Likelihood, *, std: float | None) -> Law:
    """The law of that name; `std` is for gaussian alone."""
    return Bernoulli() if name == "bernoulli" else Gaussian(std)
