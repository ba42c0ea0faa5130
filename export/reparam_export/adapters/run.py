"""Our own models: a run folder that `reparam train` wrote, or a `reparam_train.VAE` in Python."""

import dataclasses
from pathlib import Path

import msgspec

from reparam.bundle.manifest import Data, Input, Latent, Training
from reparam.errors import OptionError
from reparam_export.adapters.paths import as_path
from reparam_export.source import Source
from reparam_train.checkpoint import read_run
from reparam_train.model import VAE
from reparam_train.named import named
from reparam_train.objectives import describe
from reparam_train.options import VAEConfig
from reparam_train.record import FILE


def source(model: object, *, name: str, input_shape: tuple[int, ...] | None) -> Source | None:
    """The adapter of `reparam.adapters`.

    Raises:
        CheckpointError: a run folder without a good checkpoint.
        OptionError: an input_shape that is not the model's.
    """
    if isinstance(model, VAE):
        found = from_vae(model, name=name)
    elif (folder := as_path(model)) and (folder / FILE).exists():
        found = from_run(folder, name=name)
    else:
        return None
    if input_shape not in (None, found.input.shape):
        own = list(found.input.shape)
        raise OptionError(f"input_shape: the model takes rows of {own}, got {list(input_shape)}; leave it out")
    return found


def from_run(path: Path, *, name: str) -> Source:
    """The model of a run folder, with how it was trained.

    Raises:
        CheckpointError: no run there, or no good checkpoint in it.
    """
    run = read_run(path)
    record = run.record
    options = msgspec.to_builtins(record.config) | msgspec.to_builtins(record.options)
    options |= msgspec.to_builtins(record.reading)
    options.pop("columns")  # the likelihood names them
    training = Training(
        data=Data(
            name=record.data, sha256=record.data_sha256, train_rows=record.train_rows, test_rows=record.test_rows
        ),
        objective=describe(record.options),
        metrics=run.metrics,
        seed=record.options.seed,
        options=options,
        versions=record.versions,
    )
    source = from_vae(run.model, name=name)
    rows = msgspec.structs.replace(source.input, layout=record.layout, low=record.low, high=record.high)
    return dataclasses.replace(source, input=rows, training=training)


def from_vae(model: VAE, *, name: str) -> Source:
    """A model in Python."""
    config = model.config
    bernoulli = config.likelihood == "bernoulli"
    deterministic = config.posterior == "none"
    return Source(
        name=name,
        module=model,
        encode=(lambda x: (model.code(x),)) if deterministic else model.encode,
        decode=lambda z: dict(model.decode(z)),
        input=Input(
            shape=config.input_shape,
            layout="features" if len(config.input_shape) == 1 else "channels_first",
            low=0.0 if bernoulli else None,
            high=1.0 if bernoulli else None,
            factors=_factors(config),
        ),
        latent=Latent(shape=config.latent_shape, noise=None if deterministic else config.law),
        likelihood=named(model),
        training=None,
    )


def _factors(config: VAEConfig) -> tuple[int, int] | None:
    """How many times the latent's side a side of x is, where the net is fully convolutional over images."""
    if config.net != "resnet" or len(config.input_shape) != 3:
        return None
    factor = 2 ** (len(config.hidden) - 1)
    return factor, factor
