"""A fully convolutional model runs at any size that its factors divide, from one pair of graphs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

import reparam
import reparam_export
from reparam.cli.encode import encode
from reparam.cli.generate import generate
from reparam.cli.reconstruct import reconstruct
from reparam.cli.sample import sample
from reparam.errors import InputError, OptionError
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

CONFIG = VAEConfig(
    net="resnet",
    input_shape=(3, 8, 12),
    latent=2,
    hidden=(4, 8),
    blocks=1,
    attention=True,
    likelihood="gaussian",
    std=0.5,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[VAE, Path]:
    """A small model with attention, and the folder of its bundle."""
    model, folder = VAE.build(CONFIG, seed=3).eval(), tmp_path_factory.mktemp("sizes") / "resnet"
    reparam_export.export(model, folder)
    return model, folder


@pytest.fixture
def vae(made: tuple[VAE, Path]) -> reparam.VAE:
    """The bundle, in chunks of two rows."""
    return reparam.load(made[1], device="cpu", max_batch=2)


def images(n: int, size: tuple[int, int]) -> np.ndarray:
    return reparam.noise("normal", 5, range(n), (3, *size), stream="data")


@pytest.mark.parametrize("size", [(8, 12), (2, 2), (2, 30), (34, 6)])
def test_the_runtime_agrees_with_torch_at_every_size(
    made: tuple[VAE, Path], vae: reparam.VAE, size: tuple[int, int]
) -> None:
    x, latent = images(5, size), (2, size[0] // 2, size[1] // 2)
    eps = reparam.noise("normal", 7, range(5), latent)
    with torch.no_grad():
        mean, logvar = made[0].encode(torch.from_numpy(x))
        z = mean + torch.exp(logvar / 2) * torch.from_numpy(eps)
        x_hat = made[0].decode(z)["x_hat"]
    q = vae.encode(x)
    found = (q.mean, q.logvar, vae.sample(x, eps=eps), vae.sample(x, seed=7), vae.reconstruct(x, seed=7))
    for one, other in zip(found, (mean, logvar, z, z, x_hat), strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-5, atol=1e-5)
    assert np.array_equal(vae.decode(vae.sample(x, seed=7)), found[-1])
    assert vae.interpolate(x, x[::-1].copy(), steps=3).shape == (5, 3, *x.shape[1:])
    assert vae.elbo(x, seed=1).shape == (5,)


@pytest.mark.parametrize("size", [(4, 6), (16, 16)])
def test_generation_takes_a_size_and_gives_each_row_its_own_noise(vae: reparam.VAE, size: tuple[int, int]) -> None:
    whole = vae.generate(5, seed=7, size=size)
    assert whole.shape == (5, 3, *size)
    assert np.array_equal(vae.generate(2, seed=7, size=size, first_row=3), whole[3:])
    z = reparam.noise("normal", 7, range(5), (2, size[0] // 2, size[1] // 2), stream="prior")
    assert np.array_equal(vae.decode(z), whole)


def test_without_a_size_generation_takes_the_size_of_training(vae: reparam.VAE) -> None:
    assert vae.generate(1, seed=7).shape == (1, 3, 8, 12)


@pytest.mark.parametrize("shape", [(2, 3, 7, 12), (2, 3, 8, 11), (2, 3, 0, 12)])
def test_sides_that_the_factors_do_not_divide_are_refused_with_the_rule(
    vae: reparam.VAE, shape: tuple[int, ...]
) -> None:
    with pytest.raises(InputError, match=r"x: shape must be \[n, 3, height, width\] .* multiples of \[2, 2\], got"):
        vae.encode(np.zeros(shape, np.float32))


@pytest.mark.parametrize("size", [(7, 12), (8, 13), (0, 2), (-2, 2), (2**40, 2**40), (8,), (8, 8, 8), 8, "88"])
def test_a_size_that_cannot_be_is_refused(vae: reparam.VAE, size: Any) -> None:
    for call in (lambda: vae.generate(1, seed=7, size=size), lambda: vae.pinned(1, size=size)):
        with pytest.raises(OptionError, match="size"):
            call()


def test_a_latent_without_places_is_refused_with_its_own_rule(vae: reparam.VAE) -> None:
    with pytest.raises(
        InputError, match=r"z: shape must be \[n, 2, latent_height, latent_width\] with sides of at least 1"
    ):
        vae.decode(np.zeros((1, 2, 0, 3), np.float32))


def test_files_without_rows_keep_the_size_that_was_asked_for(made: tuple[VAE, Path], tmp_path: Path) -> None:
    bundle, none, out = str(made[1]), str(tmp_path / "none.npy"), str(tmp_path / "out.npy")
    np.save(none, np.zeros((0, 3, 4, 6), np.float32))
    words = {
        "generate": (generate, [bundle, "0", "--seed", "1", "--size", "4", "6"], (0, 3, 4, 6)),
        "sample": (sample, [bundle, none, "--seed", "1"], (0, 2, 2, 3)),
        "reconstruct": (reconstruct, [bundle, none], (0, 3, 4, 6)),
    }
    for command, arguments, shape in words.values():
        done = CliRunner().invoke(command, [*arguments, "--out", out, "--device", "cpu"])
        assert done.exit_code == 0, done.output
        assert np.load(out).shape == shape
    done = CliRunner().invoke(encode, [bundle, none, "--mean", out, "--device", "cpu"])
    assert (done.exit_code, np.load(out).shape) == (0, (0, 2, 2, 3))
    refused = CliRunner().invoke(
        generate, [bundle, "0", "--seed", "1", "--size", "5", "6", "--out", out, "--device", "cpu"]
    )
    assert isinstance(refused.exception, OptionError)


def test_a_bundle_of_fixed_size_takes_no_other(bundles: dict[str, tuple[VAE, Path]]) -> None:
    with reparam.load(bundles["conv-gaussian"][1], device="cpu") as vae:
        with pytest.raises(OptionError, match=r"size: this bundle's rows are always \[3, 9, 7\]"):
            vae.generate(1, seed=7, size=(18, 14))
        with pytest.raises(InputError, match=r"x: shape must be \[n, 3, 9, 7\]"):
            vae.encode(np.zeros((1, 3, 18, 14), np.float32))


def test_graphs_and_manifest_name_the_open_sides_and_count_what_reads_a_size(made: tuple[VAE, Path]) -> None:
    manifest = reparam.load(made[1], device="cpu").manifest
    assert (manifest.input.shape, manifest.input.factors) == ((3, 8, 12), (2, 2))
    for role in ("encoder", "decoder"):
        graph = onnx.load(made[1] / f"{role}.onnx").graph
        axes = {
            v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
            for v in (*graph.input, *graph.output)
        }
        image, latent = ["batch", 3, "height", "width"], ["batch", 2, "latent_height", "latent_width"]
        assert axes == {name: image if name in ("x", "x_hat") else latent for name in axes}
        entry = manifest.graph(role, "fp32")
        assert entry is not None
        assert entry.shape_nodes == sum(node.op_type in ("Shape", "Size") for node in graph.node) > 0


def test_golden_vectors_hold_two_sizes_and_verify_replays_both(made: tuple[VAE, Path]) -> None:
    (done,) = reparam.verify(made[1], device="cpu")
    assert (done.batches, done.sizes) == ((1, 3), ((2, 4), (4, 6)))
    with np.load(made[1] / "golden.npz") as golden:
        assert golden["x_3_4x6"].shape == (3, 3, 4, 6)
        assert golden["eps_1_2x4"].shape == (1, 2, 1, 2)
