"""The interface of a likelihood p(x|z)."""

from abc import ABC, abstractmethod
from typing import Final

import torch
from torch import Tensor, nn

Outputs = dict[str, Tensor]

LOG_BOUNDS: Final = (-30.0, 20.0)  # of a decoder's x_logvar and x_logscale: their exponentials stay finite in float32


class Likelihood(nn.Module, ABC):
    """`outputs` names a decoder's results, x_hat first, the mean of p(x|z) in the data's own units."""

    parts: int = 1
    """Raw values that the decoder's last layer gives for each value of x, side by side on axis 1."""

    def standardised(self, x: Tensor) -> Tensor:
        """What an encoder sees of x [batch, *input]: x itself, but for columns whose units a table tells."""
        return x

    @abstractmethod
    def outputs(self, raw: Tensor) -> Outputs:
        """The decoder's outputs in contract order, each [batch, *input], from raw [batch, parts * input[0], ...]."""

    def raw_at(self, mean: Tensor) -> Tensor:
        """Raw values whose x_hat is a given mean, [parts * input[0], ...] from [*input]; the scale's part is 0."""
        return torch.cat([mean, *[torch.zeros_like(mean)] * (self.parts - 1)])

    @abstractmethod
    def log_prob(self, x: Tensor, outputs: Outputs) -> Tensor:
        """The value of log p(x|z) in nats, summed over each row, [batch], for x [batch, *input] and outputs of z."""

    @abstractmethod
    def constants(self) -> dict[str, float]:
        """Scalars that scoring needs besides the outputs, and that do not depend on z."""
