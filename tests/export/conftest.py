"""Small models with random weights, and their bundles."""

from pathlib import Path

import pytest

import reparam_export
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

CONFIGS = {
    "mlp-bernoulli": VAEConfig(net="mlp", input_shape=(24,), latent=3, hidden=(16, 8)),
    "mlp-gaussian": VAEConfig(net="mlp", input_shape=(2, 5), latent=4, hidden=(16,), likelihood="gaussian", std=0.3),
    "conv-bernoulli": VAEConfig(net="conv", input_shape=(1, 8, 8), latent=5, hidden=(8, 16), activation="silu"),
    "mlp-uniform": VAEConfig(net="mlp", input_shape=(7,), latent=3, hidden=(8,), posterior="uniform"),
    "conv-laplace": VAEConfig(net="conv", input_shape=(1, 5, 6), latent=2, hidden=(4,), posterior="laplace"),
    "mlp-laplace": VAEConfig(net="mlp", input_shape=(6,), latent=2, hidden=(8,), likelihood="laplace"),
    "conv-gaussian-scaled": VAEConfig(
        net="conv", input_shape=(2, 6, 5), latent=2, hidden=(4,), likelihood="gaussian", scale="per-dimension"
    ),
    "conv-gaussian": VAEConfig(net="conv", input_shape=(3, 9, 7), latent=2, hidden=(4, 8), likelihood="gaussian"),
}


SHIPPED = Path(__file__).resolve().parents[2] / "models" / "digits"


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[VAE, Path]]:
    """A model of each net and likelihood, and the folder of its bundle."""
    made: dict[str, tuple[VAE, Path]] = {}
    for name, config in CONFIGS.items():
        model = VAE.build(config, seed=7)
        folder = tmp_path_factory.mktemp("bundles") / name
        reparam_export.export(model, folder)
        made[name] = model, folder
    return made


@pytest.fixture(params=list(CONFIGS))
def exported(request: pytest.FixtureRequest, bundles: dict[str, tuple[VAE, Path]]) -> tuple[VAE, Path]:
    """Each model and the folder of its bundle."""
    return bundles[request.param]


@pytest.fixture(params=[*CONFIGS, "shipped"])
def bundle(request: pytest.FixtureRequest, bundles: dict[str, tuple[VAE, Path]]) -> Path:
    """Each bundle that the tests export, and the one that ships."""
    return SHIPPED if request.param == "shipped" else bundles[request.param][1]


@pytest.fixture
def model() -> VAE:
    """The smallest model."""
    return VAE.build(CONFIGS["mlp-bernoulli"], seed=7)
