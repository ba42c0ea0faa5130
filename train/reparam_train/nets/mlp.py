"""Fully connected layers, for rows of any shape: x is flattened, the output is shaped back."""

import math
from itertools import pairwise

from torch import Tensor, nn

from reparam_train.nets import ACTIVATION
from reparam_train.options import Activation, VAEConfig


def _layers(widths: tuple[int, ...], activation: Activation) -> nn.Sequential:
    """Linear and activation, once for each pair of neighbouring widths."""
    pairs = [(nn.Linear(before, after), ACTIVATION[activation]()) for before, after in pairwise(widths)]
    return nn.Sequential(*(layer for pair in pairs for layer in pair))


class Encoder(nn.Module):
    """x [batch, *input_shape] to features [batch, hidden[-1]], with the widths of `hidden` from the input inwards."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.layers = _layers((math.prod(config.input_shape), *config.hidden), config.activation)
        self._widths = config.hidden[-1], config.latent

    def head(self) -> nn.Module:
        """A layer from the features to one moment, [batch, latent]."""
        return nn.Linear(*self._widths)

    def forward(self, x: Tensor) -> Tensor:
        """The features of x."""
        features: Tensor = self.layers(x.flatten(1))  # [batch, hidden[-1]]
        return features


class Decoder(nn.Module):
    """z [batch, latent] to raw [batch, *raw_shape], with the encoder's widths in reverse."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.layers = _layers((config.latent, *reversed(config.hidden)), config.activation)
        shape = config.raw_shape
        self.last = nn.Linear(config.hidden[0], math.prod(shape))
        self.shape = nn.Unflatten(1, shape)

    def forward(self, z: Tensor) -> Tensor:
        """The raw output for z."""
        raw: Tensor = self.shape(self.last(self.layers(z)))  # [batch, *raw_shape]
        return raw
