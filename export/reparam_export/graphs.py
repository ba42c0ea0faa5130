"""The two graphs as modules: the contract's inputs and outputs around a source's functions, nothing random inside."""

import torch
from torch import Tensor, nn

from reparam_export.source import Source


class EncoderGraph(nn.Module):
    """x [batch, *input] and eps [batch, *latent] to mean, logvar and z = mean + exp(logvar / 2) * eps.

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), section 2.4.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.module = source.module  # registered, so that the tracer sees its weights
        self._encode = source.encode

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """mean, logvar, z; each [batch, *latent]."""
        mean, logvar = self._encode(x)
        return mean, logvar, mean + torch.exp(logvar / 2) * eps


class CodeGraph(nn.Module):
    """x [batch, *input] to z [batch, *latent]: the encoder of a plain autoencoder, which takes no noise."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.module = source.module
        self._encode = source.encode

    def forward(self, x: Tensor) -> Tensor:
        """Z."""
        (z,) = self._encode(x)
        return z


class DecoderGraph(nn.Module):
    """z [batch, *latent] to x_hat, then what the likelihood is scored with; each [batch, *input]."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.module = source.module
        self._decode = source.decode

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        """The outputs in the order of the contract."""
        return tuple(self._decode(z).values())
