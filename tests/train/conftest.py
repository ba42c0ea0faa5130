"""Small things that many tests of training share."""

from pathlib import Path

import pytest
import torch

from reparam_train.data import Data, load
from reparam_train.loop import fit
from reparam_train.options import Options, VAEConfig, config_for


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> Data:
    return load("digits")


@pytest.fixture(scope="session")
def tiny_config(digits: Data) -> VAEConfig:
    return config_for(digits, net="mlp", hidden=(16,), latent=3)


@pytest.fixture(scope="session")
def tiny_options() -> Options:
    return Options(epochs=4, batch_size=32, limit=100, validate_every=2, seed=5, device="cpu")


@pytest.fixture
def tiny_run(tmp_path: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options) -> Path:
    """A finished run of 4 epochs of 4 steps, with checkpoints after the second and the fourth."""
    fit(digits, tiny_config, tiny_options, out=tmp_path / "run")
    return tmp_path / "run"
