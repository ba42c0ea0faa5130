"""Tiled equals whole where the overlap covers the receptive field; what else a tile promises, and what it refuses."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import reparam
import reparam_export
from reparam.errors import InputError, OptionError
from reparam_export import Modules
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

COVERS = 20  # pixels: the receptive fields are 15 (encoder) and at most 20 (decoder), counted below


class Encoder(nn.Module):
    """Two halvings and a convolution of 3: it sees 1 + 2 + 2 * 2 + 2 * 4 = 15 pixels."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, 6, 3, 2, 1), nn.SiLU(), nn.Conv2d(6, 6, 3, 2, 1), nn.SiLU(), nn.Conv2d(6, 4, 3, 1, 1)]
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.net(x).chunk(2, 1)


def decoder() -> nn.Module:
    """Two doublings between convolutions of 3: it sees at most 5 places of the latent, 20 pixels, across."""
    up = nn.Upsample(scale_factor=2, mode="nearest")
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, 1, 1), nn.SiLU(), up, nn.Conv2d(6, 6, 3, 1, 1), nn.SiLU(), up, nn.Conv2d(6, 3, 3, 1, 1)
    )


def exported(folder: Path, **options: Any) -> Path:
    torch.manual_seed(3)
    pair = Modules(encoder=Encoder(), decoder=decoder(), factors=(4, 4), low=-1.0, high=1.0)
    reparam_export.export(pair, folder, input_shape=(3, 16, 16), **options)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("tiles") / "convolutions")


@pytest.fixture(scope="module")
def vae(folder: Path) -> reparam.VAE:
    """A model of convolutions alone, with open sides."""
    return reparam.load(folder, device="cpu", threads=1, max_batch=2)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> reparam.VAE:
    """A model with group norm, which looks at the whole image."""
    config = VAEConfig(net="resnet", input_shape=(1, 8, 8), latent=2, hidden=(4, 8), likelihood="gaussian", std=0.5)
    folder = tmp_path_factory.mktemp("tiles") / "resnet"
    reparam_export.export(VAE.build(config, seed=3), folder)
    return reparam.load(folder, device="cpu", threads=1)


def images(n: int, size: tuple[int, int], channels: int = 3) -> np.ndarray:
    return reparam.noise("normal", 5, range(n), (channels, *size), stream="data")


sides = st.integers(1, 40).map(lambda places: 4 * places)
tiles = st.integers(11, 24).map(lambda places: 4 * places)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(size=st.tuples(sides, sides), tile=st.tuples(tiles, tiles))
def test_tiled_equals_whole_where_the_overlap_covers_the_receptive_field(
    vae: reparam.VAE, size: tuple[int, int], tile: tuple[int, int]
) -> None:
    x, options = images(2, size), {"tile": tile, "overlap": COVERS}
    q, whole = vae.encode(x, **options), vae.encode(x)
    z = vae.sample(x, seed=7, first_row=3)
    pairs = [
        (q.mean, whole.mean),
        (q.logvar, whole.logvar),
        (vae.sample(x, seed=7, first_row=3, **options), z),
        (vae.decode(z, **options), vae.decode(z)),
        (vae.reconstruct(x, seed=7, **options), vae.reconstruct(x, seed=7)),
    ]
    for found, wanted in pairs:
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_an_overlap_that_covers_less_shows_and_more_of_it_helps(vae: reparam.VAE) -> None:
    x = images(1, (96, 96))
    z, whole = vae.encode(x).mean, vae.reconstruct(x)
    worst = [np.abs(vae.decode(z, tile=(48, 48), overlap=overlap) - whole).max() for overlap in (0, 8, COVERS)]
    assert worst[0] > worst[1] > 1e-4
    assert worst[2] <= 1e-5


def test_a_tile_as_large_as_the_image_is_the_whole_to_the_bit(vae: reparam.VAE) -> None:
    x = images(3, (24, 32))
    for tile in ((24, 32), (400, 400)):
        np.testing.assert_array_equal(vae.encode(x, tile=tile).logvar, vae.encode(x).logvar)
        np.testing.assert_array_equal(vae.reconstruct(x, seed=7, tile=tile), vae.reconstruct(x, seed=7))


@pytest.mark.slow
def test_tiles_of_a_model_that_looks_at_the_whole_image_come_near_it_and_no_nearer(resnet: reparam.VAE) -> None:
    x = images(1, (64, 64), channels=1)
    whole = resnet.reconstruct(x)
    error = resnet.reconstruct(x, tile=(32, 32), overlap=14) - whole
    assert 1e-3 < error.std() / whole.std() < 0.2


def test_tiled_reconstruction_decodes_the_tiled_sample_to_the_bit(vae: reparam.VAE) -> None:
    x, options = images(2, (72, 56)), {"tile": (32, 32), "overlap": 4}
    eps = reparam.noise("normal", 1, range(2), (2, 18, 14))
    z = vae.sample(x, eps=eps, **options)
    np.testing.assert_array_equal(vae.reconstruct(x, eps=eps, **options), vae.decode(z, **options))
    np.testing.assert_array_equal(vae.reconstruct(x, **options), vae.decode(vae.encode(x, **options).mean, **options))


def test_tiles_take_out_and_mapped_files_and_name_a_bad_value_by_its_place_in_the_image(
    vae: reparam.VAE, tmp_path: Path
) -> None:
    x = images(2, (64, 48))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    out = np.full_like(x, np.nan)
    assert vae.reconstruct(mapped, tile=(32, 32), overlap=8, out=out) is out
    np.testing.assert_array_equal(out, vae.reconstruct(x, tile=(32, 32), overlap=8))
    x[1, 2, 60, 40] = np.inf
    with pytest.raises(InputError, match=r"^x: must be finite, got inf at row 1, column \[2, 60, 40\]"):
        vae.encode(x, tile=(32, 32))
    spoiled = np.isnan(vae.encode(x, tile=(32, 32), overlap=8, allow_nan=True).mean)
    assert spoiled[1, :, 15, 10].all()
    assert not spoiled[0].any()
    assert not spoiled[1, :, :8].any()


@pytest.mark.slow
def test_raw_images_are_tiled_to_the_level(tmp_path: Path) -> None:
    with reparam.load(exported(tmp_path / "raw", raw=True), device="cpu", threads=1) as raw:
        x = np.random.default_rng(0).integers(0, 256, (2, 72, 60, 3), np.uint8)
        found, whole = raw.reconstruct(x, tile=(48, 44), overlap=COVERS), raw.reconstruct(x)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - whole).max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": (30, 32)}, r"^tile: height and width must be multiples of \[4, 4\], got \[30, 32\]"),
        ({"tile": (0, 32)}, r"^tile\[0\]: must be an integer of at least 1, got 0"),
        ({"tile": 32}, r"^tile: must be \(height, width\) in pixels of x, got 32"),
        ({"tile": (32, 32, 32)}, r"^tile: must be \(height, width\)"),
        ({"tile": (32, 32), "overlap": 6}, "^overlap: must be a multiple of 4 and less than half"),
        ({"tile": (32, 64), "overlap": 16}, "^overlap: must be a multiple of 4 and less than half"),
        ({"tile": (32, 32), "overlap": -4}, "^overlap: must be an integer of at least 0"),
        ({"overlap": 8}, "^overlap: is of tiles; give tile="),
    ],
)
def test_a_tile_that_cannot_be_is_refused_by_name(vae: reparam.VAE, options: dict[str, Any], message: str) -> None:
    x = images(1, (64, 64))
    for call in (vae.encode, lambda x, **more: vae.sample(x, seed=1, **more), vae.reconstruct):
        with pytest.raises(OptionError, match=message):
            call(x, **options)
    with pytest.raises(OptionError, match=message):
        vae.decode(images(1, (4, 4))[:, :2], **options)


def test_rows_of_fixed_size_take_no_tiles() -> None:
    with (
        reparam.load(Path(__file__).resolve().parents[2] / "models" / "digits", device="cpu") as digits,
        pytest.raises(OptionError, match=r"^tile: this bundle's rows are always \[1, 8, 8\]; leave it out"),
    ):
        digits.encode(np.zeros((1, 1, 8, 8), np.float32), tile=(4, 4))


MEASURE = """
import re, sys
import numpy as np, reparam
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
vae = reparam.load(sys.argv[1], device="cpu", threads=1)
z = np.zeros((1, 2, 512, 512), np.float32)
out = np.zeros((1, 3, 2048, 2048), np.float32)
out += 1  # its pages are there before
tile = None if sys.argv[2] == "whole" else (256, 256)
vae.decode(z[:, :, :64, :64])
before = peak()
vae.decode(z, out=out, tile=tile)
print((peak() - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_the_memory_of_tiles_is_bounded_by_the_tile(folder: Path) -> None:
    def megabytes(how: str) -> float:
        command = [sys.executable, "-c", MEASURE, str(folder), how]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert megabytes("tiles") < 16
    assert megabytes("whole") > 200
