import numpy as np
import pytest
import torch

import reparam
from reparam.errors import OptionError
from reparam.laws import LAWS, Law
from reparam_train import posteriors
from reparam_train.data import Data
from reparam_train.evaluate import elbo
from reparam_train.model import VAE
from reparam_train.options import VAEConfig, config_for


@pytest.fixture(scope="module")
def model(tiny_config: VAEConfig) -> VAE:
    return VAE.build(tiny_config, seed=1)


def test_the_same_seed_gives_the_same_elbo_to_the_last_digit(model: VAE, digits: Data) -> None:
    assert elbo(model, digits.test, seed=7) == elbo(model, digits.test, seed=7)
    assert elbo(model, digits.test, seed=7) != elbo(model, digits.test, seed=8)


def test_elbo_is_minus_rate_minus_distortion_and_rate_needs_no_noise(model: VAE, digits: Data) -> None:
    first, second = elbo(model, digits.test, seed=7), elbo(model, digits.test, seed=8)
    assert first.elbo == -(first.rate + first.distortion)
    assert first.rate == second.rate >= 0


@pytest.mark.parametrize("law", LAWS)
def test_elbo_agrees_with_the_formula_written_out_over_all_rows_at_once(digits: Data, law: Law) -> None:
    model = VAE.build(config_for(digits, net="mlp", hidden=(16,), latent=3, posterior=law), seed=1)
    x = torch.from_numpy(digits.test.batch(np.arange(299)))
    eps = torch.from_numpy(reparam.noise(law, 7, range(299), (3,)))
    with torch.no_grad():
        mean, logvar = model.encode(x)
        outputs = model.decode(mean + (logvar / 2).exp() * eps)
        log_p = (x * outputs["x_hat"].log() + (1 - x) * (1 - outputs["x_hat"]).log()).flatten(1).sum(1)
        expected = (log_p - posteriors.kl(mean, logvar, law)).double().mean().item()
    assert elbo(model, digits.test, seed=7).elbo == pytest.approx(expected, rel=1e-6)


def test_evaluation_leaves_the_mode_and_the_generator_as_they_were(model: VAE, digits: Data) -> None:
    before = torch.get_rng_state()
    for training in (True, False):
        model.train(training)
        elbo(model, digits.head(3).test, seed=0)
        assert model.training is training
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_out_of_range_is_refused(model: VAE, digits: Data) -> None:
    with pytest.raises(OptionError, match="seed: must be an integer from 0 to"):
        elbo(model, digits.test, seed=-1)
