"""Anyone's pair of modules or functions, or one object with `encode` and `decode`.

    encoder(x [batch, *input]) -> (mean, scale), each [batch, *latent], or an object that names them; z alone of a plain
                                  autoencoder
    decoder(z [batch, *latent]) -> x_hat [batch, *input], alone or with what the likelihood is scored with

The scale is what was stated: logvar, std (logvar = 2 log std) or variance (logvar = log variance).
"""

import contextlib
import dataclasses
import math
import numbers
from collections.abc import Callable, Generator
from typing import Any, cast, get_args

import msgspec
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.bundle.manifest import Input, Latent, Likelihood
from reparam.errors import OptionError
from reparam.laws import Law
from reparam.verification import FOREIGN
from reparam_export.adapters.callables import prepared
from reparam_export.adapters.outputs import Scale, code, decoded, posterior
from reparam_export.adapters.trial import tried
from reparam_export.source import Source, in_eval_mode


@dataclasses.dataclass(frozen=True, kw_only=True)
class Modules:
    """A model as two functions on tensors, and what nobody can read from them.

    Attributes:
        encoder: x [batch, *input] to (mean, scale), or a mapping or object that names them.
        decoder: z [batch, *latent] to x_hat [batch, *input], alone, in a tuple, or named in a mapping or object.
        scale: what the encoder's second output is: "logvar", "std" or "variance".
        deterministic: whether it is a plain autoencoder, whose encoder gives z alone.
        noise: law of the standardised noise of the posterior: "normal", "uniform" or "laplace".
        likelihood: p(x given z), of `reparam.bundle.manifest`; None where it is not known, and then nothing is scored.
            The decoder gives what it is scored with by name; of `logits` alone x_hat is the sigmoid.
        low: smallest value of x in training, if it has one.
        high: largest value of x in training.
        factors: how many times the latent's height and width those of x are, where both are dynamic.
    """

    encoder: Callable[..., Any]
    decoder: Callable[..., Any]
    scale: Scale = "logvar"
    deterministic: bool = False
    noise: Law = "normal"
    likelihood: Likelihood | None = None
    low: float | None = None
    high: float | None = None
    factors: tuple[int, int] | None = None


def source(model: object, *, name: str, input_shape: tuple[int, ...] | None) -> Source | None:
    """The adapter of `reparam.adapters`.

    Raises:
        OptionError: no input_shape, or a field of `Modules` that is none of its values.
        ExportError: the functions do not keep the contract.
        VerificationError: they give a value that is not finite.
    """
    pair = _pair(model)
    if pair is None:
        return None
    _check(pair)
    if input_shape is None:
        raise OptionError("input_shape: a pair of modules does not say it; give that of one row, without the batch")
    copies: dict[nn.Module, nn.Module] = {}
    encoder, its_modules = prepared(pair.encoder, what="encoder", copies=copies)
    decoder, others = prepared(pair.decoder, what="decoder", copies=copies)
    module = nn.ModuleList(dict.fromkeys([*its_modules, *others]))

    def encode(x: Tensor) -> tuple[Tensor, ...]:
        with _traceable_distributions():
            found = encoder(x)
            return (code(found),) if pair.deterministic else posterior(found, pair.scale)

    def decode(z: Tensor) -> dict[str, Tensor]:
        with _traceable_distributions():
            return decoded(decoder(z), pair.likelihood)

    rows = Input(
        shape=input_shape,
        layout="features" if len(input_shape) == 1 else "channels_first",
        low=None if pair.low is None else float(pair.low),
        high=None if pair.high is None else float(pair.high),
        factors=pair.factors,
    )
    with in_eval_mode(module):
        latent = tried(encode, decode, rows)
    _check_factors(rows, latent)
    return Source(
        name=name,
        module=module,
        encode=encode,
        decode=decode,
        input=rows,
        latent=Latent(shape=latent, noise=None if pair.deterministic else pair.noise),
        likelihood=pair.likelihood,
        training=None,
        bound=FOREIGN,
    )


@contextlib.contextmanager
def _traceable_distributions() -> Generator[None]:
    """Distributions of torch without the check of their values, which is a branch that no graph can hold."""
    validated: bool = vars(Distribution)["_validate_args"]  # torch has a setter for it and nothing to read it with
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(validated)


def _pair(model: Any) -> Modules | None:
    """The pair that a model is; None where it is none."""
    if isinstance(model, Modules):
        return model
    if isinstance(model, tuple):
        parts = cast("tuple[object, ...]", model)
        both = len(parts) == 2 and all(map(callable, parts))
        return Modules(encoder=cast("Any", parts[0]), decoder=cast("Any", parts[1])) if both else None
    one: Any = getattr(cast("object", model), "_orig_mod", cast("object", model))
    encode, decode = getattr(one, "encode", None), getattr(one, "decode", None)
    return Modules(encoder=encode, decoder=decode) if callable(encode) and callable(decode) else None


def _check(pair: Modules) -> None:
    """Refuses what the types of `Modules` forbid; a caller need not have checked them."""
    for field, found, values in (("scale", pair.scale, get_args(Scale)), ("noise", pair.noise, get_args(Law))):
        if found not in values:
            raise OptionError(f"{field}: must be one of {', '.join(values)}, got {found!r}")
    ends = [end for end in (pair.low, pair.high) if end is not None]
    told = all(isinstance(end, numbers.Real) and math.isfinite(end) for end in cast("list[object]", ends))
    if not told or len(ends) == 1 or (ends and not ends[0] < ends[1]):
        raise OptionError(
            f"low, high: give both, finite numbers and low below high, or neither; got {pair.low!r} and {pair.high!r}"
        )
    try:
        known = None if pair.likelihood is None else msgspec.convert(msgspec.to_builtins(pair.likelihood), Likelihood)
    except (TypeError, msgspec.ValidationError) as error:
        raise OptionError(f"likelihood: must be one of `reparam.bundle.manifest`, {error}; mend it") from None
    scale = getattr(known, "std", None) or getattr(known, "scale", None)
    if scale is not None and not math.isfinite(scale):
        raise OptionError(f"likelihood: its scale must be finite, got {scale}; None is one for each dimension")


def _check_factors(rows: Input, latent: tuple[int, ...]) -> None:
    if rows.factors is None:
        return
    sides = tuple(side * factor for side, factor in zip(latent[1:], rows.factors, strict=False))
    if len(rows.shape) != 3 or len(latent) != 3 or rows.shape[1:] != sides:
        found = f"{list(rows.shape)} and {list(latent)}"
        raise OptionError(f"factors: x must have {list(rows.factors)} times the latent's height and width, got {found}")
