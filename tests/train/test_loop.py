import csv
import json
import math
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import reparam_train.step
from reparam.errors import DeviceUnavailable, OptionError, TrainingDiverged
from reparam_train import device
from reparam_train.checkpoint import read_run
from reparam_train.data import Data
from reparam_train.loop import fit
from reparam_train.options import (
    LIKELIHOODS,
    Likelihood,
    Net,
    Objective,
    Options,
    Schedule,
    VAEConfig,
    config_for,
)
from reparam_train.schedule import step_size
from reparam_train.signals import Interrupted
from reparam_train.step import Batch
from reparam_train.training import Training

replace = msgspec.structs.replace


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_run(run).model.state_dict()


def same(first: Path, second: Path) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("net", ["mlp", "conv"])
@pytest.mark.parametrize("likelihood", [name for name in LIKELIHOODS if name != "mixed"])  # digits are no table
def test_the_test_elbo_rises(tmp_path: Path, digits: Data, net: Net, likelihood: Likelihood) -> None:
    config = config_for(digits, net=net, hidden=(32,), activation="silu", latent=2, likelihood=likelihood)
    options = Options(epochs=12, validate_every=3, lr=1e-2, device="cpu")
    fit(digits, config, options, out=tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [3, 6, 9, 12]
    assert lines[-1]["test_elbo"] > lines[0]["test_elbo"] + 0.5
    assert lines[-1]["train_loss"] < lines[0]["train_loss"] - 0.5
    assert lines[-1]["test_rate"] > 1  # not a collapsed posterior
    assert all(line["test_elbo"] == -(line["test_rate"] + line["test_distortion"]) for line in lines)


def test_a_resnet_learns_to_use_its_latent(tmp_path: Path, digits: Data) -> None:
    config = config_for(digits, net="resnet", hidden=(8,), latent=2, likelihood="gaussian", std=0.2)
    fit(digits, config, Options(epochs=6, limit=600, validate_every=3, lr=1e-2, device="cpu"), out=tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["test_elbo"] > lines[0]["test_elbo"] + 1
    assert lines[-1]["test_rate"] > 2


def test_a_run_is_a_function_of_its_options(
    tmp_path: Path, tiny_run: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    fit(digits, tiny_config, tiny_options, out=tmp_path / "again")
    fit(digits, tiny_config, replace(tiny_options, seed=6), out=tmp_path / "other")
    fit(digits, tiny_config, replace(tiny_options, validate_every=1), out=tmp_path / "often")
    assert same(tmp_path / "again", tiny_run)
    assert same(tmp_path / "often", tiny_run)
    assert not same(tmp_path / "other", tiny_run)


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    tmp_path: Path, tiny_run: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    out = tmp_path / "parts"
    fit(digits, tiny_config, replace(tiny_options, epochs=1), out=out)
    fit(digits, tiny_config, replace(tiny_options, epochs=3), out=out, resume=True)
    result = fit(digits, tiny_config, tiny_options, out=out, resume=True)
    assert same(out, tiny_run)
    assert read_run(out).metrics == read_run(tiny_run).metrics == result.metrics
    assert (result.epochs, result.steps) == (4, 16)


@pytest.mark.parametrize("stop_at", [2, 7, 10, 15])
def test_a_run_stopped_at_any_step_ends_with_the_same_bits(
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_run: Path,
    digits: Data,
    tiny_config: VAEConfig,
    tiny_options: Options,
    stop_at: int,
) -> None:
    out, real = tmp_path / "stopped", reparam_train.step.take

    def interrupted(training: Training, batch: Batch, **more: int) -> None:
        if training.step == stop_at:
            raise KeyboardInterrupt
        real(training, batch, **more)

    monkeypatch.setattr(reparam_train.step, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(digits, tiny_config, tiny_options, out=out)
    monkeypatch.setattr(reparam_train.step, "take", real)
    fit(digits, tiny_config, tiny_options, out=out, resume=True)
    assert same(out, tiny_run)
    assert (out / "metrics.jsonl").read_text() == (tiny_run / "metrics.jsonl").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stop_at", [1, 3, 4, 6, 15])
def test_a_signal_ends_the_step_leaves_a_checkpoint_and_the_resumed_run_has_the_same_bits(
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_run: Path,
    digits: Data,
    tiny_config: VAEConfig,
    tiny_options: Options,
    stop_at: int,
    number: signal.Signals,
) -> None:
    out, real = tmp_path / "stopped", reparam_train.step.take
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]

    def signalled(training: Training, batch: Batch, **more: int) -> None:
        if training.step == stop_at - 1:
            signal.raise_signal(number)
        real(training, batch, **more)

    with monkeypatch.context() as patch:
        patch.setattr(reparam_train.step, "take", signalled)
        with pytest.raises(Interrupted, match=f"stopped by {number.name} after {stop_at} steps; a checkpoint is there"):
            fit(digits, tiny_config, tiny_options, out=out)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert read_run(out).metrics == {"epoch": (stop_at - 1) // 4, "step": stop_at}
    if stop_at == 6:
        with pytest.raises(OptionError, match="has begun epoch 2, got 1; give more"):
            fit(digits, tiny_config, replace(tiny_options, epochs=1), out=out, resume=True)
    fit(digits, tiny_config, tiny_options, out=out, resume=True)
    assert same(out, tiny_run)
    for name in ("metrics.jsonl", "metrics.csv"):
        assert (out / name).read_text() == (tiny_run / name).read_text()


def test_checkpoints_between_validations_change_nothing_and_shorten_what_a_kill_costs(
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_run: Path,
    digits: Data,
    tiny_config: VAEConfig,
    tiny_options: Options,
) -> None:
    out, real, options = tmp_path / "often", reparam_train.step.take, replace(tiny_options, checkpoint_every=3)
    steps = []

    def counted(training: Training, batch: Batch, **more: int) -> None:
        if training.step == 7 and not steps.count(7):
            steps.append(7)
            raise MemoryError
        steps.append(training.step)
        real(training, batch, **more)

    monkeypatch.setattr(reparam_train.step, "take", counted)
    with pytest.raises(MemoryError):
        fit(digits, tiny_config, options, out=out)
    fit(digits, tiny_config, options, out=out, resume=True)
    assert steps == [*range(7), 7, *range(6, 16)]
    assert same(out, tiny_run)
    assert (out / "metrics.jsonl").read_text() == (tiny_run / "metrics.jsonl").read_text()


def test_the_metrics_stand_in_a_table_too(tiny_run: Path) -> None:
    lines = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    rows = list(csv.DictReader((tiny_run / "metrics.csv").read_text().splitlines()))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == lines
    assert len(lines) == 2


def test_training_ends_early_once_nothing_gets_better_and_stays_ended(
    tmp_path: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    options = replace(tiny_options, epochs=50, validate_every=1, lr=0.5, patience=2)
    result = fit(digits, tiny_config, options, out=tmp_path / "run")
    scores = [json.loads(line)["test_elbo"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert result.stopped_early
    assert result.epochs == len(scores) < 50
    assert max(scores) == scores[-3]
    again = fit(digits, tiny_config, options, out=tmp_path / "run", resume=True)
    assert (again.epochs, again.stopped_early) == (result.epochs, True)


@pytest.mark.parametrize("schedule", ["cosine", "step"])
def test_a_schedule_moves_the_step_size_and_resumes_to_the_bit(
    *,
    tmp_path: Path,
    tiny_run: Path,
    digits: Data,
    tiny_config: VAEConfig,
    tiny_options: Options,
    schedule: Schedule,
) -> None:
    options = replace(tiny_options, schedule=schedule, lr_decay_every=2, validate_every=1)
    fit(digits, tiny_config, options, out=tmp_path / "whole")
    assert not same(tmp_path / "whole", tiny_run)
    found = [step_size(options, step=step, steps_per_epoch=4) for step in range(16)]
    assert found[0] == 2e-3
    assert found == sorted(found, reverse=True)
    if schedule == "step":
        assert found == pytest.approx([2e-3] * 8 + [2e-4] * 8)
        fit(digits, tiny_config, replace(options, epochs=3), out=tmp_path / "parts")
        fit(digits, tiny_config, options, out=tmp_path / "parts", resume=True)
        assert same(tmp_path / "parts", tmp_path / "whole")
    else:
        with pytest.raises(OptionError, match=r"epochs: .* cosine schedule, which depends on it, got 9"):
            fit(digits, tiny_config, replace(options, epochs=9), out=tmp_path / "whole", resume=True)


def test_clipping_bounds_the_gradient_of_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    norms, real = [], reparam_train.step.take

    def measured(training: Training, batch: Batch, **more: int) -> None:
        real(training, batch, **more)
        gradients = [value.grad for value in training.model.parameters() if value.grad is not None]
        norms.append(math.sqrt(sum(gradient.square().sum().item() for gradient in gradients)))

    monkeypatch.setattr(reparam_train.step, "take", measured)
    for clip_norm in (None, 0.5):
        options = replace(tiny_options, epochs=1, clip_norm=clip_norm)
        fit(digits, tiny_config, options, out=tmp_path / str(clip_norm))
    assert min(norms[:4]) > 0.6
    assert norms[4:] == pytest.approx([0.5] * 4, rel=1e-3)


def test_adam_with_its_eps_makes_the_same_steps_whatever_the_unit_of_the_loss(tmp_path: Path, digits: Data) -> None:
    options = Options(objective="autoencoder", epochs=10, batch_size=8, limit=100, device="cpu")  # 130 steps
    for std, adam_eps in ((1.0, 1e-8), (1e7, 1e-22)):  # gradients of the second are 1e-14 of the first's
        config = config_for(digits, net="mlp", hidden=(16,), posterior="none", likelihood="gaussian", std=std)
        fit(digits, config, replace(options, adam_eps=adam_eps), out=tmp_path / f"{std}")
    for name, value in weights(tmp_path / "1.0").items():
        torch.testing.assert_close(weights(tmp_path / f"{1e7}")[name], value, rtol=0, atol=0.01)


def test_bf16_trains_float32_weights_to_nearly_the_same_elbo(
    tmp_path: Path, tiny_run: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    result = fit(digits, tiny_config, replace(tiny_options, amp="bf16"), out=tmp_path / "bf16")
    assert result.metrics["test_elbo"] == pytest.approx(read_run(tiny_run).metrics["test_elbo"], abs=0.2)
    assert not same(tmp_path / "bf16", tiny_run)
    assert {value.dtype for value in weights(tmp_path / "bf16").values()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")  # torch.compile's own imports
@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_a_compiled_run_gives_nearly_the_same_elbo_and_resumes_to_the_bit(
    tmp_path: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options, objective: Objective
) -> None:
    options = replace(tiny_options, compile=True, objective=objective)
    plain = fit(digits, tiny_config, replace(options, compile=False), out=tmp_path / "plain")
    whole = fit(digits, tiny_config, options, out=tmp_path / "whole")
    assert whole.metrics["test_elbo"] == pytest.approx(plain.metrics["test_elbo"], abs=0.01)
    fit(digits, tiny_config, replace(options, epochs=2), out=tmp_path / "parts")
    fit(digits, tiny_config, options, out=tmp_path / "parts", resume=True)
    assert same(tmp_path / "parts", tmp_path / "whole")


def test_weights_that_are_not_finite_are_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    real = reparam_train.step.take

    def poisoned(training: Training, batch: Batch, **more: int) -> None:
        real(training, batch, **more)
        if training.step == 10:
            next(training.model.parameters()).data.fill_(math.inf)

    monkeypatch.setattr(reparam_train.step, "take", poisoned)
    with pytest.raises(TrainingDiverged, match="weights: must stay finite, they are not after 10 steps"):
        fit(digits, tiny_config, replace(tiny_options, checkpoint_every=1), out=tmp_path / "run")
    assert read_run(tmp_path / "run").metrics["step"] == 9


def test_resuming_a_complete_run_changes_nothing(
    tiny_run: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    before = {file.name: file.read_bytes() for file in tiny_run.iterdir()}
    result = fit(digits, tiny_config, tiny_options, out=tiny_run, resume=True)
    assert {file.name: file.read_bytes() for file in tiny_run.iterdir()} == before
    assert result.metrics == read_run(tiny_run).metrics
    assert result.rows_per_second == 0


def test_numbers_of_numpy_and_lists_make_the_run_of_plain_numbers_and_tuples(
    tmp_path: Path, digits: Data, tiny_run: Path, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    config = config_for(digits, net="mlp", hidden=[np.int64(16)], latent=np.int32(3))  # type: ignore[arg-type]
    options = replace(tiny_options, epochs=np.int64(4), seed=np.uint64(5), beta=np.float32(1), limit=np.array(100))
    assert (config, options) == (tiny_config, tiny_options)
    fit(digits, config, replace(options, epochs=np.int64(2)), out=tmp_path / "parts")
    assert read_run(tmp_path / "parts").record.config == config
    fit(digits, config, options, out=tmp_path / "parts", resume=True)
    assert same(tmp_path / "parts", tiny_run)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
def test_cuda_without_a_card_is_refused_and_auto_takes_the_cpu(tmp_path: Path, digits: Data) -> None:
    with pytest.raises(DeviceUnavailable, match=r"cuda asked for, but torch .* sees no card; use --device cpu"):
        fit(digits, config_for(digits), Options(device="cuda"), out=tmp_path / "run")
    assert device.pick("auto") == torch.device("cpu")


def test_training_leaves_torch_s_settings_and_generator_as_they_were(
    tmp_path: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(digits, tiny_config, replace(tiny_options, epochs=1, threads=2), out=tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs: must be at least 1, got 0"),
        ({"epochs": 1.5}, "epochs: must be int, got 1.5"),
        ({"batch_size": 16.0}, "batch_size: must be int, got 16.0"),
        ({"lr": "3"}, "lr: must be float, got '3'"),
        ({"patience": True}, r"patience: must be int \| None, got True"),
        ({"compile": "no"}, "compile: must be bool, got 'no'"),
        ({"patience": 0}, "patience: must be at least 1, got 0"),
        ({"checkpoint_every": 0}, "checkpoint_every: must be at least 1, got 0"),
        ({"clip_norm": 0.0}, "clip_norm: must be a finite number above 0, got 0.0"),
        ({"schedule": "linear"}, "schedule: must be one of constant, cosine, step, got 'linear'"),
        ({"amp": "fp16"}, "amp: must be one of none, bf16, got 'fp16'"),
        ({"limit": 0}, "limit: must be at least 1, got 0"),
        ({"lr": math.nan}, "lr: must be a finite number above 0, got nan"),
        ({"seed": 2**64}, "seed: must be an integer from 0 to"),
        ({"device": "tpu"}, "device: must be one of cpu, cuda, auto, got 'tpu'"),
    ],
)
def test_options_out_of_range_are_refused_when_made(change: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replace(Options(), **change)
