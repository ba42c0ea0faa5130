"""How probable a model finds rows: the ELBO in rate and distortion, and the importance-sampled log-likelihood.

All of it in float64 numpy from the graphs' float32 outputs, in nats per row. Draw k of row i is
`noise(law, seed, [i], latent, draw=k)`: the ELBO uses draw 0, and a sum over draws does not depend on the batch.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray, read_rows
from reparam.engine.pair import Pair
from reparam.engine.rows import Rows, check_first_row
from reparam.laws import Law, check_seed, noise
from reparam.likelihood import Nats, log_prob
from reparam.posterior import Posterior, row_sums

_LOG_DENSITY: Final[dict[Law, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]]] = {
    "normal": lambda eps: -0.5 * (eps**2 + math.log(2.0 * math.pi)),
    "uniform": lambda eps: np.full_like(eps, -math.log(2.0 * math.sqrt(3.0))),
    "laplace": lambda eps: -math.sqrt(2.0) * np.abs(eps) - 0.5 * math.log(2.0),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Terms:
    """The two terms of the negative ELBO of each row, in nats, float64 [n].

    Attributes:
        rate: KL(q(z given x) || prior).
        distortion: -log p(x given z) at one draw of z.
        mean: the posterior's, float32 [n, *latent].
    """

    rate: Nats
    distortion: Nats
    mean: FloatArray

    @property
    def elbo(self) -> Nats:
        """-(rate + distortion), a lower bound of log p(x) on average over draws."""
        return -(self.rate + self.distortion)


def _decoded(pair: Pair, z: FloatArray) -> dict[str, FloatArray]:
    names = list(pair.manifest.decoder_outputs)
    return dict(zip(names, pair.decoder.run(names, {"z": z}), strict=True))


def elbo_terms(rows: Rows, x: npt.NDArray[Any], *, seed: int, first_row: int, allow_nan: bool, first: int = 0) -> Terms:
    """Rate and distortion of each row at draw 0.

    Args:
        rows: the sessions.
        x: checked rows [n, *input].
        seed: of the noise.
        first_row: number of the first row.
        allow_nan: let NaN and infinite values through.
        first: rows before x, where it is a part of all rows; they count to the number of the first row too.

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), equation 3, with the KL in closed form.
    """
    law, likelihood, seed = rows.law(), rows.likelihood(), check_seed(seed)
    eps_of = rows.noise_of(None, seed=seed, first_row=first_row, rows=first + len(x), allow_nan=allow_nan)

    def step(pair: Pair, part: FloatArray, start: int, stop: int) -> list[FloatArray]:
        return pair.encoder.run(["mean", "logvar", "z"], {"x": part, "eps": eps_of(start, stop)})

    rate, distortion = np.empty(len(x)), np.empty(len(x))
    means = np.empty((len(x), *rows.manifest.latent.shape), np.float32)
    for begin, end, (mean, logvar, z) in rows.run(step, x, "x", allow_nan=allow_nan, first=first):
        start, stop = begin - first, end - first
        means[start:stop] = mean
        rate[start:stop] = Posterior(mean, logvar, law).kl()
        part = read_rows(x, start, stop, name="x", allow_nan=allow_nan)
        distortion[start:stop] = -log_prob(likelihood, part, _decoded(rows.pair, z))
    return Terms(rate, distortion, means)


def log_likelihood(
    rows: Rows,
    x: npt.NDArray[Any],
    *,
    samples: int,
    seed: int,
    first_row: int,
    allow_nan: bool,
    advance: Callable[[int], None] = lambda _: None,
    first: int = 0,
) -> Nats:
    """Log of 1/K sum over k of p(x given z_k) p(z_k) / q(z_k given x), of each row.

    Args:
        rows: the sessions.
        x: checked rows [n, *input].
        samples: K, at least 1; K = 1 is an ELBO without the closed-form KL.
        seed: of the noise.
        first_row: number of the first row.
        allow_nan: let NaN and infinite values through.
        advance: told how many rows are done, for progress.
        first: rows before x, where it is a part of all rows; they count to the number of the first row too.

    Source: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2016), equation 8.
    """
    law, likelihood = rows.law(), rows.likelihood()
    seed, first_row = check_seed(seed), check_first_row(first_row, first + len(x))
    found = np.empty(len(x))
    for begin, end, (mean, logvar) in rows.run(rows.encode, x, "x", allow_nan=allow_nan, first=first):
        start, stop = begin - first, end - first
        part = read_rows(x, start, stop, name="x", allow_nan=allow_nan)
        ids = range(first_row + begin, first_row + end)
        std = Posterior(mean, logvar, law).std  # float32 [rows, *latent]
        total = np.full(stop - start, -np.inf)
        for draw in range(samples):
            eps = noise(law, seed, ids, rows.manifest.latent.shape, draw=draw)
            z = np.add(mean, std * eps, dtype=np.float32)
            wide = eps.astype(np.float64)
            log_q = row_sums(_LOG_DENSITY[law](wide) - 0.5 * logvar)
            log_prior = row_sums(_LOG_DENSITY["normal"](z.astype(np.float64)))
            with np.errstate(invalid="ignore"):  # NaN stays NaN
                total = np.logaddexp(total, log_prob(likelihood, part, _decoded(rows.pair, z)) + log_prior - log_q)
        found[start:stop] = total - math.log(samples)
        advance(stop - start)
    return found
