"""Layers: an encoder, heads for the moments of q(z|x), and a decoder, each built from the whole configuration.

A room of this package has `Encoder(config)`, which gives features and makes the heads that turn them into mean and
logvar [batch, *latent_shape], and `Decoder(config)`, from z to the raw output [batch, *raw_shape]. own.py takes
anyone's pair instead. No layer looks at another row (no batch norm) and none draws (no dropout), so that a row's result
depends on the row alone.
"""

from typing import Final

from torch import nn

from reparam_train.options import Activation

ACTIVATION: Final[dict[Activation, type[nn.Module]]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}
