"""Layers: an encoder's features [batch, width] from x, and a decoder's raw output [batch, *input] from z.

No layer looks at another row (no batch norm), so that a row's result does not depend on its batch.
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
