"""A Gaussian mixture over latents: a prior that was fitted, as data, drawn from by keyed noise."""

import dataclasses
import io
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray
from reparam.errors import InputError, InputNotFound, OptionError
from reparam.files import npz
from reparam.files.atomic import write_bytes
from reparam.integers import whole
from reparam.laws import check_seed, noise, row_ids, words

_PARTS: Final = ("weights", "means", "covariances")


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianMixture:
    """p(z) = sum over k of weights[k] Normal(means[k], covariances[k]); made by `VAE.fit_prior`, or by hand.

    Attributes:
        weights: float64 [components], above 0, their sum 1.
        means: float64 [components, *latent].
        covariances: float64 [components, d, d], symmetric and positive definite; d is the number of values in a
            latent, in the order of the flattened row.

    Raises:
        OptionError: parts of other shapes, weights that are no shares of 1, or a covariance that is not positive
            definite.

    Examples:
        >>> import numpy as np
        >>> mixture = GaussianMixture(np.ones(1), np.zeros((1, 3)), np.eye(3)[None])
        >>> bool((mixture.sample(5, seed=7) == noise("normal", 7, range(5), (3,), stream="prior")).all())
        True
    """

    weights: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    covariances: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        """Holds the parts against each other, and keeps copies of its own that nobody can write to."""
        for name in _PARTS:
            array = np.array(getattr(self, name), np.float64)
            if not np.isfinite(array).all():
                raise OptionError(f"{name}: must be finite")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if self.weights.ndim != 1 or (self.weights <= 0).any() or abs(self.weights.sum() - 1) > 1e-6:
            raise OptionError(f"weights: must be above 0, their sum 1, got {self.weights.tolist()!r:.80}")
        k = len(self.weights)
        d = self.means[0].size if self.means.ndim > 1 and len(self.means) == k else 0
        if d == 0 or self.covariances.shape != (k, d, d):
            told = f"{list(self.means.shape)} and {list(self.covariances.shape)}"
            raise OptionError(f"means, covariances: must be [{k}, *latent] and [{k}, d, d], got {told}")
        if not np.allclose(self.covariances, self.covariances.transpose(0, 2, 1), rtol=1e-6, atol=1e-12):
            raise OptionError("covariances: must be symmetric")
        _ = self._factors  # refuses what is not positive definite

    @property
    def latent(self) -> tuple[int, ...]:
        """Shape of one latent."""
        return self.means.shape[1:]

    @cached_property
    def _factors(self) -> npt.NDArray[np.float64]:
        """Lower Cholesky factors of the covariances, [components, d, d]."""
        try:
            return np.asarray(np.linalg.cholesky(self.covariances), np.float64)
        except np.linalg.LinAlgError:
            raise OptionError("covariances: must be positive definite; add a little to their diagonals") from None

    def sample(self, n: int, *, seed: int, first_row: int = 0) -> FloatArray:
        """Draws of z: row i is a function of (seed, first_row + i) alone, so that parts agree with the whole.

        Its component is where the row's uniform falls among the summed weights, and z = mean + L eps with the
        component's Cholesky factor L. eps is the model's own prior draw, `noise("normal", seed, [row], latent,
        stream="prior")`, and the uniform is the first word of that stream's draw 1; so one standard normal component
        gives what the model's prior gives.

        Args:
            n: how many rows, at least 0.
            seed: 0 <= seed < 2^64.
            first_row: number of the first row.

        Returns:
            float32 [n, *latent].

        Raises:
            OptionError: seed or first_row out of range.
            InputError: n out of range.
        """
        n = whole("n", n, low=0, high=2**48, error=InputError)
        seed, first_row = check_seed(seed), whole("first_row", first_row, low=0, high=2**64 - 1 - max(0, n - 1))
        rows = range(first_row, first_row + n)
        eps = noise("normal", seed, rows, (self.covariances.shape[1],), stream="prior").astype(np.float64)
        z = np.empty_like(eps)
        component = self._components(seed, rows)
        for k in np.unique(component):
            chosen = component == k
            own, factor = eps[chosen], self._factors[k]
            found = np.repeat(self.means[k].reshape(1, -1), len(own), axis=0)
            for column in range(factor.shape[0]):  # value by value: a matrix product's rounding depends on its size
                found[:, column:] += own[:, column, None] * factor[column:, column]
            z[chosen] = found
        return z.astype(np.float32).reshape(n, *self.latent)

    def _components(self, seed: int, rows: range) -> npt.NDArray[np.intp]:
        """Which component each row is drawn from, [n], by the inverse distribution function of the weights."""
        ids = row_ids(rows)
        word, *_ = words(seed, ids, np.zeros_like(ids), stream="prior", draw=1)
        uniform = (word.astype(np.float64) + 0.5) * 2.0**-32
        return np.searchsorted(np.cumsum(self.weights)[:-1], uniform, side="right")

    def save(self, path: str | Path) -> None:
        """Writes weights, means and covariances as .npz, whole or not at all; `OutputError` where that fails."""
        buffer = io.BytesIO()
        np.savez(buffer, **{name: getattr(self, name) for name in _PARTS})
        write_bytes(Path(path), buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            InputNotFound: no such file.
            InputError: not such a file, or parts that contradict each other.
        """
        try:
            with npz.opened(Path(path)) as archive:
                parts: dict[str, Any] = {name: npz.member(archive, name) for name in _PARTS}
            return cls(**parts)
        except FileNotFoundError:
            raise InputNotFound(f"{path}: no such file; write one with GaussianMixture.save") from None
        except (*npz.BROKEN, ValueError, KeyError, OSError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: not a Gaussian mixture as GaussianMixture.save writes it: {error}") from None
