"""Models of pythae give in a bundle what they give in PyTorch, and nats that are those of their own loss."""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reparam
import reparam_export
from reparam.bundle.manifest import Bernoulli, Gaussian
from reparam.errors import CheckpointError, ExportError, OptionError
from reparam_export.adapters.find import find_source

with warnings.catch_warnings():  # of its own imports
    warnings.simplefilter("ignore")
    models = pytest.importorskip("pythae.models", reason="needs the extra peers")
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST

IMAGES, ROWS = (1, 8, 8), (9,)


class Encoder(BaseEncoder):  # type: ignore[misc]
    """A strided convolution with batch norm, as anyone may write it for pythae."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.heads = nn.ModuleList(nn.Linear(64, 3) for _ in range(2))

    def forward(self, x: Tensor) -> Any:
        hidden = self.body(x)
        return ModelOutput(embedding=self.heads[0](hidden), log_covariance=self.heads[1](hidden))


class Decoder(BaseDecoder):  # type: ignore[misc]
    """Transposed convolution; its sigmoid is a function, and it gives rows flat."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.up = nn.Linear(3, 64), nn.ConvTranspose2d(4, 1, 4, 2, 1)

    def forward(self, z: Tensor) -> Any:
        maps = self.up(self.start(z).reshape(z.shape[0], 4, 4, 4))
        return ModelOutput(reconstruction=torch.sigmoid(4 * maps).flatten(1))


def build(kind: str, shape: tuple[int, ...] = ROWS, *nets: nn.Module, **options: Any) -> Any:
    torch.manual_seed(4)
    config = getattr(models, f"{kind}Config", None) or getattr(models, f"{kind}_Config")
    return getattr(models, kind)(config(input_dim=shape, latent_dim=3, **options), *nets)


def conv() -> Any:
    model = build("VAE", IMAGES, Encoder(), Decoder(), reconstruction_loss="bce")
    with torch.no_grad():
        model.encoder.body[1].running_mean.add_(0.5)  # as training leaves it, so that only eval mode agrees
    return model


def benchmark() -> Any:
    config = models.VAEConfig(input_dim=(1, 28, 28), latent_dim=4)
    return models.VAE(config, Encoder_Conv_VAE_MNIST(config), Decoder_Conv_AE_MNIST(config))


CASES: dict[str, Any] = {
    "mlp": lambda: build("VAE"),
    "mlp-bce": lambda: build("BetaVAE", IMAGES, reconstruction_loss="bce"),
    "conv": conv,
    "autoencoder": lambda: build("AE"),
    "benchmark": benchmark,
}
SLOW = ("autoencoder", "benchmark")
Made = tuple[str, Any, Path]


@pytest.fixture(scope="module", params=[pytest.param(c, marks=pytest.mark.slow) if c in SLOW else c for c in CASES])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The name of a case, its model in eval mode, and the folder of its bundle."""
    model, folder = CASES[request.param](), tmp_path_factory.mktemp("pythae") / request.param
    reparam_export.export(model, folder)
    assert model.training
    return request.param, model.eval(), folder


def test_the_bundle_agrees_with_the_model_at_every_batch(made: Made, agree: Any) -> None:
    _, model, folder = made
    shape = tuple(model.model_config.input_dim)

    def encode(x: Tensor) -> Mapping[str, Tensor]:
        found = model.encoder(x)
        if "log_covariance" not in found:
            return {"z": found.embedding}
        return {"mean": found.embedding, "logvar": found.log_covariance}

    agree(folder, encode, lambda z: model.decoder(z)["reconstruction"].reshape(-1, *shape), [shape])


def test_the_elbo_of_a_bundle_is_the_negative_loss_of_pythae(made: Made) -> None:
    name, model, folder = made
    if name == "autoencoder":
        pytest.skip("a plain autoencoder has no ELBO")
    shape = tuple(model.model_config.input_dim)
    x = np.abs(reparam.noise("uniform", 3, range(6), shape, stream="data") / 2).astype(np.float32)
    with reparam.load(folder, device="cpu") as vae, torch.no_grad():
        z = torch.from_numpy(vae.sample(x, seed=5))
        found, rows = model.encoder(torch.from_numpy(x)), torch.from_numpy(x)
        reconstruction = model.decoder(z)["reconstruction"]
        _, distortion, rate = model.loss_function(reconstruction, rows, found.embedding, found.log_covariance, z)
        constant = 0.5 * math.prod(shape) * math.log(2 * math.pi) if vae.manifest.likelihood == Gaussian(std=1) else 0
        wanted = -float(distortion + rate) - constant
        assert vae.elbo(x, seed=5).mean() == pytest.approx(wanted, rel=1e-5)


def test_the_likelihood_is_that_of_the_loss_and_the_range_that_of_its_sigmoid(made: Made) -> None:
    name, _, folder = made
    wanted = {"mlp": Gaussian(std=1), "mlp-bce": Bernoulli(), "conv": Bernoulli(), "benchmark": Gaussian(std=1)}
    with reparam.load(folder, device="cpu") as vae:
        assert vae.manifest.likelihood == wanted.get(name)
        assert (vae.manifest.input.low, vae.manifest.input.high) == (0, 1)
        assert vae.manifest.latent.noise == (None if name == "autoencoder" else "normal")


GAUSSIAN = {
    *("VAE", "BetaVAE", "BetaTCVAE", "DisentangledBetaVAE", "FactorVAE", "INFOVAE_MMD", "Adversarial_AE", "IWAE"),
    *("CIWAE", "MIWAE", "PIWAE"),
}
UNSCORED = {"MSSSIM_VAE", "VAEGAN"}
PLAIN = {"AE", "RAE_GP", "RAE_L2", "WAE_MMD"}
REFUSED = {"HVAE", "PoincareVAE", "RHVAE", "SVAE", "VAE_IAF", "VAE_LinNF", "VAMP", "VQVAE"}


def test_every_model_of_pythae_is_one_of_those_that_are_told_apart() -> None:
    there = {name for name in models.__all__ if "Config" not in name} - {"AutoModel", "BaseAE"}
    assert there == GAUSSIAN | UNSCORED | PLAIN | REFUSED


@pytest.mark.parametrize("kind", sorted(GAUSSIAN | UNSCORED | PLAIN))
def test_each_model_of_a_location_scale_posterior_is_taken(kind: str) -> None:
    found = find_source(build(kind, IMAGES), name=kind, input_shape=None)
    assert found.latent.shape == (3,)
    assert found.latent.noise == (None if kind in PLAIN else "normal")
    assert found.likelihood == (Gaussian(std=1) if kind in GAUSSIAN else None)


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_each_other_model_is_refused_by_name_with_the_reason(kind: str, refused: Any) -> None:
    model = getattr(models, kind).__new__(getattr(models, kind))  # some need libraries of their own to be built
    nn.Module.__init__(model)
    line = refused(model, ExportError)
    assert line.startswith(f"model: pythae's {kind} is not exported: its ")


def test_a_model_with_a_loss_of_its_own_has_no_likelihood_and_can_still_be_exported() -> None:
    class Mine(models.VAE):  # type: ignore[misc, name-defined]
        def loss_function(self, *_: Tensor) -> Any: ...

    model = Mine(models.VAEConfig(input_dim=ROWS, latent_dim=3))
    assert find_source(model, name="mine", input_shape=None).likelihood is None


def test_a_folder_of_default_nets_is_read_and_gives_the_same_bundle(tmp_path: Path) -> None:
    model = build("VAE")
    model.save(str(tmp_path / "saved"))
    ids = {reparam_export.export(m, tmp_path / f"{k}").id for k, m in enumerate((model, tmp_path / "saved"))}
    assert len(ids) == 1


def test_a_folder_with_pickled_code_is_refused_before_any_of_it_runs(tmp_path: Path, refused: Any) -> None:
    model = conv()
    model.save(str(tmp_path / "saved"))
    for net in ("encoder.pkl", "decoder.pkl"):
        (tmp_path / "saved" / net).write_bytes(b"cos\nmkdir\n(S'opened'\ntR.")
    assert "pickled code, which is not run" in refused(tmp_path / "saved", CheckpointError)
    build("VAE").save(str(tmp_path / "plain"))
    (tmp_path / "plain" / "model.pt").write_bytes(b"cos\nmkdir\n(S'opened'\ntR.")
    assert "no file of weights alone, and code is not run" in refused(tmp_path / "plain", CheckpointError)
    (tmp_path / "plain" / "model_config.json").write_text('{"name": "os.systemConfig"}')
    assert "names no model of pythae" in refused(tmp_path / "plain", CheckpointError)
    (tmp_path / "plain" / "model_config.json").write_text("[")
    assert "cannot be read" in refused(tmp_path / "plain", CheckpointError)


def test_a_shape_is_asked_for_where_the_model_says_none_and_refused_where_it_says_another(refused: Any) -> None:
    assert "the model takes rows of [9], got [8]; leave it out" in refused(build("VAE"), OptionError, input_shape=(8,))
    model = build("VAE", IMAGES, Encoder(), Decoder())
    model.model_config.input_dim = None
    assert "the model's input_dim says none" in refused(model, OptionError)
    assert find_source(model, name="conv", input_shape=IMAGES).input.shape == IMAGES
