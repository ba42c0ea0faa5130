"""The field's evaluation of a model over a data set: means of per-row scores, with what they mean beside them."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from reparam.engine.parts import Chunks
from reparam.engine.rows import Rows
from reparam.errors import InputError
from reparam.integers import whole
from reparam.running import Running
from reparam.scores import elbo_terms, log_likelihood

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


@dataclasses.dataclass
class Tally:
    """What an evaluation keeps of the rows so far: scores in nats, and means of posteriors."""

    rate: Running = dataclasses.field(default_factory=Running)
    distortion: Running = dataclasses.field(default_factory=Running)
    mean: Running = dataclasses.field(default_factory=Running)
    likelihood: Running = dataclasses.field(default_factory=Running)

    def join(self, later: "Tally") -> None:
        """That of rows which come behind; see `Running.join`."""
        self.rate.join(later.rate)
        self.distortion.join(later.distortion)
        self.mean.join(later.mean)
        self.likelihood.join(later.likelihood)

    def folded(self) -> "Tally":
        """The same without the rows themselves; see `Running.folded`."""
        return Tally(self.rate.folded(), self.distortion.folded(), self.mean.folded(), self.likelihood.folded())


def evaluate_rows(
    rows: Rows,
    x: npt.NDArray[Any] | Iterator[npt.NDArray[Any]],
    *,
    seed: int,
    samples: int,
    progress: Callable[[int], None],
) -> Evaluation:
    """Scores rows, a chunk at a time, and summarises them; see `reparam.VAE.evaluate`."""
    tally, own = tally_rows(rows, x, seed=seed, samples=samples, progress=progress)
    return summary(tally, own, seed=seed, samples=samples)


def tally_rows(
    rows: Rows,
    x: npt.NDArray[Any] | Iterator[npt.NDArray[Any]],
    *,
    seed: int,
    samples: int,
    progress: Callable[[int], None],
    first: int = 0,
) -> tuple[Tally, Rows]:
    """Scores rows, a chunk at a time; `first` is the number of the first one.

    Returns:
        Their tally, and the sessions for the height and width that they have.
    """
    samples = whole("samples", samples, low=0, high=2**30 - 1)
    rows.law()
    tally, own = Tally(), rows
    for own, begin, chunk in Chunks(rows, x if isinstance(x, Iterator) else iter([x]), "x"):
        start = first + begin
        terms = elbo_terms(own, chunk, seed=seed, first_row=0, allow_nan=False, first=start)
        tally.rate.add(terms.rate)
        tally.distortion.add(terms.distortion)
        tally.mean.add(terms.mean.reshape(len(chunk), -1))  # [n, latent]
        if samples:
            tally.likelihood.add(
                log_likelihood(
                    own, chunk, samples=samples, seed=seed, first_row=0, allow_nan=False, advance=progress, first=start
                )
            )
    return tally, own


def summary(tally: Tally, own: Rows, *, seed: int, samples: int) -> Evaluation:
    """What a tally says, of a model whose rows have the shapes of `own`."""
    rate, distortion, mean, likelihood = tally.rate, tally.distortion, tally.mean, tally.likelihood
    if mean.rows == 0:
        raise InputError("x: must have at least one row to be evaluated, got none")
    if not (np.isfinite(rate.mean) and np.isfinite(distortion.mean)):
        raise InputError(
            "x: the model gives rows a score that is not finite; bring them to the range of training, and see "
            "whether reparam verify passes"
        )
    nll = nll_se = None
    if samples:
        nll = -float(likelihood.mean)
        nll_se = math.sqrt(float(likelihood.variance(ddof=min(1, mean.rows - 1))) / mean.rows)
    negative_elbo = float(rate.mean) + float(distortion.mean)
    variance = mean.variance()
    return Evaluation(
        rows=mean.rows,
        seed=seed,
        negative_elbo=negative_elbo,
        rate=float(rate.mean),
        distortion=float(distortion.mean),
        samples=samples,
        nll=nll,
        nll_se=nll_se,
        nll_is_bound=own.law() == "uniform",  # a uniform posterior is zero where the prior is not
        bits_per_dim=(negative_elbo if nll is None else nll) / (math.prod(own.input) * math.log(2.0)),
        active_units=int((variance > _ACTIVE).sum()),
        latent=variance.size,
    )
