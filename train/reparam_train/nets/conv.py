"""Strided convolutions over one or two sides, for signals and images of any size from 4.

Kernel 3, stride 2, padding 1 takes a side of s to ceil(s / 2); the decoder's layers (see upsample.py) give back exactly
the sizes that the encoder saw. V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016
(arXiv:1603.07285), sections 2.4 and 4.6. Rows of shape (length,) are read as one channel.
"""

import math

from torch import Tensor, nn

from reparam_train import sizes
from reparam_train.nets import ACTIVATION
from reparam_train.nets.upsample import CONVOLUTION, upsample
from reparam_train.options import UPSAMPLE, VAEConfig


def halved(sides: tuple[int, ...], layers: int) -> list[tuple[int, ...]]:
    """The sides before the first layer and after each: every side is halved, rounded up.

    Examples:
        >>> halved((28, 9), 2)
        [(28, 9), (14, 5), (7, 3)]
    """
    found = [sides]
    for _ in range(layers):
        found.append(tuple((side + 1) // 2 for side in found[-1]))
    return found


class Encoder(nn.Module):
    """x [batch, *input_shape] to features [batch, width]: the last map, hidden[-1] channels, flattened."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        channels, *sides = sizes.maps(config.input_shape)
        layers: list[nn.Module] = [] if len(config.input_shape) > 1 else [nn.Unflatten(1, (1, *sides))]
        for before, after in zip((channels, *config.hidden), config.hidden, strict=False):
            conv = CONVOLUTION[len(sides)](before, after, kernel_size=3, stride=2, padding=1)
            layers += [conv, ACTIVATION[config.activation]()]
        self.layers = nn.Sequential(*layers)
        width = config.hidden[-1] * math.prod(halved(tuple(sides), len(config.hidden))[-1])
        self._widths = width, config.latent

    def head(self) -> nn.Module:
        """A layer from the features to one moment, [batch, latent]."""
        return nn.Linear(*self._widths)

    def forward(self, x: Tensor) -> Tensor:
        """The features of x."""
        maps: Tensor = self.layers(x)  # [batch, hidden[-1], *sides]
        return maps.flatten(1)  # [batch, width]


class Decoder(nn.Module):
    """z [batch, latent] to raw [batch, *raw_shape], with the encoder's layers in reverse."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        sides = sizes.maps(config.input_shape)[1:]
        path = halved(sides, len(config.hidden))
        smallest = (config.hidden[-1], *path[-1])
        layers: list[nn.Module] = [nn.Linear(config.latent, math.prod(smallest)), nn.Unflatten(1, smallest)]
        outwards = (math.prod(config.raw_shape) // math.prod(sides), *config.hidden)
        kind = config.upsample or UPSAMPLE["conv"]
        *inner, end = [
            upsample(kind, outwards[place], outwards[place - 1], odd=tuple(side % 2 == 1 for side in path[place - 1]))
            for place in range(len(config.hidden), 0, -1)
        ]
        for up in inner:
            layers += [ACTIVATION[config.activation](), *up.before, up.layer, *up.after]
        self.layers = nn.Sequential(*layers, ACTIVATION[config.activation](), *end.before)
        self.last, self.after = end.layer, nn.Sequential(*end.after)
        self._flat = len(config.input_shape) == 1

    def forward(self, z: Tensor) -> Tensor:
        """The raw output for z."""
        raw: Tensor = self.after(self.last(self.layers(z)))  # [batch, channels, *sides]
        return raw.flatten(1) if self._flat else raw
