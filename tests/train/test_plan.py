import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from reparam.errors import OptionError
from reparam_train.cli import train
from reparam_train.data import Data
from reparam_train.loop import fit
from reparam_train.model import VAE
from reparam_train.options import UPSAMPLES, Objective, Options, Posterior, Upsample, config_for
from reparam_train.plan import plan, told


@pytest.mark.parametrize("posterior", ["normal", "none"])
def test_a_plan_tells_the_run_that_follows(tmp_path: Path, digits: Data, posterior: Posterior) -> None:
    config = config_for(digits, hidden=(4, 6), latent=3, posterior=posterior)
    options = Options(epochs=2, limit=100, device="cpu", objective="autoencoder" if posterior == "none" else "elbo")
    found, result = plan(digits, config, options), fit(digits, config, options, out=tmp_path / "run")
    model = VAE.build(config, seed=0)
    assert found.steps == result.steps == 2 * found.steps_per_epoch
    assert found.parameters["all"] == sum(value.numel() for value in model.parameters())
    assert found.parameters["encoder"] + found.parameters["decoder"] == found.parameters["all"]
    encoded = {"z": (3,)} if posterior == "none" else {"mean": (3,), "logvar": (3,), "z": (3,)}
    assert found.outputs == encoded | {"x_hat": (1, 8, 8), "logits": (1, 8, 8)}


@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize("objective", ["elbo", "iwae", "moments"])
def test_a_plan_shows_a_spatial_latent(digits: Data, upsample: Upsample, objective: Objective) -> None:
    config = config_for(digits, net="resnet", hidden=(4, 8), attention=True, upsample=upsample, latent=3)
    found = plan(digits, config, Options(objective=objective, batch_size=10))
    assert found.outputs["mean"] == found.outputs["z"] == (3, 4, 4)
    assert found.parameters["all"] == sum(value.numel() for value in VAE.build(config, seed=0).parameters())
    assert found.memory["batch"] == 4 * 10 * (64 + 48)
    assert ("mean", "3 x 4 x 4") in told(found)


def test_the_memory_kept_for_the_gradient_grows_with_the_batch(digits: Data) -> None:
    config = config_for(digits, net="mlp", hidden=(10,), latent=2)
    small, large = (plan(digits, config, Options(batch_size=size)).memory for size in (100, 200))
    assert small["weights"] == large["weights"] == 16 * sum(p.numel() for p in VAE.build(config, seed=0).parameters())
    assert large["kept"] - small["kept"] == pytest.approx(small["kept"], rel=0.01)
    assert small["kept"] >= 4 * 100 * (10 + 10 + 2 * 2)  # at least the hidden layers and the posterior
    assert small["batch"] == 4 * 100 * (64 + 2)


def test_a_plan_refuses_what_training_would_refuse(digits: Data) -> None:
    with pytest.raises(OptionError, match="objective: autoencoder goes with posterior none"):
        plan(digits, config_for(digits), Options(objective="autoencoder"))


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, more: list[str]) -> None:
    state = torch.get_rng_state()
    command = ["digits", "--out", str(tmp_path / "run"), "--objective", "iwae", "--samples", "5", "--dry-run", *more]
    done = CliRunner().invoke(train, command)
    assert done.exit_code == 0, done.output
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(torch.get_rng_state(), state)
    if more:
        found = json.loads(done.stdout)
        assert found["record"]["options"]["samples"] == 5
        assert found["steps_per_epoch"] == 24
    else:
        assert "importance-weighted bound with 5 samples" in done.stdout
        assert "2,400, 24 an epoch" in done.stdout
