"""Strided convolutions, for images (channels, height, width) of any size from 4 x 4.

Kernel 3, stride 2, padding 1 takes a side of s to ceil(s / 2). The transposed layer takes s to 2 s - 1 + its output
padding; 1 where the larger side is even, else 0, gives back exactly the size that the encoder saw.
V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016 (arXiv:1603.07285), sections 2.4
and 4.6.
"""

import math

from torch import Tensor, nn

from reparam_train.nets import ACTIVATION
from reparam_train.options import Activation

Size = tuple[int, int]


def sizes(height: int, width: int, layers: int) -> list[Size]:
    """(height, width) before the first layer and after each: every side is halved, rounded up.

    Examples:
        >>> sizes(28, 9, 2)
        [(28, 9), (14, 5), (7, 3)]
    """
    found = [(height, width)]
    for _ in range(layers):
        found.append(((found[-1][0] + 1) // 2, (found[-1][1] + 1) // 2))
    return found


class Encoder(nn.Module):
    """x [batch, channels, height, width] to features [batch, width of the last layer, flattened].

    Args:
        input_shape: (channels, height, width).
        hidden: channels after each convolution, from the input inwards.
        activation: after each layer.
    """

    def __init__(self, input_shape: tuple[int, ...], hidden: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        channels, height, width = input_shape
        layers: list[nn.Module] = []
        for before, after in zip((channels, *hidden), hidden, strict=False):
            layers += [nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1), ACTIVATION[activation]()]
        self.layers = nn.Sequential(*layers)
        self.width = hidden[-1] * math.prod(sizes(height, width, len(hidden))[-1])

    def forward(self, x: Tensor) -> Tensor:
        """The features of x."""
        maps: Tensor = self.layers(x)  # [batch, hidden[-1], h, w]
        return maps.flatten(1)  # [batch, width]


class Decoder(nn.Module):
    """z [batch, latent] to raw [batch, channels, height, width], with the encoder's layers in reverse."""

    def __init__(
        self, input_shape: tuple[int, ...], hidden: tuple[int, ...], activation: Activation, latent: int
    ) -> None:
        super().__init__()
        channels, height, width = input_shape
        path = sizes(height, width, len(hidden))
        smallest = (hidden[-1], *path[-1])
        layers: list[nn.Module] = [nn.Linear(latent, math.prod(smallest)), nn.Unflatten(1, smallest)]
        inwards = (channels, *hidden)
        for place in range(len(hidden), 0, -1):
            odd = [1 - side % 2 for side in path[place - 1]]  # output padding: 1 where the larger side is even
            layers += [
                ACTIVATION[activation](),
                nn.ConvTranspose2d(
                    inwards[place],
                    inwards[place - 1],
                    kernel_size=3,
                    stride=2,
                    padding=1,
                    output_padding=(odd[0], odd[1]),
                ),
            ]
        self.last = layers.pop()
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """The raw output for z."""
        raw: Tensor = self.last(self.layers(z))  # [batch, channels, height, width]
        return raw
