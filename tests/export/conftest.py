"""Small models with random weights, their bundles, and how a bundle is held against someone else's model."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import reparam
import reparam_export
from reparam.errors import ReparamError
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


Encode = Callable[[Tensor], Mapping[str, Tensor]]
Decode = Callable[[Tensor], Tensor]
Agree = Callable[..., None]
Refused = Callable[..., str]


@pytest.fixture(scope="session")
def agree() -> Agree:
    """Holds a bundle against functions of PyTorch to 1e-4 and 1e-3 of the value, at batches 1, 3, 5 and given shapes.

    encode gives mean and logvar, or z alone; decode x_hat. Both are the model's own interface.
    """

    def check(folder: Path, encode: Encode, decode: Decode, shapes: Iterable[tuple[int, ...]]) -> None:
        with reparam.load(folder, device="cpu", threads=1) as vae:
            low, high = vae.manifest.input.low, vae.manifest.input.high
            for shape in shapes:
                for batch in (1, 3, 5):
                    x = reparam.noise("uniform", 9, range(batch), shape, stream="data")
                    if low is not None and high is not None:
                        x = (low + (high - low) * (x / np.sqrt(12) + 0.5)).clip(low, high).astype(np.float32)
                    check_rows(vae, encode, decode, x)
        assert reparam.verify(folder, device="cpu")

    def check_rows(vae: reparam.VAE, encode: Encode, decode: Decode, x: np.ndarray) -> None:
        with torch.no_grad():
            wanted = {name: value.numpy() for name, value in encode(torch.from_numpy(x)).items()}
            if "z" in wanted:
                found = {"z": vae.sample(x)}
            else:
                q = vae.encode(x)
                eps = reparam.noise("normal", 9, range(len(x)), wanted["mean"].shape[1:])
                wanted["z"] = wanted["mean"] + np.exp(wanted["logvar"] / 2) * eps
                found = {"mean": q.mean, "logvar": q.logvar, "z": vae.sample(x, eps=eps)}
            wanted["x_hat"] = decode(torch.from_numpy(wanted["z"])).numpy()
        found["x_hat"] = vae.decode(wanted["z"])
        for name, value in wanted.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4, err_msg=name)

    return check


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Exports over an old bundle, which must stay as it was to the byte; gives the one line that says why."""

    def check(model: Any, error: type[ReparamError], **options: Any) -> str:
        shutil.copytree(SHIPPED, tmp_path / "old")
        before = {file.name: file.read_bytes() for file in SHIPPED.iterdir()}
        with pytest.raises(error) as caught:
            reparam_export.export(model, tmp_path / "old", **options)
        assert {file.name: file.read_bytes() for file in (tmp_path / "old").iterdir()} == before
        assert "\n" not in str(caught.value)
        shutil.rmtree(tmp_path / "old")
        return str(caught.value)

    return check
