"""The models of a GPU report: bundles, made from a seed where they do not ship, and the same models in PyTorch."""

import dataclasses
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

import reparam
import reparam_export
from reparam.files.atomic import write_bytes
from reparam_train.model import VAE
from reparam_train.options import VAEConfig
from reparam_train.rebuilt import from_bundle

ROOT = Path(__file__).resolve().parents[2]
CONV = VAEConfig(
    net="conv", input_shape=(3, 64, 64), latent=64, hidden=(32, 64, 128, 256), likelihood="gaussian", activation="silu"
)


@dataclasses.dataclass(frozen=True)
class Model:
    """A bundle and its twin in PyTorch.

    Attributes:
        name: in the report.
        bundle: its folder.
        encode: x [n, *input] to mean and logvar, tensors.
        decode: z [n, *latent] to x_hat, a tensor.
        module: what holds the weights of both.
        batches: that are timed, smallest first.
        precisions: that the bundle holds, in the order in which they are timed.
        asked: options of `reparam benchmark`, beside devices.
    """

    name: str
    bundle: Path
    encode: Callable[[Any], tuple[Any, ...]]
    decode: Callable[[Any], Any]
    module: torch.nn.Module
    batches: tuple[int, ...]
    precisions: tuple[str, ...]
    asked: tuple[str, ...]


_SMALL: Final = ("--seconds", "35", "--batches", "1,8,64,256", "--precisions", "fp32")
# a row takes a CPU seconds, whatever is asked of it
_LARGE: Final = (
    *("--seconds", "30", "--batches", "1", "--precisions", "fp32", "--paths", "numpy", "--operations", "encode,decode"),
)


def _ours(name: str, bundle: Path, model: VAE, batches: tuple[int, ...], precisions: tuple[str, ...]) -> Model:
    model = model.eval()
    return Model(name, bundle, model.encode, lambda z: model.decode(z)["x_hat"], model, batches, precisions, _SMALL)


def mnist() -> Model:
    """models/mnist, an MLP of 784-200-200-50."""
    bundle = ROOT / "models" / "mnist"
    return _ours("mnist", bundle, from_bundle(bundle), (1, 8, 64, 4096), ("fp32",))


def digits() -> Model:
    """models/digits, an MLP of 8 x 8 images."""
    bundle = ROOT / "models" / "digits"
    return _ours("digits", bundle, from_bundle(bundle), (1, 64), ("fp32",))


def conv(folder: Path) -> Model:
    """A convolutional VAE of 64 x 64 x 3 images with random weights."""
    model = VAE.build(CONV, seed=0).eval()
    return _ours("conv64", _exported(model, folder / "conv64"), model, (1, 64, 256), ("fp16", "fp32"))


def kl(
    folder: Path,
    *,
    side: int = 512,
    channels: tuple[int, ...] = (128, 256, 512, 512),
    batches: tuple[int, ...] = (1,),
) -> Model:
    """AutoencoderKL in the layout of Stable Diffusion's, with random weights: 84 million at the usual channels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which tests would take for errors: diffusers' own, at import
        from diffusers import AutoencoderKL

    torch.manual_seed(0)
    levels = len(channels)
    vae: Any = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=channels,
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=min(32, channels[0]),
        sample_size=side,
        scaling_factor=0.18215,
    ).eval()
    with torch.no_grad():  # else a decoder of random weights makes what fp16 rounds in z three times as large
        vae.post_quant_conv.weight.mul_(0.1)
    name = f"kl{side}" if channels[0] == 128 else f"kl{side}-{channels[0]}"

    def encode(x: Any) -> tuple[Any, ...]:
        mean, logvar = vae.quant_conv(vae.encoder(x)).chunk(2, dim=1)
        return mean, logvar.clamp(-30.0, 20.0)

    def decode(z: Any) -> Any:
        return vae.decoder(vae.post_quant_conv(z))

    bundle = folder / name
    if not (bundle / "manifest.json").exists():
        # at 64 x 64, where a CPU is done in a minute or two; the graphs take any size that 8 divides
        shape = (3, min(64, side), min(64, side))
        x = reparam.noise("uniform", 0, range(2), shape, stream="data") / np.float32(math.sqrt(3))
        made = _exported(vae, folder / f"{name}.made", name=name, input_shape=shape, calibrate=x)
        _resized(made / "manifest.json", side, 2 ** (levels - 1))
        made.rename(bundle)
    return Model(name, bundle, encode, decode, vae, batches, ("fp16", "fp32"), _LARGE)


def _exported(model: torch.nn.Module, bundle: Path, **options: Any) -> Path:
    """The bundle of a model, made once."""
    if not (bundle / "manifest.json").exists():
        bundle.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter; that fp16 is slow on a CPU is known
            reparam_export.export(model, bundle, precision=("fp32", "fp16"), keep_slower=True, **options)
    return bundle


def _resized(place: Path, side: int, factor: int) -> None:
    """Has a manifest of open sizes name another one as the usual, which `reparam benchmark` takes."""
    manifest = json.loads(place.read_bytes())
    for part, length in (("input", side), ("latent", side // factor)):
        manifest[part]["shape"] = [manifest[part]["shape"][0], length, length]
    write_bytes(place, json.dumps(manifest, indent=2).encode())
