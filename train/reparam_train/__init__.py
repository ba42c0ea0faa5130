"""Trains variational autoencoders with PyTorch. Importing this package loads nothing heavy; its names do, when used."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reparam_train.checkpoint import Run, read_run
    from reparam_train.evaluate import Elbo, elbo
    from reparam_train.loop import Result, fit
    from reparam_train.model import VAE
    from reparam_train.options import Options, VAEConfig, config_for

__all__ = ["VAE", "Elbo", "Options", "Result", "Run", "VAEConfig", "config_for", "elbo", "fit", "read_run"]
_HOMES: Final = {"Elbo": "evaluate", "elbo": "evaluate", "Result": "loop", "fit": "loop", "VAE": "model"} | {
    "Options": "options", "VAEConfig": "options", "config_for": "options", "Run": "checkpoint", "read_run": "checkpoint"
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
