"""Fully connected layers, for rows of any shape: x is flattened, the output is shaped back."""

import math
from itertools import pairwise

from torch import Tensor, nn

from reparam_train.nets import ACTIVATION
from reparam_train.options import Activation


def _layers(widths: tuple[int, ...], activation: Activation) -> nn.Sequential:
    """Linear and activation, once for each pair of neighbouring widths."""
    pairs = [(nn.Linear(before, after), ACTIVATION[activation]()) for before, after in pairwise(widths)]
    return nn.Sequential(*(layer for pair in pairs for layer in pair))


class Encoder(nn.Module):
    """x [batch, *input_shape] to features [batch, width].

    Args:
        input_shape: of one row.
        hidden: widths from the input inwards.
        activation: after each layer.
    """

    def __init__(self, input_shape: tuple[int, ...], hidden: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        self.layers = _layers((math.prod(input_shape), *hidden), activation)
        self.width = hidden[-1]

    def forward(self, x: Tensor) -> Tensor:
        """The features of x."""
        features: Tensor = self.layers(x.flatten(1))  # [batch, width]
        return features


class Decoder(nn.Module):
    """z [batch, latent] to raw [batch, *input_shape], with the encoder's widths in reverse."""

    def __init__(
        self, input_shape: tuple[int, ...], hidden: tuple[int, ...], activation: Activation, latent: int
    ) -> None:
        super().__init__()
        self.layers = _layers((latent, *reversed(hidden)), activation)
        self.last = nn.Linear(hidden[0], math.prod(input_shape))
        self.shape = nn.Unflatten(1, input_shape)

    def forward(self, z: Tensor) -> Tensor:
        """The raw output for z."""
        raw: Tensor = self.shape(self.last(self.layers(z)))  # [batch, *input]
        return raw
