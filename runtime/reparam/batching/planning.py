"""A caller's arguments made a `Plan`, in the caller's own thread: what does not fit never reaches a batch."""

from typing import Any

import numpy.typing as npt

from reparam.batching.call import Arrays, Kind, Plan
from reparam.engine.rows import Rows
from reparam.face.coding import Coding


def plan_encode(rows: Rows, x: object, *, allow_nan: bool) -> Plan:
    """Of `VAE.encode`; raises what it raises of shape, dtype and model."""
    rows.law()
    fitting, array = rows.for_x(x)
    return Plan(Kind("encode", fitting.input, False, allow_nan), array, None)


def plan_sample(
    rows: Rows, x: object, *, eps: npt.NDArray[Any] | None, seed: int | None, first_row: int, allow_nan: bool
) -> Plan:
    """Of `VAE.sample`; the noise of a seed is drawn here."""
    fitting, array = rows.for_x(x)
    eps_of = fitting.noise_of(eps, seed=seed, first_row=first_row, rows=len(array), allow_nan=allow_nan)
    noisy = not rows.manifest.deterministic
    return Plan(Kind("sample", fitting.input, noisy, allow_nan), array, eps_of(0, len(array)) if noisy else None)


def plan_decode(rows: Rows, z: object, *, allow_nan: bool) -> Plan:
    """Of `VAE.decode`."""
    fitting, array = rows.for_z(z)
    return Plan(Kind("decode", fitting.latent, False, allow_nan), array, None)


def plan_reconstruct(
    rows: Rows, x: object, *, eps: npt.NDArray[Any] | None, seed: int | None, first_row: int, allow_nan: bool
) -> Plan:
    """Of `VAE.reconstruct`: without noise from the posterior's mean."""
    if eps is None and seed is None and not first_row:
        fitting, array = rows.for_x(x)
        return Plan(Kind("reconstruct", fitting.input, False, allow_nan), array, None)
    plan = plan_sample(rows, x, eps=eps, seed=seed, first_row=first_row, allow_nan=allow_nan)
    return plan._replace(kind=plan.kind._replace(op="reconstruct"))


def run_plan(vae: Coding, plan: Plan) -> Arrays:
    """What the model gives for a plan: (mean, logvar) of encode, (z,) of sample, (x_hat,) of the others."""
    kind, array, eps = plan
    match kind.op:
        case "encode":
            posterior = vae.encode(array, allow_nan=kind.allow_nan)
            return posterior.mean, posterior.logvar
        case "sample":
            return (vae.sample(array, eps=eps, allow_nan=kind.allow_nan),)
        case "decode":
            return (vae.decode(array, allow_nan=kind.allow_nan),)
        case "reconstruct":
            return (vae.reconstruct(array, eps=eps, allow_nan=kind.allow_nan),)
