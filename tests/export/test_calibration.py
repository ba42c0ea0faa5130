"""The rows that a smaller precision is calibrated and measured on: in the range and at the size of the model."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import reparam
import reparam_export
from reparam.bundle.reader import read_bundle
from reparam.engine.pair import start_pair
from reparam.errors import InputError
from reparam_export.cli import export
from reparam_export.precision.rows import KEYED_ROWS, rows_for
from reparam_train.evaluators import rows
from reparam_train.model import VAE
from reparam_train.options import VAEConfig


def test_keyed_rows_of_a_model_of_large_open_images_are_small(tmp_path: Path) -> None:
    config = VAEConfig(net="resnet", input_shape=(1, 1024, 512), latent=1, hidden=(4, 4), attention=False)
    reparam_export.export(VAE.build(config, seed=7), tmp_path / "b")
    found = rows_for(start_pair(read_bundle(tmp_path / "b"), device="cpu"), None)
    assert found.x.shape == (KEYED_ROWS, 1, 128, 128)
    assert found.z.shape == (KEYED_ROWS, 1, 64, 64)


def test_the_command_brings_images_to_the_range_of_anyones_model(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs the extra peers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers tells of CUDA when its models are imported
        kind = diffusers.AutoencoderTiny
    torch.manual_seed(1)
    model = kind(  # its images are in [-1, 1], uint8 is read as 0 to 1
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )
    model.save_pretrained(tmp_path / "tiny")
    levels, file = np.random.default_rng(4).integers(0, 256, (20, 3, 8, 8), np.uint8), tmp_path / "x.npy"
    np.save(file, levels)
    options = ["--input-shape", "3,8,8", "--precision", "fp16", "--calibrate", str(file)]
    done = CliRunner().invoke(export, [str(tmp_path / "tiny"), str(tmp_path / "told"), *options])
    assert done.exit_code == 0, done.output
    x = rows(str(file), split="train", limit=None, target=None) * 2 - 1
    found = reparam_export.export(model, tmp_path / "b", input_shape=(3, 8, 8), precision=["fp16"], calibrate=x)
    with reparam.load(tmp_path / "told", device="cpu") as vae:
        assert vae.manifest.variants[0].worst == found.variants[0].worst


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_values_that_have_no_level_calibrate_no_raw_graph(value: float, tmp_path: Path) -> None:
    config = VAEConfig(net="conv", input_shape=(3, 8, 8), latent=2, hidden=(8, 8))
    x = np.zeros((2, *config.input_shape), np.float32)
    x[1, 2, 3, 4] = value
    with pytest.raises(InputError, match=f"calibrate: must be from 0 to 1, the range of x in training, got {value}"):
        reparam_export.export(
            VAE.build(config, seed=7), tmp_path / "b", precision=["fp16"], calibrate=x, keep_slower=True, raw=True
        )
    assert list(tmp_path.iterdir()) == []
