import getpass
import json
import platform
import socket
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from reparam.errors import CheckpointError
from reparam_train import checkpoint
from reparam_train.checkpoint import read_run
from reparam_train.data import Data, load
from reparam_train.evaluate import elbo
from reparam_train.loop import fit
from reparam_train.options import Options, VAEConfig, config_for


def test_a_run_is_read_back_in_eval_mode_with_record_and_metrics(
    tiny_run: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    before = torch.get_rng_state()
    run = read_run(tiny_run)
    assert torch.equal(torch.get_rng_state(), before)
    assert not run.model.training
    assert (run.record.config, run.record.options) == (tiny_config, tiny_options)
    assert (run.record.data, run.record.train_rows, run.record.test_rows) == ("digits", 100, 100)
    assert (run.record.low, run.record.high, run.record.layout) == (0.0, 1.0, "channels_first")
    assert run.record.data_sha256 == digits.head(100).sha256
    assert run.record.versions["torch"] == torch.__version__
    assert run.record.versions["python"] == platform.python_version()
    assert run.metrics["test_elbo"] == elbo(run.model, digits.head(100).test, seed=5).elbo
    assert (run.metrics["epoch"], run.metrics["step"]) == (4, 16)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone", "hash gone"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_with_a_warning(tiny_run: Path, damage: str) -> None:
    file = tiny_run / checkpoint.CURRENT
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    if damage in ("gone", "hash gone"):
        (file if damage == "gone" else file.with_name("checkpoint.pt.sha256")).unlink()
    else:
        file.write_bytes({"flip": bytes(data), "cut": bytes(data[:-1]), "empty": b""}[damage])
    with pytest.warns(UserWarning, match=r"checkpoint.pt: damaged, .* checkpoint.previous.pt is used"):
        assert read_run(tiny_run).metrics["epoch"] == 2


def test_a_resume_after_damage_goes_on_from_the_one_before_and_never_keeps_the_damaged_one(
    tmp_path: Path, tiny_run: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    fit(digits, tiny_config, tiny_options, out=tmp_path / "whole")
    (tiny_run / checkpoint.CURRENT).write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="damaged"):
        fit(digits, tiny_config, tiny_options, out=tiny_run, resume=True)
    found, expected = read_run(tiny_run).model.state_dict(), read_run(tmp_path / "whole").model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert (tiny_run / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()
    assert checkpoint.good_bytes(tiny_run / checkpoint.PREVIOUS) is not None


def test_two_damaged_checkpoints_are_an_error(tiny_run: Path) -> None:
    for name in (checkpoint.CURRENT, checkpoint.PREVIOUS):
        (tiny_run / name).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"checkpoint.pt: damaged, .* and so is checkpoint.previous.pt"):
        read_run(tiny_run)


@pytest.mark.parametrize("writes", range(7))
def test_a_save_that_is_killed_after_any_write_leaves_a_good_checkpoint(
    monkeypatch: pytest.MonkeyPatch, tiny_run: Path, writes: int
) -> None:
    state, real, left = checkpoint.read_state(tiny_run), checkpoint.write_bytes, [writes]
    assert state is not None

    def killed(path: Path, data: bytes) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        real(path, data)

    changed = checkpoint.State(model=state.model, optimizer={}, epoch=5, step=20, metrics=state.metrics)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_bytes", killed)
        if writes < 6:
            with pytest.raises(KeyboardInterrupt):
                checkpoint.save(tiny_run, changed)
        else:
            checkpoint.save(tiny_run, changed)
    good = [checkpoint.good_bytes(tiny_run / name) for name in (checkpoint.CURRENT, checkpoint.PREVIOUS)]
    assert any(data is not None for data in good)


@pytest.mark.parametrize("name", ["metrics.jsonl", "metrics.csv"])
@pytest.mark.parametrize("epochs", [4, 6])
def test_a_kill_between_a_checkpoint_and_its_metrics_loses_no_line_of_them(
    *,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny_run: Path,
    digits: Data,
    tiny_config: VAEConfig,
    tiny_options: Options,
    name: str,
    epochs: int,
) -> None:
    options, out, real = (
        msgspec.structs.replace(tiny_options, epochs=epochs),
        tmp_path / "killed",
        checkpoint.write_bytes,
    )
    fit(digits, tiny_config, options, out=tiny_run, resume=True)

    def killed(path: Path, data: bytes) -> None:
        state = checkpoint.read_state(out) if path.name == name else None
        if state is not None and state.epoch == 4:
            raise KeyboardInterrupt
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(digits, tiny_config, options, out=out)
    fit(digits, tiny_config, options, out=out, resume=True)
    for table in ("metrics.jsonl", "metrics.csv"):
        assert (out / table).read_text() == (tiny_run / table).read_text()


def test_a_first_save_that_is_killed_counts_as_no_checkpoint_yet(tiny_run: Path) -> None:
    for name in (checkpoint.CURRENT, checkpoint.PREVIOUS, "checkpoint.previous.pt.sha256", "metrics.jsonl"):
        (tiny_run / name).unlink()
    with pytest.raises(CheckpointError, match=r"no checkpoint yet, .* continue it with --resume"):
        read_run(tiny_run)


def test_a_missing_run_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a training run") as caught:
        read_run(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "reparam-run/9"}, "unknown format 'reparam-run/9', this version reads reparam-run/1"),
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"train_rows": "many"}, "not a valid record .*train_rows"),
        ({"config": {"net": "mlp", "input_shape": [4], "latent": 0, "hidden": [3]}}, "latent: must be at least 1"),
    ],
)
def test_a_record_is_read_strictly(tiny_run: Path, change: dict[str, object], message: str) -> None:
    file = tiny_run / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        read_run(tiny_run)


@pytest.mark.parametrize("text", ["", "{", "[]", "\udcff"])
def test_a_record_that_is_not_json_is_an_error(tiny_run: Path, text: str) -> None:
    (tiny_run / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match="not a valid record"):
        read_run(tiny_run)


def test_a_checkpoint_of_another_format_or_model_is_an_error(tiny_run: Path) -> None:
    state = checkpoint.read_state(tiny_run)
    assert state is not None
    fields = {"optimizer": {}, "epoch": 4, "step": 16, "metrics": {}}
    checkpoint.save(tiny_run, checkpoint.State(format=9, model=state.model, **fields))
    with pytest.raises(CheckpointError, match="unknown format, this version reads 1"):
        read_run(tiny_run)
    checkpoint.save(tiny_run, checkpoint.State(model={"mean.weight": torch.zeros(2)}, **fields))
    with pytest.raises(CheckpointError, match=r"the weights do not fit the model of run.json"):
        read_run(tiny_run)


def test_no_path_of_the_machine_is_in_the_run_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).random((60, 5), np.float32))
    data = load(tmp_path / "rows.npy")
    options = Options(epochs=2, validate_every=1, device="cpu")
    fit(data, config_for(data, hidden=(4,), latent=2), options, out=tmp_path / "run")
    assert read_run(tmp_path / "run").record.data == "rows.npy"
    names = [str(tmp_path), str(Path.home()), str(Path.cwd()), socket.gethostname(), f"/{getpass.getuser()}/"]
    for file in (tmp_path / "run").iterdir():
        assert not [name for name in names if name.encode() in file.read_bytes()], file.name
