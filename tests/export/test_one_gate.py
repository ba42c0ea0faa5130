"""Every way of export leads through the runtime's gate; operators off its list need a word from both sides."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reparam
import reparam_export
from reparam.bundle import gate
from reparam.errors import BundleError, ExportError
from reparam_export.preflight import preflight
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"
CONFIG = VAEConfig(net="mlp", input_shape=(6,), latent=2, hidden=(4,), likelihood="gaussian")
REFUSED = "refused: by this test"


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The gate refuses every graph; no session may be made all the same."""
    import onnxruntime

    made: list[object] = []

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("by this test")

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            made.append(arguments)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(gate, "_read_model", refuse)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    yield
    assert made == []


@pytest.mark.usefixtures("shut")
def test_no_export_goes_round_the_gate(tmp_path: Path) -> None:
    model = VAE.build(CONFIG, seed=0)
    for options in ({}, {"precision": ("fp32", "fp16")}, {"allow_operators": True}, {"layout": "triton"}):
        with pytest.raises(BundleError, match=REFUSED):
            reparam_export.export(model, tmp_path / "b", **options)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=REFUSED):
        preflight(model)
    assert not (tmp_path / "b").exists()


@pytest.mark.usefixtures("shut")
def test_no_import_goes_round_the_gate(peer: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=REFUSED):
        reparam_export.import_optimum(peer.write(), tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.usefixtures("shut")
def test_no_layout_goes_round_the_gate(tmp_path: Path) -> None:
    for layout in ("triton", "optimum"):
        with pytest.raises(BundleError, match=REFUSED):
            reparam_export.lay_out(DIGITS, tmp_path / "l", layout=layout)  # type: ignore[arg-type]


@pytest.mark.usefixtures("shut")
def test_no_command_goes_round_the_gate(peer: Any, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    from reparam.cli.main import main

    folder = peer.write()
    for arguments in (
        ("evaluate", DIGITS, "digits", "--limit", "3"),
        ("import-optimum", folder, tmp_path / "b"),
        ("export", DIGITS, tmp_path / "b", "--layout", "triton"),
    ):
        monkeypatch.setattr("sys.argv", ["reparam", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 3
        assert REFUSED in capsys.readouterr().err


# -- operators that are not on the list -------------------------------------------------------------------------------


class Encoder(nn.Module):
    """x [batch, 6] to mean and logvar [batch, 2] by way of an operator that the gate does not list."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts = torch.det(x.reshape(-1, 3, 1, 2).repeat(1, 1, 2, 1) + torch.eye(2))
        return parts[:, :2], parts[:, 1:] * 0.01


class Decoder(nn.Module):
    """z [batch, 2] to x_hat [batch, 6]."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([z, z, z], dim=1)


@pytest.fixture
def unlisted() -> reparam_export.Modules:
    return reparam_export.Modules(encoder=Encoder(), decoder=Decoder())


def test_an_operator_off_the_list_is_published_by_an_explicit_option_alone(
    unlisted: reparam_export.Modules, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"encoder: operator Det is not on the list .* allow_operators"):
        reparam_export.export(unlisted, tmp_path / "b", input_shape=(6,))
    assert not (tmp_path / "b").exists()
    manifest = reparam_export.export(unlisted, tmp_path / "b", input_shape=(6,), allow_operators=True)
    assert manifest.trust == "exporter"
    assert json.loads((tmp_path / "b" / "manifest.json").read_bytes())["trust"] == "exporter"
    assert 'trust="exporter"' in (tmp_path / "b" / "README.md").read_text()


def test_a_strict_load_names_the_operator_and_the_option(unlisted: reparam_export.Modules, tmp_path: Path) -> None:
    reparam_export.export(unlisted, tmp_path / "b", input_shape=(6,), allow_operators=True)
    named = r'encoder\.onnx: refused: operator Det is not on the list .*trust="exporter"'
    with pytest.raises(BundleError, match=named) as caught:
        reparam.load(tmp_path / "b", device="cpu")
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(BundleError, match=named):
        reparam.verify(tmp_path / "b", device="cpu")
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    mean = Encoder()(torch.from_numpy(x))[0].numpy()
    with reparam.load(tmp_path / "b", device="cpu", trust="exporter") as vae:
        np.testing.assert_allclose(vae.encode(x).mean, mean, rtol=1e-5, atol=1e-6)
    reparam.verify(tmp_path / "b", device="cpu", trust="exporter")


def test_what_ships_and_what_is_listed_needs_no_trust(tmp_path: Path) -> None:
    manifest = reparam_export.export(VAE.build(CONFIG, seed=0), tmp_path / "b", allow_operators=True)
    assert "trust" not in json.loads((tmp_path / "b" / "manifest.json").read_bytes())
    assert manifest.trust is msgspec.UNSET
    reparam.load(tmp_path / "b", device="cpu").close()
