"""The posterior q(z given x) that an encoder returns, and its divergence from the prior."""

import math
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from reparam.errors import OptionError
from reparam.laws import LAWS, Law

# Entropy of the normal law less that of each law, in nats a dimension, all with variance 1. The cross-entropy to a
# standard normal depends on mean and variance alone, so KL(law) = KL(normal) + this.
_ENTROPY_GAP: Final[dict[Law, float]] = {
    "normal": 0.0,
    "uniform": 0.5 * math.log(2.0 * math.pi * math.e) - math.log(2.0 * math.sqrt(3.0)),
    "laplace": 0.5 * math.log(2.0 * math.pi * math.e) - 1.0 - 0.5 * math.log(2.0),
}


def row_sums(each: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sum over all dimensions of each row, [n]; n may be 0."""
    return np.asarray(each.reshape(len(each), math.prod(each.shape[1:])).sum(axis=1), np.float64)


class Posterior(msgspec.Struct, frozen=True, eq=False):
    """A diagonal location-scale posterior, z = mean + exp(logvar / 2) * eps.

    Attributes:
        mean: float32 [n, *latent].
        logvar: float32 [n, *latent], the logarithm of the variance.
        law: how eps is distributed, with mean 0 and variance 1.
    """

    mean: npt.NDArray[np.float32]
    logvar: npt.NDArray[np.float32]
    law: Law = "normal"

    def __post_init__(self) -> None:
        """Refuses an unknown law where it is given, not where it is used."""
        if self.law not in LAWS:
            raise OptionError(f"law: must be one of {', '.join(LAWS)}, got {self.law!r}")

    @property
    def std(self) -> npt.NDArray[np.float32]:
        """Standard deviation, float32 [n, *latent]."""
        with np.errstate(over="ignore"):  # infinite where float32 cannot hold it
            return np.exp(self.logvar / 2)

    def kl(self) -> npt.NDArray[np.float64]:
        """KL(q || standard normal) of each row, in nats, float64 [n].

        For the normal law 1/2 sum(mean^2 + var - logvar - 1): Kingma and Welling, "Auto-Encoding Variational Bayes"
        (2014), appendix B.

        Examples:
            >>> zeros = np.zeros((2, 3), np.float32)
            >>> Posterior(zeros, zeros).kl().tolist()
            [0.0, 0.0]
        """
        mean, logvar = self.mean.astype(np.float64), self.logvar.astype(np.float64)
        with np.errstate(over="ignore"):
            variance_less_one: npt.NDArray[np.float64] = np.expm1(logvar)
        return row_sums(0.5 * (mean**2 + variance_less_one - logvar) + _ENTROPY_GAP[self.law])
