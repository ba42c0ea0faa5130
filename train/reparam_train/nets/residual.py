"""The blocks of a residual net over one or two sides: group norm, residual block, self-attention.

None of them has a weight or a rule that depends on the size of the map.
"""

import math
from itertools import pairwise
from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from reparam_train.nets import ACTIVATION
from reparam_train.nets.upsample import CONVOLUTION
from reparam_train.options import Activation

_GROUPS: Final = 32
_CHANNELS: Final = 4  # of a group, at least: those of 128 channels in 32 groups, the narrowest level of Rombach et al.


def groups(channels: int) -> int:
    """The largest divisor of the channels that is at most 32 and leaves a group 4 channels, or else 1.

    Examples:
        >>> [groups(channels) for channels in (6, 16, 48, 128, 512)]
        [1, 4, 12, 32, 32]
    """
    return max(n for n in range(1, _GROUPS + 1) if channels % n == 0 and (n == 1 or channels // n >= _CHANNELS))


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm` whose traced graph reads no size at run time where height and width are fixed.

    Source:
        Y. Wu and K. He, "Group Normalization", ECCV 2018 (arXiv:1803.08494), equations 1, 2 and 7.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(groups(channels), channels, eps=1e-6)  # pyright: ignore[reportUnknownMemberType]  # torch's; eps of Rombach et al.

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name for it
        """[batch, channels, *sides], each group with mean 0 and variance 1, then scaled and shifted by channel."""
        shape = input.shape[1:]
        flat = input.reshape(-1, self.num_groups, math.prod(shape) // self.num_groups)  # [batch, groups, their values]
        normal = functional.instance_norm(flat, eps=self.eps)
        maps = normal.reshape(-1, *shape)  # [batch, channels, *sides]
        by_channel = (-1, *[1] * (len(shape) - 1))
        result: Tensor = maps * self.weight.view(by_channel) + self.bias.view(by_channel)
        return result


class ResidualBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), [batch, before, *sides] to [batch, after, *sides].

    Where the channels change, a convolution of kernel 1 carries x over. The last convolution starts like any other, as
    in the autoencoders of Rombach et al. (it is their diffusion net whose last one starts at 0).

    Source:
        K. He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016 (arXiv:1603.05027), figure 4e.
    """

    def __init__(self, before: int, after: int, *, sides: int, activation: Activation) -> None:
        super().__init__()
        conv = CONVOLUTION[sides]
        layers = [
            (GroupNorm(one), ACTIVATION[activation](), conv(one, other, kernel_size=3, padding=1))
            for one, other in pairwise((before, after, after))
        ]
        self.layers = nn.Sequential(*(layer for three in layers for layer in three))
        self.shortcut = nn.Identity() if before == after else conv(before, after, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """The block's result."""
        carried, changed = self.shortcut(x), self.layers(x)
        result: Tensor = carried + changed
        return result


class Attention(nn.Module):
    """x + out(softmax(q k^T / sqrt(channels)) v) over all places of a map, one head; x [batch, channels, *sides].

    Source:
        A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017 (arXiv:1706.03762), equation 1, behind a group norm
        as in Rombach et al. 2022.
    """

    def __init__(self, channels: int, *, sides: int) -> None:
        super().__init__()
        conv = CONVOLUTION[sides]
        self.norm = GroupNorm(channels)
        self.query, self.value, self.out = (conv(channels, channels, kernel_size=1) for _ in range(3))
        self.key = conv(channels, channels, kernel_size=1, bias=False)  # softmax ignores what all places share
        self._scale = channels**-0.5

    def forward(self, x: Tensor) -> Tensor:
        """The map, each place with what it found in the others."""
        normal = self.norm(x)
        query, key, value = (part(normal).flatten(2) for part in (self.query, self.key, self.value))  # [b, c, places]
        weights = (query.transpose(1, 2) @ key * self._scale).softmax(-1)  # [batch, places, places]
        found = value @ weights.transpose(1, 2)  # [batch, channels, places]
        out: Tensor = self.out(found.reshape(-1, *x.shape[1:]))  # [batch, channels, *sides]
        return x + out
