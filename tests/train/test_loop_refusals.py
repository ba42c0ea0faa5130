"""Training refuses what it cannot honour, and a loss that is not finite costs no good checkpoint."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

import reparam_train.step
from reparam.errors import CheckpointError, InputError, OptionError, TrainingDiverged
from reparam_train.checkpoint import read_run
from reparam_train.data import Data, load
from reparam_train.loop import fit
from reparam_train.options import (
    Options,
    VAEConfig,
    config_for,
)
from reparam_train.step import Batch
from reparam_train.training import Training

replace = msgspec.structs.replace


def test_an_existing_run_is_never_overwritten(
    tmp_path: Path, tiny_run: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    with pytest.raises(OptionError, match="exists already; continue it with --resume, or choose another --out"):
        fit(digits, tiny_config, tiny_options, out=tiny_run)
    (tmp_path / "empty").mkdir()
    fit(digits, tiny_config, replace(tiny_options, epochs=1), out=tmp_path / "empty")


@pytest.mark.parametrize(
    ("config_change", "options_change", "message"),
    [
        ({"latent": 4}, {}, "latent: .* was started with 3, got 4"),
        ({}, {"lr": 0.5}, "lr: .* was started with 0.002, got 0.5"),
        ({}, {"seed": 6}, "seed: .* was started with 5, got 6"),
        ({}, {"epochs": 2}, "epochs: .* has begun epoch 4, got 2"),
    ],
)
def test_a_run_is_not_resumed_with_other_options(
    *,
    tiny_run: Path,
    digits: Data,
    tiny_config: VAEConfig,
    tiny_options: Options,
    config_change: dict[str, int],
    options_change: dict[str, float],
    message: str,
) -> None:
    config, options = replace(tiny_config, **config_change), replace(tiny_options, **options_change)
    with pytest.raises(OptionError, match=message):
        fit(digits, config, options, out=tiny_run, resume=True)


def test_a_run_is_not_resumed_with_other_rows_nor_from_nowhere(
    tmp_path: Path, tiny_run: Path, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((200, 8, 8), np.uint8))
    other = load(tmp_path / "rows.npy")
    with pytest.raises(InputError, match=r"rows.npy: not the rows that .* was trained on"):
        fit(other, tiny_config, tiny_options, out=tiny_run, resume=True)
    with pytest.raises(CheckpointError, match="not a training run"):
        fit(other, tiny_config, tiny_options, out=tmp_path / "nowhere", resume=True)


def test_a_loss_that_is_not_finite_stops_with_its_step_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    real = reparam_train.step.take

    def poisoned(training: Training, batch: Batch, **more: int) -> None:
        if training.step == 9:
            next(training.model.parameters()).data.fill_(math.nan)
        real(training, batch, **more)

    monkeypatch.setattr(reparam_train.step, "take", poisoned)
    with pytest.raises(TrainingDiverged, match=r"loss: must stay finite, got nan at step 9 \(batch 1 of epoch 2\)"):
        fit(digits, tiny_config, tiny_options, out=tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert run.metrics["step"] == 8
    assert all(value.isfinite().all() for value in run.model.state_dict().values())


def test_bernoulli_is_refused_for_values_outside_the_unit_interval(tmp_path: Path) -> None:
    rows = np.zeros((40, 6), np.float32)
    rows[12, 3] = -3.25
    np.save(tmp_path / "rows.npy", rows)
    data = load(tmp_path / "rows.npy")
    config = config_for(data, likelihood="bernoulli", hidden=(4,))
    with pytest.raises(InputError, match=r"values from 0 to 1, got -3.25 at row 12, column 3; scale the data or use"):
        fit(data, config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_of_another_shape_is_refused(tmp_path: Path, digits: Data) -> None:
    config = VAEConfig(net="mlp", input_shape=(64,), latent=2, hidden=(4,))
    with pytest.raises(InputError, match=r"digits: the model takes rows of shape \[64\], got \[1, 8, 8\]"):
        fit(digits, config, out=tmp_path / "run")
