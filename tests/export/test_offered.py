"""Every net, likelihood, posterior and objective that is offered trains, exports, and agrees in the runtime."""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import reparam
import reparam_export
from reparam.errors import OptionError
from reparam_train.checkpoint import read_run
from reparam_train.data import Data, load
from reparam_train.loop import fit
from reparam_train.model import VAE
from reparam_train.options import LIKELIHOODS, NETS, OBJECTIVES, POSTERIORS, Options, VAEConfig, config_for

# what a likelihood may be given besides its name
LIKELIHOOD_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "bernoulli": [{}],
    "gaussian": [{}, {"std": 0.3}, {"scale": "per-dimension"}, {"scale": "optimal"}],
    "laplace": [{}, {"std": 0.3}, {"scale": "per-dimension"}],
}
# digits are no table: mixed is in test_tables.py
CHOSEN = [
    {"likelihood": likelihood, **more} for likelihood in LIKELIHOODS for more in LIKELIHOOD_OPTIONS.get(likelihood, [])
]
LAWS = [
    (posterior, objective)
    for posterior, objective in itertools.product(POSTERIORS, OBJECTIVES)
    if (posterior == "none") == (objective == "autoencoder")
]


def own(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    """Two linear layers, as anyone may write them."""
    sizes = math.prod(config.input_shape), math.prod(config.latent_shape)
    encoder = Moments(*(nn.Linear(*sizes) for _ in range(1 if config.posterior == "none" else 2)))
    raw = nn.Linear(sizes[1], math.prod(config.raw_shape))
    return encoder, nn.Sequential(raw, nn.Unflatten(1, config.raw_shape))


class Moments(nn.Module):
    """A linear map of x for each moment."""

    def __init__(self, *heads: nn.Linear) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(head(x.flatten(1)) for head in self.heads)


# the shape that digits are read in, and the options of the net; the first three stand for NETS
VARIANTS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "mlp": ((1, 8, 8), {"net": "mlp", "hidden": (8,)}),
    "conv": ((1, 8, 8), {"net": "conv", "hidden": (4, 6)}),
    "resnet": ((1, 8, 8), {"net": "resnet", "hidden": (4, 8)}),
    "conv-nearest": ((1, 8, 8), {"net": "conv", "hidden": (4, 6), "upsample": "nearest"}),
    "conv-subpixel": ((1, 8, 8), {"net": "conv", "hidden": (4, 6), "upsample": "subpixel"}),
    "conv-signal": ((8, 8), {"net": "conv", "hidden": (4, 6, 6)}),
    "conv-signal-nearest": ((8, 8), {"net": "conv", "hidden": (4,), "upsample": "nearest"}),
    "conv-length-subpixel": ((64,), {"net": "conv", "hidden": (4, 6), "upsample": "subpixel"}),
    "resnet-attention": ((1, 8, 8), {"net": "resnet", "hidden": (4, 8), "attention": True, "upsample": "subpixel"}),
    "resnet-signal": ((8, 8), {"net": "resnet", "hidden": (4, 8), "upsample": "transposed"}),
    "own": ((1, 8, 8), {"net": own}),
}
OFFERED = [(net, likelihood, *law) for net, likelihood, law in itertools.product(NETS, CHOSEN, LAWS)] + [
    (net, likelihood, *LAWS[(3 * place + start) % len(LAWS)])  # each likelihood once, each law in turn
    for start, net in enumerate(sorted(VARIANTS.keys() - set(NETS)))
    for place, likelihood in enumerate(CHOSEN)
]


def digits_as(shape: tuple[int, ...]) -> Data:
    digits = load("digits")
    parts = [dataclasses.replace(part, shape=shape) for part in (digits.train, digits.test)]
    layout = "features" if len(shape) == 1 else "channels_first"
    return dataclasses.replace(digits, train=parts[0], test=parts[1], layout=layout)


def covering() -> list[Any]:
    """Few of them that show each value of each part: greedily, the one that shows most of what is missing."""
    missing = {str(value) for case in OFFERED for value in case}
    chosen: list[Any] = []
    while missing:
        chosen.append(max(OFFERED, key=lambda case: len(missing.intersection(map(str, case)))))
        missing -= set(map(str, chosen[-1]))
    return chosen


def told(case: Any) -> str:
    net, likelihood, posterior, objective = case
    return "-".join([net, *map(str, likelihood.values()), posterior, objective])


def run_and_bundle(case: Any, folder: Path, *, steps: int) -> tuple[VAE, Path]:
    net, likelihood, posterior, objective = case
    shape, layers = VARIANTS[net]
    digits = digits_as(shape)
    config = config_for(digits, **layers, latent=3, posterior=posterior, **likelihood)
    more = {"samples": 3} if objective == "iwae" else {}
    options = Options(epochs=1, batch_size=8, limit=8 * steps, objective=objective, device="cpu", **more)
    assert fit(digits, config, options, out=folder / "run").steps == steps
    reparam_export.export(folder / "run", folder / "bundle")
    return read_run(folder / "run").model, folder / "bundle"


def check_agreement(model: VAE, bundle: Path) -> None:
    """The runtime against PyTorch, on the test digits."""
    shape, latent = model.config.input_shape, model.config.latent_shape
    x = digits_as(shape).test.batch(np.arange(20))
    with reparam.load(bundle, device="cpu") as vae, torch.no_grad():
        if model.config.posterior == "none":
            wanted = model.code(torch.from_numpy(x))
            found = vae.sample(x)
            with pytest.raises(OptionError, match="a deterministic autoencoder has no posterior"):
                vae.encode(x)
        else:
            law = model.config.law
            mean, logvar = model.encode(torch.from_numpy(x))
            wanted = mean + (logvar / 2).exp() * torch.from_numpy(reparam.noise(law, 7, range(20), latent))
            found = vae.sample(x, seed=7)
            assert vae.info().noise == law
            np.testing.assert_array_equal(vae.interpolate(x[:2], x[2:4], steps=3)[:, 0], vae.reconstruct(x[:2]))
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)
        outputs = model.decode(wanted)
        np.testing.assert_allclose(vae.decode(found), outputs["x_hat"].numpy(), rtol=1e-4, atol=1e-5)
        assert list(vae.manifest.decoder_outputs) == list(outputs)
        assert vae.generate(4, seed=7).shape == (4, *shape)
    assert reparam.verify(bundle, device="cpu")


@pytest.mark.parametrize("case", covering(), ids=told)
def test_each_part_that_is_offered_trains_exports_and_agrees(case: Any, tmp_path: Path) -> None:
    check_agreement(*run_and_bundle(case, tmp_path, steps=5))


@pytest.mark.slow
@pytest.mark.parametrize("case", OFFERED, ids=told)
def test_every_combination_that_is_offered_trains_50_steps_exports_and_agrees(case: Any, tmp_path: Path) -> None:
    check_agreement(*run_and_bundle(case, tmp_path, steps=50))
