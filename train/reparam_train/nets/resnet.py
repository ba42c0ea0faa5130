"""Residual blocks over one or two sides with a spatial latent: the autoencoder of latent diffusion, in small.

Encoder: convolution; at each level residual blocks, and between two levels a convolution of stride 2; a middle of
block, self-attention (if asked for) and block; group norm and activation; a convolution each for mean and logvar. The
decoder is the same backwards. Each level but the last halves the sides. It is fully convolutional: no weight depends on
the size of the image, so weights of one size run on any other that the levels divide.

R. Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022 (arXiv:2112.10752), in the
layout of `AutoencoderKL` of the diffusers library. What differs: padding of stride 2 is 1 on every side instead of 1 at
the end alone; no convolutions of kernel 1 on either side of the latent, which follow and precede convolutions without
anything between; and the decoder has as many blocks a level as the encoder, not one more.
"""

import math
from itertools import pairwise

from torch import Tensor, nn

from reparam_train import sizes
from reparam_train.nets import ACTIVATION
from reparam_train.nets.residual import Attention, GroupNorm, ResidualBlock
from reparam_train.nets.upsample import CONVOLUTION, upsample
from reparam_train.options import UPSAMPLE, VAEConfig


def _level(before: int, after: int, config: VAEConfig, sides: int) -> list[nn.Module]:
    """The residual blocks of one level; the first one changes the channels."""
    widths = (before, *[after] * config.blocks)
    return [ResidualBlock(one, other, sides=sides, activation=config.activation) for one, other in pairwise(widths)]


def _middle(config: VAEConfig, sides: int) -> list[nn.Module]:
    """Block, attention if asked for, block, at the smallest size."""
    channels = config.hidden[-1]
    first, last = (ResidualBlock(channels, channels, sides=sides, activation=config.activation) for _ in range(2))
    return [first, Attention(channels, sides=sides), last] if config.attention else [first, last]


class Encoder(nn.Module):
    """x [batch, *input_shape] to features [batch, hidden[-1], *latent sides]."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        channels, *lengths = sizes.maps(config.input_shape)
        sides = len(lengths)
        conv = CONVOLUTION[sides]
        layers: list[nn.Module] = [nn.Unflatten(1, (1, *lengths))] if len(config.input_shape) == 1 else []
        layers.append(conv(channels, config.hidden[0], kernel_size=3, padding=1))
        layers += _level(config.hidden[0], config.hidden[0], config, sides)
        for before, after in pairwise(config.hidden):
            layers += [conv(before, before, kernel_size=3, stride=2, padding=1), *_level(before, after, config, sides)]
        layers += [*_middle(config, sides), GroupNorm(config.hidden[-1]), ACTIVATION[config.activation]()]
        self.layers = nn.Sequential(*layers)
        self._channels, self._sides = (config.hidden[-1], config.latent), sides

    def head(self) -> nn.Module:
        """A layer from the features to one moment, [batch, latent, *latent sides]."""
        return CONVOLUTION[self._sides](*self._channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The features of x."""
        features: Tensor = self.layers(x)  # [batch, hidden[-1], *latent sides]
        return features


class Decoder(nn.Module):
    """z [batch, latent, *latent sides] to raw [batch, *raw_shape]."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        first, sides = config.hidden[0], len(sizes.maps(config.input_shape)) - 1
        conv, kind = CONVOLUTION[sides], config.upsample or UPSAMPLE["resnet"]
        layers: list[nn.Module] = [conv(config.latent, config.hidden[-1], kernel_size=3, padding=1)]
        layers += _middle(config, sides)
        layers += _level(config.hidden[-1], config.hidden[-1], config, sides)
        for before, after in pairwise(reversed(config.hidden)):
            up = upsample(kind, before, before, odd=(False,) * sides)
            layers += [*up.before, up.layer, *up.after, *_level(before, after, config, sides)]
        channels = math.prod(config.raw_shape) // math.prod(sizes.maps(config.input_shape)[1:])
        self.layers = nn.Sequential(*layers, GroupNorm(first), ACTIVATION[config.activation]())
        self.last = conv(first, channels, kernel_size=3, padding=1)
        self._flat = len(config.input_shape) == 1

    def forward(self, z: Tensor) -> Tensor:
        """The raw output for z."""
        raw: Tensor = self.last(self.layers(z))  # [batch, channels, *sides]
        return raw.flatten(1) if self._flat else raw
