"""Every net, likelihood, posterior and objective that is offered trains, exports, and agrees in the runtime."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reparam
import reparam_export
from reparam.errors import OptionError
from reparam_train.checkpoint import read_run
from reparam_train.data import load
from reparam_train.loop import fit
from reparam_train.model import VAE
from reparam_train.options import LIKELIHOODS, NETS, OBJECTIVES, POSTERIORS, Options, config_for

# what a likelihood may be given besides its name
LIKELIHOOD_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "bernoulli": [{}],
    "gaussian": [{}, {"std": 0.3}, {"scale": "per-dimension"}, {"scale": "optimal"}],
    "laplace": [{}, {"std": 0.3}, {"scale": "per-dimension"}],
}
OFFERED = [
    (net, {"likelihood": likelihood, **more}, posterior, objective)
    for net, likelihood, posterior, objective in itertools.product(NETS, LIKELIHOODS, POSTERIORS, OBJECTIVES)
    for more in LIKELIHOOD_OPTIONS.get(likelihood, [])  # digits are no table: mixed is in test_tables.py
    if (posterior == "none") == (objective == "autoencoder")
]


def covering() -> list[Any]:
    """The fewest of them, taken greedily, that show each value of each part."""
    seen: set[str] = set()
    chosen: list[Any] = []
    for case in sorted(OFFERED, key=lambda case: OFFERED.index(case) * 7919 % len(OFFERED)):
        values = {str(value) for value in case}
        if values - seen:
            seen |= values
            chosen.append(case)
    return chosen


def told(case: Any) -> str:
    net, likelihood, posterior, objective = case
    return "-".join([net, *map(str, likelihood.values()), posterior, objective])


def run_and_bundle(case: Any, folder: Path, *, steps: int) -> tuple[VAE, Path]:
    net, likelihood, posterior, objective = case
    digits = load("digits")
    hidden = (8,) if net == "mlp" else (4, 6)
    config = config_for(digits, net=net, hidden=hidden, latent=3, posterior=posterior, **likelihood)
    more = {"samples": 3} if objective == "iwae" else {}
    options = Options(epochs=1, batch_size=8, limit=8 * steps, objective=objective, device="cpu", **more)
    assert fit(digits, config, options, out=folder / "run").steps == steps
    reparam_export.export(folder / "run", folder / "bundle")
    return read_run(folder / "run").model, folder / "bundle"


def check_agreement(model: VAE, bundle: Path) -> None:
    """The runtime against PyTorch, on the test digits."""
    x = load("digits").test.batch(np.arange(20))
    with reparam.load(bundle, device="cpu") as vae, torch.no_grad():
        if model.config.posterior == "none":
            wanted = model.code(torch.from_numpy(x))
            found = vae.sample(x)
            with pytest.raises(OptionError, match="a deterministic autoencoder has no posterior"):
                vae.encode(x)
        else:
            law = model.config.law
            mean, logvar = model.encode(torch.from_numpy(x))
            wanted = mean + (logvar / 2).exp() * torch.from_numpy(reparam.noise(law, 7, range(20), (3,)))
            found = vae.sample(x, seed=7)
            assert vae.info().noise == law
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)
        outputs = model.decode(wanted)
        np.testing.assert_allclose(vae.decode(found), outputs["x_hat"].numpy(), rtol=1e-4, atol=1e-5)
        assert list(vae.manifest.decoder_outputs) == list(outputs)
        assert vae.generate(4, seed=7).shape == (4, 1, 8, 8)
    assert reparam.verify(bundle, device="cpu")


@pytest.mark.parametrize("case", covering(), ids=told)
def test_each_part_that_is_offered_trains_exports_and_agrees(case: Any, tmp_path: Path) -> None:
    check_agreement(*run_and_bundle(case, tmp_path, steps=5))


@pytest.mark.slow
@pytest.mark.parametrize("case", OFFERED, ids=told)
def test_every_combination_that_is_offered_trains_50_steps_exports_and_agrees(case: Any, tmp_path: Path) -> None:
    check_agreement(*run_and_bundle(case, tmp_path, steps=50))
