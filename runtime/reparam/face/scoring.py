"""How probable rows are: ELBO, importance-sampled log-likelihood, and the field's evaluation."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from reparam.evaluation import Evaluation, evaluate_rows
from reparam.face.base import Face
from reparam.integers import whole
from reparam.scores import elbo_terms, log_likelihood


class Scoring(Face):
    """The part of `VAE` that scores rows."""

    def elbo(
        self,
        x: npt.NDArray[Any],
        *,
        seed: int,
        first_row: int = 0,
        allow_nan: bool = False,
        timeout: float | None = None,
    ) -> npt.NDArray[np.float64]:
        """Evidence lower bound of each row, in nats: closed-form KL, and log p(x given z) at one z.

        Args:
            x: [n, *input].
            seed: 0 <= seed < 2^64; row i is scored at the z that `sample(x, seed=seed)` gives it.
            first_row: number of the first row.
            allow_nan: let NaN and infinite values through.
            timeout: seconds until the call is given up with `DeadlineExceeded`; None for no end.

        Returns:
            float64 [n]. Higher is more probable; rows unlike the training data score low.
        """
        rows, x = self._within(timeout).for_x(x)
        return elbo_terms(rows, x, seed=seed, first_row=first_row, allow_nan=allow_nan).elbo

    def log_likelihood(
        self,
        x: npt.NDArray[Any],
        *,
        samples: int = 500,
        seed: int,
        first_row: int = 0,
        allow_nan: bool = False,
        timeout: float | None = None,
    ) -> npt.NDArray[np.float64]:
        """Importance-sampled log p(x) of each row, in nats; tighter than the ELBO, and costs `samples` decodes a row.

        Args:
            x: [n, *input].
            samples: draws of z a row, 1 to 2^30.
            seed: 0 <= seed < 2^64; draw k of row i is `noise(law, seed, [first_row + i], latent, draw=k)`.
            first_row: number of the first row.
            allow_nan: let NaN and infinite values through.
            timeout: seconds until the call is given up with `DeadlineExceeded`; None for no end.

        Returns:
            float64 [n], below log p(x) on average and nearer to it with more samples; where the noise is uniform it
            stays a bound, since q is zero where the prior is not.

        Source:
            Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2016).
        """
        samples = whole("samples", samples, low=1, high=2**30 - 1)
        rows, x = self._within(timeout).for_x(x)
        return log_likelihood(rows, x, samples=samples, seed=seed, first_row=first_row, allow_nan=allow_nan)

    def anomaly(
        self,
        x: npt.NDArray[Any],
        *,
        seed: int,
        samples: int = 0,
        first_row: int = 0,
        allow_nan: bool = False,
        timeout: float | None = None,
    ) -> npt.NDArray[np.float64]:
        """How unlike the training data each row is: its negative ELBO, or negative log-likelihood, in nats.

        `reparam.p_values` turns scores into false-alarm rates, by the scores of rows that are known to be usual.

        It is known to fail: a model may find smooth or plain rows that it never saw more probable than its own
        training data (Nalisnick, Matsukawa, Teh, Gorur and Lakshminarayanan, "Do Deep Generative Models Know What They
        Don't Know?", 2019). Try it on rows like those that must be caught.

        Args:
            x: [n, *input].
            seed: 0 <= seed < 2^64; of the noise.
            samples: 0 for the negative ELBO at one z a row; above, draws of the importance-sampled log-likelihood.
            first_row: number of the first row.
            allow_nan: let NaN and infinite values through.
            timeout: seconds until the call is given up with `DeadlineExceeded`; None for no end.

        Returns:
            float64 [n]; higher is more unusual.
        """
        if whole("samples", samples, low=0, high=2**30 - 1):
            return -self.log_likelihood(
                x, samples=samples, seed=seed, first_row=first_row, allow_nan=allow_nan, timeout=timeout
            )
        return -self.elbo(x, seed=seed, first_row=first_row, allow_nan=allow_nan, timeout=timeout)

    def evaluate(
        self,
        x: npt.NDArray[Any] | Iterator[npt.NDArray[Any]],
        *,
        seed: int = 0,
        samples: int = 0,
        progress: Callable[[int], None] = lambda _: None,
        timeout: float | None = None,
    ) -> Evaluation:
        """Means over rows of what the field reports of a VAE: ELBO in rate and distortion, nll, bits per dimension.

        Memory does not grow with the rows, and the result does not depend on how they are cut.

        Args:
            x: at least one row, [n, *input], or an iterator of such arrays, as `stream` takes it.
            seed: 0 <= seed < 2^64.
            samples: draws a row for the importance-sampled nll; 0 leaves it out.
            progress: told how many rows of the importance sampling are done, a chunk at a time.
            timeout: seconds until the call is given up with `DeadlineExceeded`; None for no end.

        Returns:
            Evaluation, in nats per row; its attributes say each number's meaning.
        """
        return evaluate_rows(self._within(timeout), x, seed=seed, samples=samples, progress=progress)
