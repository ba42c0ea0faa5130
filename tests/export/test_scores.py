"""Every row's ELBO and log-likelihood, from a bundle without PyTorch, are the training package's to 1e-4 nats."""

import math
from typing import Any

import numpy as np
import pytest
import torch

import reparam
import reparam_export
from reparam_train.data.columns import Column
from reparam_train.model import VAE
from reparam_train.objectives import bound, iwae
from reparam_train.options import VAEConfig

COLUMNS = (
    Column(name="size", kind="gaussian", shift=3.0, scale=2.0),
    Column(name="kind", kind="categorical", categories=("a", "b", "c")),
    Column(name="sold", kind="bernoulli"),
)
CASES: dict[str, dict[str, Any]] = {
    "bernoulli": {"likelihood": "bernoulli"},
    "bernoulli, uniform posterior": {"likelihood": "bernoulli", "posterior": "uniform"},
    "gaussian, fixed": {"likelihood": "gaussian", "std": 0.3},
    "gaussian, shared": {"likelihood": "gaussian"},
    "gaussian, optimal": {"likelihood": "gaussian", "scale": "optimal"},
    "gaussian, per dimension": {"likelihood": "gaussian", "scale": "per-dimension"},
    "gaussian, laplace posterior": {"likelihood": "gaussian", "std": 0.5, "posterior": "laplace"},
    "laplace, fixed": {"likelihood": "laplace", "std": 0.4},
    "laplace, shared": {"likelihood": "laplace"},
    "laplace, per dimension": {"likelihood": "laplace", "scale": "per-dimension"},
    "mixed": {"likelihood": "mixed", "columns": COLUMNS},
}
# each is an export of seconds: the quick ones cover an output of each kind
QUICK = {"bernoulli", "gaussian, per dimension", "mixed"}


def rows(n: int, case: dict[str, Any]) -> np.ndarray:
    """Rows of five values, as the case's likelihood takes them."""
    random = np.random.default_rng(2)
    if "columns" not in case:
        return random.random((n, 5), np.float32)
    parts = [random.normal(3, 2, (n, 1)), np.eye(3)[random.integers(0, 3, n)], random.integers(0, 2, (n, 1))]
    return np.concatenate(parts, axis=1).astype(np.float32)


def perturbed(case: dict[str, Any]) -> VAE:
    """A model none of whose constants is what it began with."""
    model = VAE.build(VAEConfig(net="mlp", input_shape=(5,), latent=3, hidden=(8,), **case), seed=7)
    with torch.no_grad():
        for number, parameter in enumerate(model.likelihood.parameters()):
            parameter.add_(-0.4 - 0.1 * number)
        x = torch.from_numpy(rows(20, case))
        model.train().log_prob(x, model.decode(torch.ones(20, 3)))  # moves what is found while training
    return model.eval()


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in CASES]
)
def scored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[VAE, reparam.VAE, np.ndarray]:
    """A model, its bundle, and rows."""
    case = CASES[request.param]
    model, folder = perturbed(case), tmp_path_factory.mktemp("scores") / "bundle"
    reparam_export.export(model, folder)
    return model, reparam.load(folder, device="cpu", threads=1, max_batch=16), rows(40, case)


def noise(model: VAE, draw: int) -> torch.Tensor:
    return torch.from_numpy(reparam.noise(model.config.law, 11, range(5, 45), (3,), draw=draw))


def test_the_elbo_of_every_row_is_that_of_training(scored: tuple[VAE, reparam.VAE, np.ndarray]) -> None:
    model, vae, x = scored
    with torch.no_grad():
        terms = bound.terms(model, torch.from_numpy(x), noise(model, 0))
    wanted = -(terms.rate + terms.distortion).double().numpy()
    np.testing.assert_allclose(vae.elbo(x, seed=11, first_row=5), wanted, rtol=0, atol=1e-4)
    np.testing.assert_allclose(vae.encode(x).kl(), terms.rate.double().numpy(), rtol=0, atol=1e-4)


def test_the_log_likelihood_of_every_row_is_that_of_training(scored: tuple[VAE, reparam.VAE, np.ndarray]) -> None:
    model, vae, x = scored
    with torch.no_grad():
        weights = iwae.log_weights(model, torch.from_numpy(x), torch.stack([noise(model, draw) for draw in range(6)]))
    wanted = (weights.double().logsumexp(0) - math.log(6)).numpy()
    np.testing.assert_allclose(vae.log_likelihood(x, samples=6, seed=11, first_row=5), wanted, rtol=0, atol=1e-4)
