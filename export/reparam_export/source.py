"""What an adapter makes of a model: two functions on tensors and what they mean. All that the export knows of it."""

import contextlib
import dataclasses
from collections.abc import Callable, Generator

import torch
from torch import Tensor, nn

from reparam.bundle.manifest import Bound, Input, Latent, Likelihood, Training
from reparam.verification import BOUNDS

Encode = Callable[[Tensor], tuple[Tensor, ...]]
Decode = Callable[[Tensor], dict[str, Tensor]]


@dataclasses.dataclass(frozen=True)
class Source:
    """A trained model, seen through its adapter.

    Attributes:
        name: plain name for the bundle.
        module: the model itself, or a `nn.ModuleList` of its parts; put to eval while the export looks, and back.
        encode: x [batch, *input] to mean and logvar, each [batch, *latent]; to z alone where `latent.noise` is None.
        decode: z [batch, *latent] to x_hat first, then what the likelihood is scored with, each [batch, *input].
        input: one row of x; its `factors` say that height and width are dynamic.
        latent: one row of z.
        likelihood: p(x given z) with its constants, None where nobody knows it.
        training: how it was trained, where that is known.
        bound: how far the fp32 graphs may be from the model; it stands in the manifest, and `reparam verify` holds it.
    """

    name: str
    module: nn.Module
    encode: Encode
    decode: Decode
    input: Input
    latent: Latent
    likelihood: Likelihood | None
    training: Training | None
    bound: Bound = BOUNDS["fp32"]


@contextlib.contextmanager
def in_eval_mode(module: nn.Module) -> Generator[None]:
    """The module in eval mode and without gradients; every submodule gets back the mode it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training
