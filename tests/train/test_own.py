"""Anyone's own pair of modules as the net: by name on the command line, as a function in Python."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from reparam.errors import OptionError
from reparam_train.checkpoint import read_run
from reparam_train.cli import train
from reparam_train.data import Data
from reparam_train.loop import fit
from reparam_train.model import VAE
from reparam_train.options import Options, VAEConfig, config_for
from reparam_train.plan import plan

SOURCE = '''
"""A net of two layers."""
import math
from torch import nn

class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(math.prod(config.input_shape), config.latent) for _ in range(2))

    def forward(self, x):
        return tuple(head(x.flatten(1)) for head in self.heads)

def build(config):
    raw = nn.Linear(config.latent, math.prod(config.raw_shape))
    return Encoder(config), nn.Sequential(raw, nn.Unflatten(1, config.raw_shape))
'''


class Moments(nn.Module):
    """Two linear maps of x, of any latent shape, then whatever a test wants."""

    def __init__(self, config: VAEConfig, shape: tuple[int, ...] | None = None, *after: nn.Module) -> None:
        super().__init__()
        self.shape = config.latent_shape if shape is None else shape
        sizes = math.prod(config.input_shape), math.prod(self.shape)
        self.heads = nn.ModuleList(nn.Linear(*sizes) for _ in range(2))
        self.after = nn.Sequential(*after)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.after(head(x.flatten(1))).unflatten(1, self.shape) for head in self.heads)


class Centred(Moments):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return super().forward(x - x.mean(0))


class Drawn(Moments):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return super().forward(nn.functional.dropout(x, training=self.training))


def decoder(config: VAEConfig) -> nn.Module:
    raw = nn.Linear(math.prod(config.latent_shape), math.prod(config.raw_shape))
    return nn.Sequential(nn.Flatten(), raw, nn.Unflatten(1, config.raw_shape))


def linear(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    return Moments(config), decoder(config)


def plain(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, config.latent)), decoder(config)


def spatial(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    return Moments(config, (3, 2, 2)), decoder(config)


def normed(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    return Moments(config, None, nn.BatchNorm1d(config.latent)), decoder(config)


def dropped(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    return Moments(config), nn.Sequential(nn.Dropout(0.1), decoder(config))


def centred(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    return Centred(config), decoder(config)


def drawn(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    return Drawn(config), decoder(config)


def narrow(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    return Moments(config), nn.Linear(config.latent, 5)


def fixed(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    encoder, raw = linear(config)
    return encoder.requires_grad_(False), raw.requires_grad_(False)


def one(config: VAEConfig) -> Any:
    return Moments(config)


def failing(config: VAEConfig) -> Any:
    raise RuntimeError(f"no layers for {config.latent}\nand more")


@pytest.fixture
def digits_config(digits: Data) -> Any:
    return lambda net, **more: config_for(digits, net=net, **({"latent": 3} | more))


def test_a_function_in_python_is_recorded_by_its_name_and_makes_the_model(digits_config: Any) -> None:
    config = digits_config(linear)
    assert config.net == f"{__name__}:linear"
    model = VAE.build(config, seed=1)
    mean, logvar = model.encode(torch.rand(2, 1, 8, 8))
    assert mean.shape == logvar.shape == (2, 3)
    assert model.decode(mean)["x_hat"].shape == (2, 1, 8, 8)
    again = VAE.build(config, seed=1).state_dict()
    assert all(value.equal(again[name]) for name, value in model.state_dict().items())


def test_an_own_net_may_have_a_spatial_latent_and_two_outputs(digits_config: Any) -> None:
    config = digits_config(spatial, latent_sides=(2, 2), likelihood="gaussian", scale="per-dimension")
    model = VAE.build(config, seed=1)
    assert model.encode(torch.rand(2, 1, 8, 8))[0].shape == (2, 3, 2, 2)
    assert model.decode(torch.rand(2, 3, 2, 2))["x_logvar"].shape == (2, 1, 8, 8)


def test_an_own_plain_autoencoder_gives_z_alone(digits_config: Any) -> None:
    assert VAE.build(digits_config(plain, posterior="none"), seed=1).code(torch.rand(2, 1, 8, 8)).shape == (2, 3)


def test_a_plan_of_an_own_net_makes_no_weights(digits: Data, digits_config: Any) -> None:
    found = plan(digits, digits_config(linear), Options())
    assert found.outputs["mean"] == (3,)
    assert found.parameters == {"encoder": 2 * 65 * 3, "decoder": 4 * 64, "all": 2 * 65 * 3 + 4 * 64}


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            spatial,
            r"mean of the encoder must have shape \[3, 3\], got \[3, 3, 2, 2\]; .* latent 3 and latent_sides 2,2",
        ),
        (narrow, r"raw of the decoder must have shape \[3, 1, 8, 8\], got \[3, 5\]; mend the decoder"),
        (plain, "the encoder must give mean and logvar as tensors, got Tensor; mend it"),
        (one, r"must return \(encoder, decoder\), two torch modules, got \(Moments\)"),
        (failing, "failed with RuntimeError: no layers for 3; mend it"),
        (normed, r"encoder.after.0 is a BatchNorm1d, and no layer may see other rows; use GroupNorm or LayerNorm"),
        (dropped, r"decoder.0 is a Dropout, and no layer may draw; leave it out or give it p=0"),
        (centred, "mean of the encoder must depend on its row alone"),
        (drawn, "mean of the encoder must depend on its row alone"),
    ],
)
def test_a_pair_that_breaks_the_contract_is_refused_when_the_model_is_built(
    digits_config: Any, net: Any, message: str
) -> None:
    with pytest.raises(OptionError, match=rf"^net: {__name__}:{net.__name__}.*{message}"):
        VAE.build(digits_config(net), seed=1)


def test_a_pair_that_has_nothing_to_train_is_refused_and_frozen_layers_stay_as_they_are(
    tmp_path: Path, digits: Data, digits_config: Any
) -> None:
    options = Options(epochs=1, limit=64, device="cpu")
    with pytest.raises(OptionError, match=rf"^net: {__name__}:fixed must have weights to train, got none; give it"):
        fit(digits, digits_config(fixed), options, out=tmp_path / "fixed")
    config = digits_config(fixed, likelihood="gaussian")  # its standard deviation is learned
    fit(digits, config, options, out=tmp_path / "run")
    found, first = read_run(tmp_path / "run").model.state_dict(), VAE.build(config, seed=0).state_dict()
    assert [name for name in first if not found[name].equal(first[name])] == ["likelihood.log_std"]


def test_a_function_that_no_other_program_can_import_is_refused(
    digits_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def local(config: VAEConfig) -> Any:
        return linear(config)

    for net in (local, lambda config: (Moments(config), decoder(config))):
        with pytest.raises(OptionError, match=r"net: must be a function at the top of a module, .*<locals>.*; put it"):
            digits_config(net)
    monkeypatch.setattr(linear, "__module__", "__main__")
    with pytest.raises(OptionError, match="got __main__:linear; put it into a file of its own and import it"):
        digits_config(linear)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:build", "cannot be imported .ModuleNotFoundError: No module named 'no_such_module'.; go to"),
        ("math:build", "cannot be imported .AttributeError: "),
        ("math:pi", "net: math:pi must be a function, got float; name another"),
        ("math:cos", "net: math:cos failed with TypeError: must be real number"),
    ],
)
def test_a_name_without_a_function_behind_it_is_refused(digits_config: Any, name: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        VAE.build(digits_config(name), seed=1)


@pytest.mark.parametrize("name", ["build", "a:", ":build", "a b:c", "a/b:c", "a:b:c", "a:<lambda>", ""])
def test_what_is_neither_a_net_nor_a_function_s_name_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=r"net: must be one of mlp, conv, resnet, or package\.module:function"):
        VAEConfig(net=name, input_shape=(4,), latent=1, hidden=(2,))


def test_the_command_takes_a_function_of_the_current_folder_and_finds_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_of_mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "nets_of_mine", raising=False)
    path = list(sys.path)
    command = ["digits", "--out", "run", "--device", "cpu"]
    first = ["--net", "nets_of_mine:build", "--latent", "2", "--limit", "64", "--epochs", "1"]
    for more in ([*first, "--dry-run"], first, ["--resume", "--epochs", "2", "--limit", "64"]):
        done = CliRunner().invoke(train, [*command, *more])
        assert done.exit_code == 0, done.output
    assert sys.path == path
    assert read_run(tmp_path / "run").model.encode(torch.rand(2, 1, 8, 8))[0].shape == (2, 2)
    monkeypatch.chdir("/")
    monkeypatch.delitem(sys.modules, "nets_of_mine")
    with pytest.raises(OptionError, match=r"net: nets_of_mine:build cannot be imported .*; go to the folder"):
        read_run(tmp_path / "run")
