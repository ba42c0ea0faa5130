"""What anyone's encoder and decoder give, read by name: tuples, mappings, and objects with attributes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

import torch
from torch import Tensor

from reparam.bundle.manifest import Bernoulli, Likelihood, likelihood_outputs
from reparam.errors import ExportError

Scale = Literal["logvar", "std", "variance"]

_MEAN: Final = ("mean", "loc", "mu")
_SCALES: Final[dict[Scale, tuple[str, ...]]] = {
    "logvar": ("logvar", "log_var"),
    "std": ("std", "stddev"),
    "variance": ("variance", "var"),
}
_CODE: Final = ("z", "latent", "latents", "embedding")
_X_HAT: Final = ("x_hat", "sample", "reconstruction", "mean")  # diffusers, pythae, torch.distributions
_FLOOR: Final = -30.0  # of logvar: where a scale is 0 its logarithm is not finite


def posterior(found: Any, scale: Scale) -> tuple[Tensor, Tensor]:
    """Mean and logvar of what an encoder gave, which is stated in the form `scale`.

    A scale of 0 becomes logvar -30, a standard deviation of 3e-7; a negative one becomes NaN, which is refused later.

    Args:
        found: (mean, scale), or a mapping or object that names both, such as torch.distributions.Normal.
        scale: what the second of them is.

    Raises:
        ExportError: no such pair of tensors.
    """
    parts = _unnamed(found)
    if parts is not None:
        if len(parts) != 2:
            raise ExportError(f"encoder: must give (mean, {scale}), got {len(parts)} values; give these two")
        mean, value = parts
    else:
        mean, value = _named(found, _MEAN), _named(found, _SCALES[scale])
        if mean is None or value is None:
            raise ExportError(f"encoder: must give (mean, {scale}), got {_told(found)}; {_other_form(found)}")
    mean, value = _tensor("encoder", "mean", mean), _tensor("encoder", scale, value)
    match scale:
        case "logvar":
            return mean, value
        case "std":
            return mean, (2.0 * torch.log(value)).clamp(min=_FLOOR)
        case "variance":
            return mean, torch.log(value).clamp(min=_FLOOR)


def code(found: Any) -> Tensor:
    """Z of what a plain autoencoder's encoder gave: a tensor, a tuple of one, or an object that names it.

    Raises:
        ExportError: no such tensor.
    """
    parts = _unnamed(found)
    if parts is not None:
        if len(parts) != 1:
            raise ExportError(f"encoder: a deterministic one must give z alone, got {len(parts)} values; give z")
        return _tensor("encoder", "z", parts[0])
    return _tensor("encoder", "z", found if isinstance(found, Tensor) else _named(found, _CODE))


def decoded(found: Any, likelihood: Likelihood | None) -> dict[str, Tensor]:
    """x_hat and what the likelihood is scored with, of what a decoder gave.

    Args:
        found: x_hat alone, a tuple in the contract's order, or a mapping or object that names them.
        likelihood: says what is needed besides x_hat; of Bernoulli logits alone x_hat is their sigmoid.

    Raises:
        ExportError: one of them is not there, or is no tensor.
    """
    names, parts = likelihood_outputs(likelihood), _unnamed(found)
    values: dict[str, Any] = {}
    if isinstance(found, Tensor):
        values["x_hat"] = found
    elif parts is not None:
        values = dict(zip(names, parts, strict=False))
    else:
        values = {name: _named(found, _X_HAT if name == "x_hat" else (name,)) for name in names}
    if isinstance(likelihood, Bernoulli) and values.get("x_hat") is None and values.get("logits") is not None:
        values["x_hat"] = torch.sigmoid(_tensor("decoder", "logits", values["logits"]))
    lacking = [name for name in names if values.get(name) is None]
    if lacking:
        kind = "" if likelihood is None else f" for a {type(likelihood).__name__} likelihood"
        raise ExportError(
            f"decoder: must give {' and '.join(names)}{kind}, got {_told(found)}; give it as a dict of these names"
        )
    return {name: _tensor("decoder", name, values[name]) for name in names}


def _unnamed(found: Any) -> Sequence[Any] | None:
    """The items of a plain tuple or list; None of what names its parts."""
    if isinstance(found, tuple | list) and not hasattr(cast("object", found), "_fields"):
        return cast("Sequence[Any]", found)
    return None


def _named(found: Any, names: tuple[str, ...]) -> Any:
    """The first of the names that a mapping or object has; a method, as `sample` of a distribution is, counts not."""
    named = cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else None
    for name in names:
        value: Any = getattr(cast("object", found), name, None) if named is None else named.get(name)
        if value is not None and (isinstance(value, Tensor) or not callable(value)):
            return value
    return None


def _tensor(role: str, name: str, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise ExportError(f"{role}: {name} must be a torch tensor, got {_told(value)}; give one")
    return value


def _other_form(found: Any) -> str:
    other = next((form for form, names in _SCALES.items() if _named(found, names) is not None), None)
    return "give both" if other is None else f"state its form with Modules(..., scale={other!r})"


def _told(found: object) -> str:
    """What something is, in a few words."""
    if isinstance(found, Mapping):
        return f"a mapping of {', '.join(map(str, cast('Mapping[object, object]', found)))}"[:100]
    return f"a {type(found).__qualname__}"
