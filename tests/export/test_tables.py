"""A table of mixed columns trains, exports, and its bundle says what every column is."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import reparam
import reparam_export
from reparam.bundle.strict import decode_manifest
from reparam.errors import BundleError
from reparam_train.checkpoint import read_run
from reparam_train.data import Data, load
from reparam_train.data.columns import Column
from reparam_train.loop import fit
from reparam_train.options import OBJECTIVES, Objective, Options, config_for

COLUMNS = (
    Column(name="height", kind="gaussian"),
    Column(name="colour", kind="categorical", categories=("red", "green", "blue")),
    Column(name="alive", kind="bernoulli"),
)


def table(folder: Path) -> Data:
    random = np.random.default_rng(0)
    colour = random.integers(0, 3, 400)
    rows = np.column_stack([random.normal(colour, 0.2), np.eye(3)[colour], colour == 1]).astype(np.float32)
    np.save(folder / "table.npy", rows)
    return load(folder / "table.npy")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_table_trains_exports_and_agrees(tmp_path: Path, objective: Objective) -> None:
    data, posterior = table(tmp_path), "none" if objective == "autoencoder" else "normal"
    config = config_for(data, hidden=(16,), latent=2, columns=COLUMNS, posterior=posterior)
    assert config.likelihood == "mixed"
    fit(data, config, Options(epochs=2, objective=objective, device="cpu"), out=tmp_path / "run")
    manifest = reparam_export.export(tmp_path / "run", tmp_path / "bundle")
    model, z = read_run(tmp_path / "run").model, np.random.default_rng(1).normal(size=(9, 2)).astype(np.float32)
    with reparam.load(tmp_path / "bundle", device="cpu") as vae, torch.no_grad():
        x_hat = vae.decode(z)
        np.testing.assert_allclose(x_hat, model.decode(torch.from_numpy(z))["x_hat"].numpy(), rtol=1e-4, atol=1e-5)
        assert list(vae.manifest.decoder_outputs) == ["x_hat", "logits"]
    np.testing.assert_allclose(x_hat[:, 1:4].sum(1), 1, rtol=1e-5)
    assert reparam.verify(tmp_path / "bundle", device="cpu")
    told = msgspec.to_builtins(manifest.likelihood)
    assert [(c["name"], c["kind"], c["start"], c["stop"]) for c in told["columns"]] == [
        ("height", "gaussian", 0, 1),
        ("colour", "categorical", 1, 4),
        ("alive", "bernoulli", 4, 5),
    ]
    assert told["columns"][0]["std"] == model.likelihood_constants()["height"]
    assert list(told["columns"][1]["categories"]) == ["red", "green", "blue"]
    assert "`colour` categorical at 1:4" in (tmp_path / "bundle" / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 1}, "column 'height' contradicts itself or its place"),
        ({"std": None}, "column 'height' contradicts itself or its place"),
        ({"kind": "categorical"}, "column 'height' contradicts itself or its place"),
        ({"unit": "cm"}, "unknown field `unit`"),
    ],
)
def test_a_manifest_whose_columns_contradict_themselves_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    from reparam_train.model import VAE

    config = config_for(table(tmp_path), hidden=(4,), latent=2, columns=COLUMNS)
    reparam_export.export(VAE.build(config, seed=0), tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    decode_manifest(json.dumps(manifest).encode(), where="here")
    manifest["likelihood"]["columns"][0].update(change)
    with pytest.raises(BundleError, match=message):
        decode_manifest(json.dumps(manifest).encode(), where="here")
