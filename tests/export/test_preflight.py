"""A model that cannot be exported fails before its first step."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from reparam.errors import ExportError
from reparam_train.checkpoint import read_run
from reparam_train.data import load
from reparam_train.loop import fit
from reparam_train.model import VAE
from reparam_train.options import Options, config_for

DIGITS = load("digits")
CONFIG = config_for(DIGITS, net="mlp", hidden=(8,), latent=2)
OPTIONS = Options(epochs=1, limit=50, device="cpu", threads=1)


def test_a_model_that_cannot_be_traced_takes_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = VAE.encode

    def by_value(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = inner(model, x)
        return (mean, logvar) if float(x.sum()) > 0 else (-mean, logvar)

    monkeypatch.setattr(VAE, "encode", by_value)
    with pytest.raises(ExportError, match="torch cannot trace the model"):
        fit(DIGITS, CONFIG, OPTIONS, out=tmp_path / "run", preflight=True)
    assert list((tmp_path / "run").iterdir()) == []
    fit(DIGITS, CONFIG, OPTIONS, out=tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_trial_export_does_not_change_the_run(tmp_path: Path) -> None:
    fit(DIGITS, CONFIG, OPTIONS, out=tmp_path / "tried", preflight=True)
    fit(DIGITS, CONFIG, OPTIONS, out=tmp_path / "not")
    tried, without = (read_run(tmp_path / name).model.state_dict() for name in ("tried", "not"))
    assert all(torch.equal(tried[name], without[name]) for name in without)
