"""The field's evaluation of a model over a data set: means of per-row scores, with what they mean beside them."""

import math
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from reparam.engine.rows import Rows
from reparam.errors import InputError
from reparam.integers import whole
from reparam.laws import Law
from reparam.likelihood import Nats
from reparam.scores import Terms, elbo_terms, log_likelihood

_ACTIVE: Final = 0.01  # variance of a unit's mean above which Burda et al. count it


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Means over rows, in nats per row where nothing else is said.

    Attributes:
        rows: how many rows were scored.
        seed: of the noise.
        negative_elbo: rate + distortion.
        rate: KL(q(z given x) || prior).
        distortion: -log p(x given z) at one z a row.
        samples: draws a row for nll; 0 where it was not asked for.
        nll: importance-sampled negative log-likelihood, None without samples.
        nll_se: standard error of its mean over rows.
        nll_is_bound: whether nll stays above -log p(x) however many samples, as with bounded noise.
        bits_per_dim: nll, or negative_elbo without samples, in bits for each dimension of x.
        active_units: latent dimensions whose mean varies over the rows by more than 0.01 (Burda et al. 2016).
        latent: how many latent dimensions there are.
    """

    rows: int
    seed: int
    negative_elbo: float
    rate: float
    distortion: float
    samples: int
    nll: float | None
    nll_se: float | None
    nll_is_bound: bool
    bits_per_dim: float
    active_units: int
    latent: int


def evaluate_rows(
    rows: Rows, x: npt.NDArray[Any], *, seed: int, samples: int, progress: Callable[[int], None]
) -> Evaluation:
    """Scores checked rows and summarises them; see `reparam.VAE.evaluate`."""
    if len(x) == 0:
        raise InputError("x: must have at least one row to be evaluated, got none")
    samples = whole("samples", samples, low=0, high=2**30 - 1)
    terms = elbo_terms(rows, x, seed=seed, first_row=0, allow_nan=False)
    found = None
    if samples:
        found = log_likelihood(rows, x, samples=samples, seed=seed, first_row=0, allow_nan=False, advance=progress)
    dimensions = math.prod(rows.manifest.input.shape)
    return summarise(terms, found, seed=seed, samples=samples, dimensions=dimensions, law=rows.law())


def summarise(
    terms: Terms, log_likelihood: Nats | None, *, seed: int, samples: int, dimensions: int, law: Law
) -> Evaluation:
    """The evaluation of rows from their scores.

    Args:
        terms: of at least one row.
        log_likelihood: importance-sampled, [n], or None.
        seed: of the noise.
        samples: draws a row for log_likelihood, 0 for none.
        dimensions: values in one row of x.
        law: of the noise; a uniform posterior is zero where the prior is not, so its estimate stays a bound.
    """
    mean = terms.mean.reshape(len(terms.mean), -1).astype(np.float64)  # [n, latent]
    rate, distortion = float(terms.rate.mean()), float(terms.distortion.mean())
    nll = nll_se = None
    if log_likelihood is not None:
        n = len(log_likelihood)
        nll = -float(log_likelihood.mean())
        nll_se = float(log_likelihood.std(ddof=min(1, n - 1))) / math.sqrt(n)
    return Evaluation(
        rows=len(mean),
        seed=seed,
        negative_elbo=rate + distortion,
        rate=rate,
        distortion=distortion,
        samples=samples,
        nll=nll,
        nll_se=nll_se,
        nll_is_bound=law == "uniform",
        bits_per_dim=(rate + distortion if nll is None else nll) / (dimensions * math.log(2.0)),
        active_units=int((mean.var(axis=0) > _ACTIVE).sum()),
        latent=mean.shape[1],
    )
