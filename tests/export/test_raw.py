"""A raw bundle takes and gives images as programs hold them: uint8, channels last."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import reparam
import reparam_export
from reparam.cli.main import group
from reparam.errors import InputError, InputTypeError, OptionError
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

CONFIGS = {
    "fixed": VAEConfig(net="conv", input_shape=(1, 8, 6), latent=3, hidden=(4,)),
    "dynamic": VAEConfig(net="resnet", input_shape=(3, 8, 8), latent=2, hidden=(4, 8), blocks=1),
}


@pytest.fixture(scope="module", params=list(CONFIGS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The plain bundle and the raw one of the same weights."""
    folder, model = tmp_path_factory.mktemp("raw"), VAE.build(CONFIGS[request.param], seed=3)
    for name in ("plain", "raw"):
        reparam_export.export(model, folder / name, raw=name == "raw")
    return folder / "plain", folder / "raw"


def pixels(n: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *shape), np.uint8)


def test_raw_and_plain_graphs_agree_to_one_level(pair: tuple[Path, Path]) -> None:
    plain, raw = (reparam.load(path, device="cpu", max_batch=3) for path in pair)
    x = pixels(7, raw.manifest.input.shape)  # [n, height, width, channels]
    values = (x.transpose(0, 3, 1, 2) / 255).astype(np.float32)
    np.testing.assert_allclose(raw.encode(x).mean, plain.encode(values).mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(raw.sample(x, seed=5), plain.sample(values, seed=5), rtol=1e-5, atol=1e-5)
    for found, wanted in (
        (raw.reconstruct(x, seed=5), plain.reconstruct(values, seed=5)),
        (raw.generate(4, seed=5), plain.generate(4, seed=5)),
        (raw.interpolate(x, x[::-1].copy(), steps=2)[:, 1], plain.reconstruct(values[::-1].copy())),
    ):
        assert found.dtype == np.uint8
        levels = wanted.transpose(0, 2, 3, 1) * 255
        assert np.abs(found - levels).max() < 1


@pytest.mark.parametrize("form", [0, 1], ids=["plain", "raw"])
def test_commands_over_files_write_the_shape_and_dtype_of_the_calls(
    pair: tuple[Path, Path], tmp_path: Path, form: int
) -> None:
    vae, commands = reparam.load(pair[form], device="cpu"), CliRunner()
    grown = (12, 4) if vae.manifest.input.factors else None
    x = vae.generate(10, seed=3, size=grown)
    np.save(tmp_path / "x.npy", x)
    wanted = {"sample": vae.sample(x, seed=7), "reconstruct": vae.reconstruct(x, seed=7), "generate": x}
    size = [] if grown is None else ["--size", *map(str, grown)]
    asked = {"sample": [tmp_path / "x.npy", "--seed", 7], "reconstruct": [tmp_path / "x.npy", "--seed", 7]}
    for name, words in (asked | {"generate": [10, "--seed", 3, *size]}).items():
        options = ["--out", tmp_path / "out.npy", "--device", "cpu", "--max-batch", 3]
        done = commands.invoke(group, [name, str(pair[form]), *map(str, [*words, *options])])
        assert done.exit_code == 0, done.output
        found = np.load(tmp_path / "out.npy")
        assert found.dtype == wanted[name].dtype
        np.testing.assert_array_equal(found, wanted[name])


def test_a_raw_bundle_verifies_and_names_its_form(pair: tuple[Path, Path]) -> None:
    (done,) = reparam.verify(pair[1], device="cpu")
    assert done.worst["x_hat"].absolute <= 1
    manifest = reparam.load(pair[1], device="cpu").manifest
    assert (manifest.input.dtype, manifest.input.layout) == ("uint8", "channels_last")
    assert (manifest.input.low, manifest.input.high) == (0.0, 1.0)
    assert "uint8" in (pair[1] / "README.md").read_text()


def test_an_array_of_another_kind_is_refused(pair: tuple[Path, Path]) -> None:
    with reparam.load(pair[1], device="cpu") as vae:
        shape = vae.manifest.input.shape
        with pytest.raises(InputTypeError, match="x: dtype must be uint8"):
            vae.encode(np.zeros((1, *shape), np.float32))
        with pytest.raises(InputError, match="x: shape must be"):
            vae.encode(np.zeros((1, *shape[:2], shape[2] + 1), np.uint8))
        with pytest.raises(InputTypeError, match="out: must be a uint8 numpy array"):
            vae.generate(1, seed=1, out=np.zeros((1, *shape), np.float32))
        with pytest.raises(OptionError, match="names no likelihood"):
            vae.elbo(np.zeros((1, *shape), np.uint8), seed=1)


def test_raw_needs_images_of_a_known_range(tmp_path: Path) -> None:
    flat = VAE.build(VAEConfig(net="mlp", input_shape=(6,), latent=2, hidden=(4,)), seed=1)
    with pytest.raises(
        OptionError, match=r"raw: takes images \[channels, height, width\], this model's rows are \[6\]"
    ):
        reparam_export.export(flat, tmp_path / "flat", raw=True)
    ranged = VAEConfig(net="conv", input_shape=(1, 8, 8), latent=2, hidden=(4,), likelihood="gaussian", std=1.0)
    with pytest.raises(OptionError, match="raw: needs the range of x, got None to None"):
        reparam_export.export(VAE.build(ranged, seed=1), tmp_path / "unknown", raw=True)
    assert list(tmp_path.iterdir()) == []


def test_raw_gives_exactly_the_levels_that_rounding_gives() -> None:
    from reparam_export.adapters.run import from_vae
    from reparam_export.raw import raw

    source = from_vae(VAE.build(CONFIGS["fixed"], seed=3), name="x")
    wrapped = raw(source)
    with torch.no_grad():
        z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
        wanted = (source.decode(z)["x_hat"] * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        assert torch.equal(wrapped.decode(z)["x_hat"], wanted)
