"""Ways through the latent space: interpolation, traversals, and a prior fitted to encoded rows."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from reparam.aggregate import fit_mixture
from reparam.arrays import FloatArray, check_rows, read_rows
from reparam.engine.rows import Rows
from reparam.errors import InputError, OptionError
from reparam.face.coding import Coding
from reparam.integers import whole
from reparam.mixture import GaussianMixture
from reparam.paths import between, traversed


class Latent(Coding):
    """The part of `VAE` that walks through the latent space."""

    def interpolate(
        self,
        a: npt.NDArray[Any],
        b: npt.NDArray[Any],
        *,
        steps: int = 8,
        path: Literal["linear", "spherical"] = "linear",
    ) -> npt.NDArray[Any]:
        """x_hat along the way from the posterior mean of each row of a to that of b, both ends included.

        The first and last are the reconstructions of a and b, to the bit on a CPU.

        Args:
            a: [n, *input], where the paths begin.
            b: [n, *input], where they end.
            steps: points on each path, at least 2.
            path: "linear", the straight line; "spherical", the arc, whose norms stay between those of the ends, as
                suits latents of many dimensions (see `reparam.paths.between`, with sources).

        Returns:
            float32 [n, steps, *input]; uint8 of a raw bundle.
        """
        rows, a = self._rows.for_x(a, name="a")
        b = check_rows(b, name="b", row_shape=rows.input, dtype=rows.dtype, rows=len(a), rows_of="a")
        z = between(_means(rows, a, "a"), _means(rows, b, "b"), steps=steps, path=path)
        return self._decoded(z, rows)

    def traverse(
        self,
        x: npt.NDArray[Any] | None = None,
        dimensions: int | Sequence[int] = 0,
        *,
        z: npt.NDArray[Any] | None = None,
        values: npt.ArrayLike | None = None,
        steps: int = 7,
        span: float = 3.0,
    ) -> npt.NDArray[Any]:
        """x_hat as one latent dimension takes each value in turn, all others held.

        Where the value is the row's own, x_hat is its reconstruction, to the bit on a CPU.

        Args:
            x: [n, *input], whose posterior means are varied; exactly one of x and z.
            dimensions: which, each varied alone: places in the flattened latent, from 0.
            z: [n, *latent], latents to vary.
            values: what the dimension takes, [steps]; None for `steps` values evenly from -span to span.
            steps: how many values, at least 1; not used with values.
            span: how far from 0, in standard deviations of the prior; above 0 and finite.

        Returns:
            float32 [n, len(dimensions), steps, *input]; uint8 of a raw bundle.

        Raises:
            OptionError: a dimension, values, steps or span out of range, or both or neither of x and z.
        """
        if (x is None) == (z is None):
            raise OptionError("x, z: give exactly one, rows of data or latents")
        if x is not None:
            rows, x = self._rows.for_x(x)
            z = _means(rows, x, "x")
        else:
            rows, z = self._rows.for_z(z)
            z = read_rows(z, 0, len(z), name="z", allow_nan=False)
        last = int(np.prod(rows.latent)) - 1
        asked = list(dimensions) if isinstance(dimensions, Sequence) else [dimensions]
        places = [whole("dimensions", one, low=0, high=last) for one in asked]
        return self._decoded(traversed(z, places, _values(values, steps, span)), rows)

    def fit_prior(self, x: npt.NDArray[Any], *, components: int = 10, seed: int = 0) -> GaussianMixture:
        """A Gaussian mixture fitted to the aggregate posterior, one sample of each row's: a prior for `generate`.

        For models whose latents do not fill the standard normal prior, so that samples from it look unlike the data.
        Needs the extra `aggregate` (scikit-learn), which may use threads of its own while it fits.

        Args:
            x: [n, *input], rows of the data, at least as many as components; many more make a better fit.
            components: how many normal distributions the mixture has.
            seed: 0 <= seed < 2^64; of the samples, and of the start of the fit.

        Returns:
            The mixture, which can be saved, loaded and passed to `generate(prior=)`.

        Raises:
            MissingExtra: scikit-learn is not installed.
            InputError: too few rows.
        """
        deterministic = self._rows.manifest.deterministic
        return fit_mixture(self.sample(x, seed=None if deterministic else seed), components=components, seed=seed)

    def _decoded(self, z: FloatArray, rows: Rows) -> npt.NDArray[Any]:
        """x_hat of latents with more axes before a row's, [..., *latent] to [..., *input]."""
        axes = z.shape[: z.ndim - len(rows.latent)]
        return self.decode(z.reshape(-1, *rows.latent)).reshape(*axes, *rows.input)


def _means(rows: Rows, x: npt.NDArray[Any], name: str) -> FloatArray:
    """The posterior mean of each row; a deterministic model's z."""
    return rows.results(rows.sampler(rows.no_noise), x, name, rows.latent)[0]


def _values(values: npt.ArrayLike | None, steps: int, span: float) -> npt.NDArray[np.float32]:
    """What a dimension takes in a traversal, [steps]."""
    if values is None:
        steps = whole("steps", steps, low=1)
        if not 0 < span < float("inf"):
            raise OptionError(f"span: must be above 0 and finite, got {span!r}")
        return np.linspace(-span, span, steps).astype(np.float32)
    found = np.asarray(values)
    if found.ndim != 1 or found.dtype.kind not in "iuf" or not len(found):
        raise OptionError(f"values: must be numbers, [steps], at least one, got {found.dtype} {list(found.shape)}")
    if not np.isfinite(found := found.astype(np.float32)).all():
        raise InputError("values: must be finite")
    return found
