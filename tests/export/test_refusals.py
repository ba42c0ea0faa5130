"""What cannot be exported rightly is not exported: one line says why, and what was there stays."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import reparam
import reparam_export
from reparam.bundle.manifest import Latent
from reparam.errors import CheckpointError, ExportError, OptionError, OutputError, VerificationError
from reparam_export import bundling
from reparam_export.adapters import run
from reparam_export.passes.strip import strip
from reparam_export.source import Source
from reparam_train.model import VAE


def replace_encode(model: VAE, encode: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "encode", encode)


def test_a_graph_that_differs_from_its_source_publishes_nothing(
    model: VAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perturbed(graph: onnx.ModelProto) -> None:
        strip(graph)
        weight = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        values = onnx.numpy_helper.to_array(weight) + np.float32(1e-3)
        weight.raw_data = values.tobytes()

    monkeypatch.setattr(bundling, "strip", perturbed)
    with pytest.raises(VerificationError, match=r"differs from the source model by up to .* allowed is 1e-05"):
        reparam_export.export(model, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_old_bundle_as_it_was(model: VAE, tmp_path: Path) -> None:
    old = reparam_export.export(model, tmp_path / "bundle")
    broken = VAE.build(model.config, seed=8)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(VerificationError, match="not finite"):
        reparam_export.export(broken, tmp_path / "bundle")
    assert reparam.load(tmp_path / "bundle", device="cpu").info().id == old.id
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("factor", [-1.0, math.nan, math.inf, "1"])
def test_a_bundle_that_nobody_could_load_is_never_published(
    model: VAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: Any
) -> None:
    def described(model: VAE, *, name: str) -> Source:
        return dataclasses.replace(
            known(model, name=name), latent=Latent(shape=model.config.latent_shape, scaling_factor=factor)
        )

    old, known = reparam_export.export(model, tmp_path / "bundle"), run.from_vae
    monkeypatch.setattr(run, "from_vae", described)
    with pytest.raises(ExportError, match=r"manifest.json: could not be read again: .*; mend what describes the model"):
        reparam_export.export(model, tmp_path / "bundle")
    assert reparam.load(tmp_path / "bundle", device="cpu").info().id == old.id


def test_a_model_that_draws_random_numbers_is_refused(
    model: VAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = model.encode

    def noisy(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = inner(x)
        return mean + torch.randn_like(mean), logvar

    replace_encode(model, noisy, monkeypatch)
    with pytest.raises((ExportError, reparam.errors.BundleError), match="random operator RandomNormalLike"):
        reparam_export.export(model, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_ignores_its_batch_axis_is_refused(
    model: VAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = nn.Parameter(torch.zeros(2, model.config.latent))
    replace_encode(model, lambda x: (fixed + x.sum() * 0, fixed), monkeypatch)
    with pytest.raises(ExportError, match="the model ignores or fixes an axis"):
        reparam_export.export(model, tmp_path / "bundle")


def test_a_model_that_cannot_be_traced_is_refused_in_one_line(
    model: VAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def branching(x: Tensor) -> tuple[Tensor, Tensor]:
        return (x, x) if x.sum().item() > 0 else (x + 1, x)

    replace_encode(model, branching, monkeypatch)
    with pytest.raises(ExportError, match="torch cannot trace the model") as caught:
        reparam_export.export(model, tmp_path / "bundle")
    assert "\n" not in str(caught.value)


def test_the_model_comes_back_in_the_mode_and_with_the_weights_it_had(model: VAE, tmp_path: Path) -> None:
    model.train()
    model.encoder.eval()
    modes = [module.training for module in model.modules()]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    reparam_export.export(model, tmp_path / "bundle")
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_folder_that_is_no_bundle_is_never_replaced(model: VAE, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years")
    with pytest.raises(OutputError, match="is a folder but no bundle"):
        reparam_export.export(model, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == "years"


@pytest.mark.parametrize("name", ["../up", "a b", "", ".hidden", "a/b", "x" * 101])
def test_a_name_that_could_be_a_path_is_refused(model: VAE, tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="name: must be letters"):
        reparam_export.export(model, tmp_path / "bundle", name=name)


def test_a_folder_without_a_run_and_an_object_that_is_no_model_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a training run"):
        reparam_export.export(tmp_path, tmp_path / "bundle")
    with pytest.raises(ExportError, match=r"model: no adapter \(.*run.*\) knows a Linear"):
        reparam_export.export(nn.Linear(2, 2), tmp_path / "bundle")
