"""A model is tried on three rows before it is traced, so that what cannot be exported is refused by its reason.

Refused: values that are not finite, another first axis than the batch, a mean and a scale of different shapes, x_hat of
another shape than x, and a row whose result changes from call to call (the model draws) or with the rows beside it.
"""

# pyright: reportUnknownMemberType=false
# (torch.from_numpy leaves its argument untyped)

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor

import reparam
from reparam.bundle.manifest import Input
from reparam.errors import ExportError, ReparamError, VerificationError
from reparam_export.adapters.reasons import reason
from reparam_export.source import Decode, Encode

_ROWS: Final = 3
_TOLERANCE: Final = 1e-3  # of the largest value: far above rounding, far below what noise or a batch norm changes


def tried(encode: Encode, decode: Decode, rows: Input) -> tuple[int, ...]:
    """The shape of a row of z, once both functions kept the rules.

    Args:
        encode: as in `Source`, on modules in eval mode.
        decode: as in `Source`.
        rows: a row of x; the trial rows are keyed noise over its range.

    Raises:
        ExportError: a rule is broken, or a function raises.
        VerificationError: a value is not finite.
    """
    x = trial_rows(rows)
    state = torch.random.get_rng_state()  # a model that draws shall not move the caller's generator
    try:
        encoded = _kept("encoder", lambda part: {str(place): value for place, value in enumerate(encode(part))}, x)
        shapes = {tuple(value.shape[1:]) for value in encoded.values()}
        if len(shapes) != 1 or () in shapes:
            found = " and ".join(str(list(value.shape)) for value in encoded.values())
            raise ExportError(f"encoder: its outputs must have one shape, [batch, ...latent], got {found}; mend it")
        decoded = _kept("decoder", decode, encoded["0"])
    finally:
        torch.random.set_rng_state(state)
    for name, value in decoded.items():
        if value.shape != x.shape:
            raise ExportError(
                f"decoder: {name} must have the shape of x, {list(x.shape)}, got {list(value.shape)}; mend it or give "
                "another input_shape"
            )
    return shapes.pop()


def trial_rows(rows: Input) -> Tensor:
    """Three rows [3, *input] over the value range, or standard normal ones."""
    noise = torch.from_numpy(reparam.noise("normal", 1, range(_ROWS), rows.shape, stream="data"))
    if rows.low is None or rows.high is None:
        return noise
    return rows.low + (rows.high - rows.low) * torch.sigmoid(noise)


def _kept(role: str, function: Callable[[Tensor], Mapping[str, Tensor]], x: Tensor) -> dict[str, Tensor]:
    """What a function gives for rows, once it gave the same for them again and for one of them alone."""
    found, again, alone = (_called(role, function, part) for part in (x, x, x[1:2]))
    for name, value in found.items():
        if value.dtype != torch.float32:
            raise ExportError(f"{role}: must give float32, got {value.dtype}; pass the model in float32")
        if value.ndim == 0 or len(value) != _ROWS or alone[name].shape != (1, *value.shape[1:]):
            shapes = f"{list(value.shape)} and {list(alone[name].shape)}"
            raise ExportError(f"{role}: ignores its batch axis: {_ROWS} rows and 1 row gave {shapes}; mend it")
        if not torch.isfinite(value).all():
            raise VerificationError(f"{role}: gives a value that is not finite for rows of noise; mend the model")
        bound = _TOLERANCE * float(value.abs().max())
        if float((value - again[name]).abs().max()) > bound:
            raise ExportError(
                f"{role}: gave the same rows another result the second time: it draws random numbers; leave that out, "
                "eps is added by the graph"
            )
        if float((value[1:2] - alone[name]).abs().max()) > bound:
            raise ExportError(f"{role}: a row's result must depend on that row alone, and it changed with its batch")
    return found


def _called(role: str, function: Callable[[Tensor], Mapping[str, Tensor]], x: Tensor) -> dict[str, Tensor]:
    try:
        return dict(function(x))
    except ReparamError:
        raise
    except Exception as error:  # anyone's code, which may raise anything
        raise ExportError(
            f"{role}: fails for rows of shape {list(x.shape)}: {reason(error)}; give the input_shape that it takes, or "
            "mend it"
        ) from error
