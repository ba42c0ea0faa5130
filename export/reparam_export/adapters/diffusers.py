"""Autoencoders of diffusers: AutoencoderKL, AutoencoderTiny and AutoencoderDC, as objects or as saved folders.

    AutoencoderKL    mean, logvar = halves of quant_conv(encoder(x)), logvar clamped to [-30, 20]
                     x_hat = decoder(post_quant_conv(z)); a model may lack both 1 x 1 convolutions
    AutoencoderTiny  z = encoder(x), x_hat = decoder(z)
    AutoencoderDC    the same

x and x_hat are images of -1 to 1. z is the model's own; what diffusion models make of it is recorded beside it:
(z - shift_factor) * scaling_factor. The likelihood is not recorded by diffusers. Slicing and tiling are ways to save
memory, not part of the model: the graphs have neither.

Sources: R. Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022
(arXiv:2112.10752), section 3.1 and appendix G; diffusers 0.36, models/autoencoders; O. B. Bohan's TAESD; J. Chen et
al., "Deep Compression Autoencoder for Efficient High-Resolution Diffusion Models", ICLR 2025 (arXiv:2410.10733).
"""

import copy
import math
from collections.abc import Callable
from typing import Any, Final, NoReturn

from torch import Tensor, nn

from reparam.bundle.manifest import Input, Latent
from reparam.errors import ExportError, OptionError
from reparam.verification import FOREIGN
from reparam_export.adapters.copies import as_traceable
from reparam_export.adapters.diffusers_folder import class_name, model_folder, read_folder
from reparam_export.adapters.paths import as_path
from reparam_export.source import Decode, Encode, Source

_LOW, _HIGH = -30.0, 20.0  # of logvar, as in diffusers' DiagonalGaussianDistribution
# Ways of computing the same attention that leave PyTorch's own operators, and the one of its own.
_OTHER_KERNELS: Final = ("XFormersAttnProcessor", "SlicedAttnProcessor", "AttnProcessorNPU", "XLAFlashAttnProcessor2_0")


def source(model: object, *, name: str, input_shape: tuple[int, ...] | None) -> Source | None:
    """The adapter of `reparam.adapters`.

    Raises:
        CheckpointError: a saved model that cannot be read.
        ExportError: a model of diffusers that is none of the three.
        OptionError: an input_shape that the model cannot take, or that is needed and missing.
        MissingExtra: a folder, and diffusers is not installed.
    """
    path = as_path(model)
    if path is not None:
        folder = model_folder(path)
        if folder is None:
            return None
        kind = class_name(folder)
        if kind not in _KINDS:
            _refuse(kind, where=str(path))
        module: Any = read_folder(folder, kind)
    else:
        module = getattr(model, "_orig_mod", model)  # what torch.compile wraps
        kinds = [base.__name__ for base in type(module).__mro__ if base.__module__.partition(".")[0] == "diffusers"]
        if not kinds:
            return None
        kind = next((found for found in kinds if found in _KINDS), kinds[0])
        if kind not in _KINDS:
            _refuse(kind, where="model")
        module = as_traceable(module, what="model")
    return _KINDS[kind](_with_plain_attention(module), name, input_shape)


def _refuse(kind: str, *, where: str) -> NoReturn:
    known = ", ".join(_KINDS)
    raise ExportError(f"{where}: diffusers' {kind} is not exported, only {known}; of a pipeline pass its `vae`")


def _with_plain_attention(module: Any) -> Any:
    """The module, or a copy of it whose attention is PyTorch's where it was of another library."""
    processors: dict[str, object] = getattr(module, "attn_processors", {})
    if not any(type(processor).__name__ in _OTHER_KERNELS for processor in processors.values()):
        return module
    from diffusers.models.attention_processor import AttnProcessor2_0

    plain = copy.deepcopy(module)
    plain.set_attn_processor(AttnProcessor2_0())  # type: ignore[no-untyped-call]  # of diffusers
    return plain


def _kl(vae: Any, name: str, input_shape: tuple[int, ...] | None) -> Source:
    """AutoencoderKL: a Gaussian posterior with a spatial latent."""

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        moments = vae.encoder(x)
        if vae.quant_conv is not None:
            moments = vae.quant_conv(moments)
        mean, logvar = moments.chunk(2, dim=1)
        return mean, logvar.clamp(_LOW, _HIGH)

    def decode(z: Tensor) -> dict[str, Tensor]:
        return {"x_hat": vae.decoder(z if vae.post_quant_conv is None else vae.post_quant_conv(z))}

    config = vae.config
    _check_channels(config.in_channels, config.out_channels)
    factor = 2 ** (len(config.block_out_channels) - 1)
    side = config.sample_size
    sides: tuple[int, int] = (side, side) if isinstance(side, int) else tuple(side)
    shape = _image_shape(input_shape or (config.in_channels, *sides), config.in_channels, factor)
    return _made(vae, name, shape, factor, encode=encode, decode=decode, noise=True)


def _tiny(vae: Any, name: str, input_shape: tuple[int, ...] | None) -> Source:
    """AutoencoderTiny: deterministic; its own layers go from [-1, 1] to [0, 1] and back."""
    config = vae.config
    _check_channels(config.in_channels, config.out_channels)
    factor = 2 ** (len(config.encoder_block_out_channels) - 1)
    up = config.upsampling_scaling_factor ** (len(config.decoder_block_out_channels) - 1)
    if up != factor:
        raise ExportError(f"model: its encoder divides a side by {factor} and its decoder multiplies it by {up}")
    shape = _image_shape(_needed(input_shape, config.in_channels), config.in_channels, factor)
    return _made(vae, name, shape, factor, encode=lambda x: (vae.encoder(x),), decode=_plain_decode(vae), noise=False)


def _dc(vae: Any, name: str, input_shape: tuple[int, ...] | None) -> Source:
    """AutoencoderDC: deterministic; its attention chooses by the size of the map, so that sizes are fixed with it."""
    config = vae.config
    factor = vae.spatial_compression_ratio
    shape = _image_shape(_needed(input_shape, config.in_channels), config.in_channels, factor)
    chooses = any(type(part).__name__ == "SanaMultiscaleLinearAttention" for part in vae.modules())
    return _made(
        vae,
        name,
        shape,
        factor,
        encode=lambda x: (vae.encoder(x),),
        decode=_plain_decode(vae),
        noise=False,
        dynamic=not chooses,
    )


def _plain_decode(vae: Any) -> Decode:
    return lambda z: {"x_hat": vae.decoder(z)}


def _made(
    vae: Any,
    name: str,
    shape: tuple[int, ...],
    factor: int,
    *,
    encode: Encode,
    decode: Decode,
    noise: bool,
    dynamic: bool = True,
) -> Source:
    config = vae.config
    module: nn.Module = vae
    return Source(
        name=name,
        module=module,
        encode=encode,
        decode=decode,
        input=Input(
            shape=shape, layout="channels_first", low=-1.0, high=1.0, factors=(factor, factor) if dynamic else None
        ),
        latent=Latent(
            shape=(config.latent_channels, *(side // factor for side in shape[1:])),
            noise="normal" if noise else None,
            scaling_factor=_number(config, "scaling_factor", positive=True),
            shift_factor=_number(config, "shift_factor"),
        ),
        likelihood=None,
        training=None,
        bound=FOREIGN,
    )


def _number(config: Any, key: str, *, positive: bool = False) -> float | None:
    """A number of the configuration, which a file may have given."""
    value = config.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float) or not math.isfinite(value) or (positive and value <= 0):
        kind = "a finite number above 0" if positive else "a finite number"
        raise ExportError(f"model: its {key} must be {kind}, got {value!r:.80}; mend its configuration")
    return float(value)


def _check_channels(taken: int, given: int) -> None:
    if taken != given:
        raise ExportError(f"model: it takes images of {taken} channels and gives {given}; x_hat must be like x")


def _needed(input_shape: tuple[int, ...] | None, channels: int) -> tuple[int, ...]:
    if input_shape is None:
        raise OptionError(f"input_shape: the model does not record its image size; give ({channels}, height, width)")
    return input_shape


def _image_shape(shape: tuple[int, ...], channels: int, factor: int) -> tuple[int, ...]:
    """The shape, if it is one that the model takes."""
    if len(shape) != 3 or shape[0] != channels or any(side % factor for side in shape[1:]):
        rule = f"[{channels}, height, width]" + (f", its sides multiples of {factor}" if factor > 1 else "")
        raise OptionError(f"input_shape: must be {rule}, got {list(shape)}; give such a shape")
    return shape


_KINDS: Final[dict[str, Callable[[Any, str, tuple[int, ...] | None], Source]]] = {
    "AutoencoderKL": _kl,
    "AutoencoderTiny": _tiny,
    "AutoencoderDC": _dc,
}
