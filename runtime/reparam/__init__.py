"""Variational autoencoders through onnxruntime, without PyTorch. Randomness is data: noise is (seed, row)."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from reparam import errors

if TYPE_CHECKING:
    from reparam.anomaly import p_values
    from reparam.batching.batcher import Batcher
    from reparam.batching.queue import BatcherStats
    from reparam.engine.device_arrays import DeviceArrays
    from reparam.engine.info import Info, Placement
    from reparam.engine.pinned import Pinned
    from reparam.evaluation import Evaluation
    from reparam.laws import noise
    from reparam.mixture import GaussianMixture
    from reparam.posterior import Posterior
    from reparam.vae import VAE, load
    from reparam.verification import verify

__all__ = [
    "VAE",
    "Batcher",
    "BatcherStats",
    "DeviceArrays",
    "Evaluation",
    "GaussianMixture",
    "Info",
    "Pinned",
    "Placement",
    "Posterior",
    "errors",
    "load",
    "noise",
    "p_values",
    "verify",
]
_HOMES: Final = {
    "VAE": "vae",
    "Batcher": "batching.batcher",
    "BatcherStats": "batching.queue",
    "DeviceArrays": "engine.device_arrays",
    "Evaluation": "evaluation",
    "GaussianMixture": "mixture",
    "Info": "engine.info",
    "Pinned": "engine.pinned",
    "Placement": "engine.info",
    "Posterior": "posterior",
    "load": "vae",
    "noise": "laws",
    "p_values": "anomaly",
    "verify": "verification",
}


def __getattr__(name: str) -> object:
    """Loads a public name when it is first used, so that the command line answers at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
