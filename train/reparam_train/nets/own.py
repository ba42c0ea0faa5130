"""Anyone's own pair of modules: a function, package.module:function, from the configuration to (encoder, decoder).

    encoder(x [batch, *input_shape]) -> (mean, logvar), each [batch, *latent_shape]; z alone for posterior "none"
    decoder(z [batch, *latent_shape]) -> raw [batch, *raw_shape]

logvar needs no bounds of its own. The function reads what it likes of the configuration (hidden, activation, ...); its
module is imported again whenever the run is read. Both modules are tried once when the model is built: for their
shapes, and for the rule that a row's result depends on that row alone, which batch norm and dropout break.
"""

import math
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from reparam.errors import OptionError, ReparamError
from reparam_train import functions
from reparam_train.options import VAEConfig

_MIXES: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_DRAWS: Final = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_ROWS: Final = 3  # of the trial batch
_TOLERANCE: Final = 1e-3  # of the largest value: far above rounding, far below what a batch norm changes


def build(config: VAEConfig) -> tuple[nn.Module, nn.Module]:
    """The encoder and the decoder that the function of `config.net` gives, tried on one batch.

    Raises:
        OptionError: it cannot be imported or called; it gives no two modules; their shapes are not those of the
            configuration; or a row's result depends on other rows or on chance.
    """
    function = functions.find(config.net, option="net")
    pair: Any = _called(config.net, function, config)
    modules = cast("tuple[object, ...]", pair) if isinstance(pair, tuple) else (pair,)
    if len(modules) != 2 or not all(isinstance(module, nn.Module) for module in modules):
        found = ", ".join(type(module).__name__ for module in modules)
        raise OptionError(f"net: {config.net} must return (encoder, decoder), two torch modules, got ({found})")
    encoder, decoder = cast("tuple[nn.Module, nn.Module]", modules)
    for role, module in (("encoder", encoder), ("decoder", decoder)):
        _check_parts(config.net, role, module)
    with torch.no_grad():
        _check_encoder(config, encoder)
        raw = _tried(config, "decoder", decoder, config.latent_shape, ("raw",))
        _check_shape(config, "decoder", "raw", raw[0], config.raw_shape)
    return encoder, decoder


def _called(name: str, function: Any, *arguments: Any) -> Any:
    """What a user's function gives; its errors in one line of ours, theirs as the cause."""
    try:
        with functions.current_folder():
            return function(*arguments)
    except ReparamError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise OptionError(f"net: {name} failed with {type(error).__name__}: {reason}; mend it") from error


def _check_parts(name: str, role: str, module: nn.Module) -> None:
    """Refuses the modules that are known to mix rows or to draw."""
    parts: dict[str, nn.Module] = dict(module.named_modules())  # pyright: ignore[reportUnknownArgumentType]  # torch's
    for place, part in parts.items():
        mixes = isinstance(part, _MIXES) or bool(getattr(part, "track_running_stats", False))
        draws = isinstance(part, _DRAWS) and part.p > 0
        kind: str = type(part).__name__
        if mixes or draws:
            rule = "see other rows; use GroupNorm or LayerNorm" if mixes else "draw; leave it out or give it p=0"
            raise OptionError(f"net: {name}: {role}.{place} is a {kind}, and no layer may {rule}")


def _check_encoder(config: VAEConfig, encoder: nn.Module) -> None:
    names = ("z",) if config.posterior == "none" else ("mean", "logvar")
    found = _tried(config, "encoder", encoder, config.input_shape, names)
    for name, value in zip(names, found, strict=True):
        _check_shape(config, "encoder", name, value, config.latent_shape)


def _check_shape(config: VAEConfig, role: str, name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    wanted, got = [_ROWS, *shape], list(value.shape)
    if got == wanted:
        return
    remedy = f"mend the {role}"
    if role == "encoder" and len(got) > 1 and got[0] == _ROWS:
        sides = f" and latent_sides {','.join(map(str, got[2:]))}" if got[2:] else ""
        remedy += f", or give latent {got[1]}{sides}"
    raise OptionError(f"net: {config.net}: {name} of the {role} must have shape {wanted}, got {got}; {remedy}")


def _tried(
    config: VAEConfig, role: str, module: nn.Module, shape: tuple[int, ...], names: tuple[str, ...]
) -> tuple[Tensor, ...]:
    """What a module gives for a batch of rows, once it gave the same for the second of them alone."""
    x = torch.arange(_ROWS * math.prod(shape), dtype=torch.float32).sin().reshape(_ROWS, *shape)
    found, alone = (_tensors(config, role, _called(config.net, module, rows), names) for rows in (x, x[1:2]))
    for name, whole, one in zip(names, found, alone, strict=True):
        if whole.is_meta or len(whole) != _ROWS or whole[1:2].shape != one.shape:
            continue  # without values, or of a shape that is refused next
        if float((whole[1:2] - one).abs().max()) > _TOLERANCE * float(whole.abs().max()):
            raise OptionError(
                f"net: {config.net}: {name} of the {role} must depend on its row alone, and a row gave another in "
                "another batch; leave out what mixes rows or draws"
            )
    return found


def _tensors(config: VAEConfig, role: str, found: object, names: tuple[str, ...]) -> tuple[Tensor, ...]:
    """The results as so many tensors; z or raw may stand alone."""
    values = cast("tuple[object, ...]", found) if isinstance(found, tuple) else (found,)
    if len(values) != len(names) or not all(isinstance(value, Tensor) for value in values):
        wanted, got = " and ".join(names), ", ".join(type(value).__name__ for value in values)
        raise OptionError(f"net: {config.net}: the {role} must give {wanted} as tensors, got {got}; mend it")
    return cast("tuple[Tensor, ...]", values)
