import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from reparam_train import pictures
from reparam_train.checkpoint import METRICS, read_run
from reparam_train.cli import train
from reparam_train.data import Data
from reparam_train.loop import fit
from reparam_train.observers import Validation
from reparam_train.options import Options, VAEConfig, config_for

pytest.importorskip("PIL", reason="pictures need Pillow, of the extra `report`")
TINY = ["--net", "mlp", "--hidden", "8", "--latent", "2", "--limit", "60", "--epochs", "2", "--validate-every", "1"]


def names(run: Path) -> list[str]:
    return sorted(file.name for file in (run / pictures.FOLDER).iterdir())


def test_observers_see_each_validation_once_its_checkpoint_is_written(
    tmp_path: Path, digits: Data, tiny_config: VAEConfig, tiny_options: Options
) -> None:
    seen = []

    def observer(now: Validation) -> None:
        assert now.metrics == read_run(now.folder).metrics
        seen.append((now.epoch, now.step, now.seed, len(now.data.train)))

    fit(digits, tiny_config, tiny_options, out=tmp_path / "run", observers=[observer])
    assert seen == [(2, 8, 5, 100), (4, 16, 5, 100)]


@pytest.mark.parametrize("objective", ["elbo", "autoencoder"])
def test_pictures_change_neither_weights_nor_metrics(tmp_path: Path, digits: Data, objective: str) -> None:
    config = config_for(digits, hidden=(4, 6), latent=2, posterior="none" if objective == "autoencoder" else "normal")
    options = Options(epochs=3, limit=60, validate_every=1, device="cpu", objective=objective)  # type: ignore[arg-type]
    fit(digits, config, options, out=tmp_path / "plain")
    fit(digits, config, options, out=tmp_path / "seen", observers=[pictures.Pictures(every=1)])
    plain, seen = read_run(tmp_path / "plain"), read_run(tmp_path / "seen")
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, seen.model.state_dict()[name]), name
    assert (tmp_path / "plain" / METRICS).read_bytes() == (tmp_path / "seen" / METRICS).read_bytes()
    assert names(tmp_path / "seen") == ["epoch-0001.png", "epoch-0002.png", "epoch-0003.png"]


def test_a_resumed_run_draws_the_same_pictures(tmp_path: Path, digits: Data, tiny_config: VAEConfig) -> None:
    options = Options(epochs=2, limit=60, validate_every=1, device="cpu")
    observers = [pictures.Pictures(every=1)]
    fit(digits, tiny_config, options, out=tmp_path / "whole", observers=observers)
    fit(digits, tiny_config, Options(epochs=1, limit=60, validate_every=1, device="cpu"), out=tmp_path / "parts")
    fit(digits, tiny_config, options, out=tmp_path / "parts", resume=True, observers=observers)
    whole, part = (tmp_path / run / pictures.FOLDER / "epoch-0002.png" for run in ("whole", "parts"))
    assert whole.read_bytes() == part.read_bytes()
    assert whole.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert min(struct.unpack(">II", whole.read_bytes()[16:24])) > 200


def test_so_many_validations_leave_a_bounded_number_of_evenly_spaced_pictures(
    tmp_path: Path, digits: Data, tiny_config: VAEConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "KEPT", 4)
    options = Options(epochs=11, limit=20, validate_every=1, device="cpu")
    fit(digits, tiny_config, options, out=tmp_path / "run", observers=[pictures.Pictures(every=1)])
    assert names(tmp_path / "run") == ["epoch-0004.png", "epoch-0008.png", "epoch-0011.png"]


@pytest.mark.parametrize(("more", "there"), [([], True), (["--no-pictures"], False)])
def test_the_command_draws_unless_it_is_told_not_to(tmp_path: Path, more: list[str], there: bool) -> None:
    done = CliRunner().invoke(train, ["digits", "--out", str(tmp_path / "run"), *TINY, *more])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / pictures.FOLDER).exists() is there


def test_rows_that_are_no_images_are_trained_in_silence(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(40, 5)))
    done = CliRunner().invoke(train, [str(tmp_path / "rows.npy"), "--out", str(tmp_path / "run"), *TINY])
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "run" / pictures.FOLDER).exists()


def test_without_pillow_there_are_none_and_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pictures, "find_spec", lambda _: None)
    train.main(["digits", "--out", str(tmp_path / "run"), *TINY], standalone_mode=False)
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "run" / pictures.FOLDER).exists()
