"""The numbers of a finished run, and their mean and spread over seeds."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch

from reparam import noise
from reparam.arrays import FloatArray
from reparam_train import device, posteriors
from reparam_train.checkpoint import read_run
from reparam_train.data.split import Data, Split
from reparam_train.evaluators import evaluate
from reparam_train.model import VAE
from reparam_train.study.frechet import Features, Moments, first_rows, principal_features, squared_distance

CHUNK: Final = 1024  # rows a pass through a decoder


class Space(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the Frechet distances are measured; see frechet.py."""

    components: int
    """Principal components of the training rows, not whitened."""
    explained: float
    """Share of the training rows' variance that they hold."""
    training_rows: int
    """How many gave the components; as many samples are drawn."""
    test_rows: int
    floor: float
    """Squared distance between those training rows and the test rows."""


class Numbers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one run over the test rows, in nats per row where nothing else is said; None where the model has none."""

    elbo: float | None
    rate: float | None
    distortion: float
    """-log p(x given z) at one z a row: a draw of the posterior, or what a plain autoencoder's encoder gives."""
    nll: float | None
    """Importance-sampled negative log-likelihood."""
    nll_se: float | None
    """Standard error of its mean over rows."""
    active_units: int | None
    squared_error: float
    """Of reconstructions from the code (the posterior's mean), mean over values."""
    frechet: float
    """Squared Frechet distance of samples from the prior to the test rows, in the data's units squared."""
    frechet_posterior: float
    """The same where z is drawn from the posteriors of the training rows in place of the prior."""
    posterior_std: float | None
    """Mean over rows and latent dimensions of the posterior's standard deviation; the prior's is 1."""
    code_scale: float
    """Root mean square of those z, over rows and latent dimensions; the prior's is 1."""


class Measured(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An arm of a study with the numbers of its runs."""

    name: str
    objective: str
    """In words, with every number that changes the loss."""
    runs: dict[str, Numbers]
    """By seed."""
    mean: dict[str, float | None]
    """Of each number over the seeds."""
    spread: dict[str, float | None]
    """Their sample standard deviation; None for a single seed."""


def measured(name: str, objective: str, runs: dict[int, Numbers]) -> Measured:
    """The arm's summary."""
    mean: dict[str, float | None] = {}
    spread: dict[str, float | None] = {}
    for field in Numbers.__struct_fields__:
        values = [value for value in (getattr(found, field) for found in runs.values()) if value is not None]
        mean[field] = statistics.fmean(values) if values else None
        spread[field] = statistics.stdev(values) if len(values) > 1 else None
    return Measured(
        name=name,
        objective=objective,
        runs={str(seed): found for seed, found in runs.items()},
        mean=mean,
        spread=spread,
    )


@dataclass(frozen=True)
class Ruler:
    """What all runs of a study are measured by: the rows as they are, without any binarisation."""

    train: FloatArray
    features: Features
    test: Moments
    space: Space

    @classmethod
    def of(cls, data: Data) -> "Ruler":
        """For data after any limit."""
        train, test = first_rows(data.train), first_rows(data.test)
        features = principal_features(train)
        there = features.moments(test)
        space = Space(
            components=features.components.shape[1],
            explained=features.explained,
            training_rows=len(train),
            test_rows=len(test),
            floor=squared_distance(features.moments(train), there),
        )
        return cls(train, features, there, space)

    def distance(self, samples: FloatArray) -> float:
        """Squared distance of samples [n, *shape] to the test rows."""
        return squared_distance(self.features.moments(samples), self.test)


def decoded(model: VAE, z: FloatArray) -> FloatArray:
    """x_hat [n, *shape] of z [n, *latent], in chunks."""
    where = next(model.parameters()).device
    with torch.inference_mode():
        parts = [
            model.decode(torch.as_tensor(z[start : start + CHUNK], device=where))["x_hat"].cpu().numpy()
            for start in range(0, len(z), CHUNK)
        ]
    return np.concatenate(parts)


def encoded(model: VAE, x: FloatArray) -> tuple[FloatArray, FloatArray | None]:
    """The code and the standard deviation of rows, [n, *latent] each; None for the second of a plain autoencoder."""
    where, codes, stds = next(model.parameters()).device, list[FloatArray](), list[FloatArray]()
    with torch.inference_mode():
        for start in range(0, len(x), CHUNK):
            part = torch.as_tensor(x[start : start + CHUNK], device=where)
            if model.config.posterior == "none":
                codes.append(model.code(part).cpu().numpy())
                continue
            mean, logvar = model.encode(part)
            codes.append(mean.cpu().numpy())
            stds.append(posteriors.sample(torch.zeros_like(mean), logvar, torch.ones_like(mean)).cpu().numpy())
    return np.concatenate(codes), np.concatenate(stds) if stds else None


def measure(run: Path, data: Data, ruler: Ruler, *, draws: int) -> Numbers:
    """The numbers of a finished run.

    Samples are x_hat, the mean of p(x given z), for the z of rows 0, 1, 2 ... of the prior under the run's seed, as
    `reparam generate` draws them; the noise of evaluation is that of `reparam evaluate` with this seed.

    Args:
        run: its folder.
        data: before any limit or binarisation.
        ruler: of the data after the limit.
        draws: importance samples a row for nll, 0 for none.
    """
    found = read_run(run)
    options, model = found.record.options, found.model
    seed, n, binarize = options.seed, ruler.space.training_rows, options.binarize
    test = data.head(options.limit).binarized(binarize, seed).test
    with device.torch_settings(options.threads):
        model.to(device.pick(options.device))
        code, std = encoded(model, ruler.train)
        z: FloatArray = code  # [n, *latent]
        if std is not None:
            z = (code + std * noise(model.config.law, seed, range(n), code.shape[1:])).astype(np.float32)
        prior = noise("normal", seed, range(n), code.shape[1:], stream="prior")
        x = _all(test)
        again = decoded(model, encoded(model, x)[0])
    known: dict[str, float | None] = dict.fromkeys(("elbo", "rate", "nll", "nll_se"))
    active, distortion = None, found.metrics["test_distortion"]
    if std is not None:
        score = evaluate(
            run, x, seed=seed, samples=draws, device=options.device, threads=options.threads, progress=lambda _: None
        )
        known = {"elbo": -score.negative_elbo, "rate": score.rate, "nll": score.nll, "nll_se": score.nll_se}
        active, distortion = score.active_units, score.distortion
    return Numbers(
        **known,
        distortion=distortion,
        active_units=active,
        squared_error=float(np.square(again.astype(np.float64) - x).mean()),
        frechet=ruler.distance(decoded(model, prior)),
        frechet_posterior=ruler.distance(decoded(model, z)),
        posterior_std=None if std is None else float(std.mean(dtype=np.float64)),
        code_scale=float(np.sqrt(np.square(z.astype(np.float64)).mean())),
    )


def _all(split: Split) -> FloatArray:
    return split.batch(np.arange(len(split)))
