"""Rows to latents and back: encode, sample, decode, reconstruct, generate, interpolate."""

import math
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray, check_out, check_pair, check_rows
from reparam.engine.rows import Noise, check_first_row
from reparam.errors import InputError
from reparam.face.base import Face
from reparam.integers import whole
from reparam.laws import check_seed, noise
from reparam.posterior import Posterior


class Coding(Face):
    """The part of `VAE` that encodes and decodes."""

    def encode(
        self, x: npt.NDArray[Any], *, out: tuple[FloatArray, FloatArray] | None = None, allow_nan: bool = False
    ) -> Posterior:
        """The posterior of each row.

        Args:
            x: [n, *input].
            out: two float32 arrays [n, *latent] to write mean and logvar into.
            allow_nan: let NaN and infinite values through.

        Returns:
            Posterior with mean and logvar float32 [n, *latent]; `.kl()` gives nats per row.

        Raises:
            OptionError: the model is a deterministic autoencoder and has no posterior.
        """
        law = self._rows.law()
        rows, x = self._rows.for_x(x)
        outs = None
        if out is not None:
            shape = (len(x), *rows.latent)
            outs = [check_out(one, name=f"out[{i}]", shape=shape, inputs=(x,)) for i, one in enumerate(check_pair(out))]
        shapes = (rows.latent, rows.latent)
        mean, logvar = rows.results(rows.encode, x, "x", *shapes, outs=outs, allow_nan=allow_nan)
        return Posterior(mean, logvar, law)

    def sample(
        self,
        x: npt.NDArray[Any],
        *,
        eps: npt.NDArray[Any] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        out: FloatArray | None = None,
        allow_nan: bool = False,
    ) -> FloatArray:
        """One z of the posterior of each row: mean + exp(logvar / 2) * eps.

        Args:
            x: [n, *input].
            eps: the noise itself, [n, *latent]; exactly one of eps and seed (neither for a deterministic model).
            seed: 0 <= seed < 2^64; row i gets `noise(law, seed, [first_row + i], latent)`.
            first_row: number of the first row, so that parts of a data set agree with the whole.
            out: float32 [n, *latent] to write into.
            allow_nan: let NaN and infinite values through.

        Returns:
            z, float32 [n, *latent].
        """
        rows, x = self._rows.for_x(x)
        run = rows.sampler(rows.noise_of(eps, seed=seed, first_row=first_row, rows=len(x), allow_nan=allow_nan))
        outs = _checked(out, (len(x), *rows.latent), x, eps)
        return rows.results(run, x, "x", rows.latent, outs=outs, allow_nan=allow_nan)[0]

    def decode(
        self, z: npt.NDArray[Any], *, out: npt.NDArray[Any] | None = None, allow_nan: bool = False
    ) -> npt.NDArray[Any]:
        """x_hat, the mean of p(x given z) in the data's own units.

        Args:
            z: [n, *latent].
            out: float32 [n, *input] (uint8 of a raw bundle) to write into.
            allow_nan: let NaN and infinite values through.

        Returns:
            float32 [n, *input]; uint8 of a raw bundle.
        """
        rows, z = self._rows.for_z(z)
        outs = _checked(out, (len(z), *rows.input), z, dtype=rows.dtype)
        return rows.results(rows.decode, z, "z", rows.input, outs=outs, dtype=rows.dtype, allow_nan=allow_nan)[0]

    def reconstruct(
        self,
        x: npt.NDArray[Any],
        *,
        eps: npt.NDArray[Any] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        out: npt.NDArray[Any] | None = None,
        allow_nan: bool = False,
    ) -> npt.NDArray[Any]:
        """Each row through encoder and decoder: from the posterior's mean, or from a sample where eps or seed is given.

        Arguments are those of `sample`, with neither eps nor seed for the mean; returns what `decode` does.
        """
        rows, x = self._rows.for_x(x)
        eps_of: Noise = rows.no_noise
        if eps is not None or seed is not None or first_row:
            eps_of = rows.noise_of(eps, seed=seed, first_row=first_row, rows=len(x), allow_nan=allow_nan)
        outs = _checked(out, (len(x), *rows.input), x, eps, dtype=rows.dtype)
        run = rows.reconstructor(eps_of)
        return rows.results(run, x, "x", rows.input, outs=outs, dtype=rows.dtype, allow_nan=allow_nan)[0]

    def generate(
        self,
        n: int,
        *,
        seed: int,
        first_row: int = 0,
        size: tuple[int, int] | None = None,
        out: npt.NDArray[Any] | None = None,
    ) -> npt.NDArray[Any]:
        """x_hat of n draws from the prior: row i decodes `noise("normal", seed, [first_row + i], stream="prior")`.

        Args:
            n: how many rows, at least 0.
            seed: 0 <= seed < 2^64.
            first_row: number of the first row, so that parts agree with the whole.
            size: height and width, where the bundle leaves them open; None for those of training.
            out: float32 [n, *input] (uint8 of a raw bundle) to write into.

        Returns:
            float32 [n, *input]; uint8 of a raw bundle.
        """
        rows = self._rows.at(size)
        n = whole("n", n, low=0, high=sys.maxsize // (4 * math.prod(rows.input)), error=InputError)
        seed, first_row = check_seed(seed), check_first_row(first_row, n)
        pair, outs = rows.pair, _checked(out, (n, *rows.input), dtype=rows.dtype)
        (x_hat,) = outs or (np.empty((n, *rows.input), rows.dtype),)
        for start, stop in rows.chunks(n):
            ids = range(first_row + start, first_row + stop)
            z = noise(rows.manifest.latent.prior, seed, ids, rows.latent, stream="prior")
            x_hat[start:stop] = rows.decode(pair, z, start, stop)[0]
        return x_hat

    def interpolate(self, a: npt.NDArray[Any], b: npt.NDArray[Any], *, steps: int = 8) -> npt.NDArray[Any]:
        """x_hat along the straight line between the posterior means of a and b, both ends included.

        Args:
            a: [n, *input], where the lines begin.
            b: [n, *input], where they end.
            steps: points on each line, at least 2.

        Returns:
            float32 [n, steps, *input]; uint8 of a raw bundle.
        """
        steps = whole("steps", steps, low=2)  # both ends
        rows, a = self._rows.for_x(a, name="a")
        b = check_rows(b, name="b", row_shape=rows.input, dtype=rows.dtype, rows=len(a), rows_of="a")
        run = rows.sampler(rows.no_noise)
        start = rows.results(run, a, "a", rows.latent)[0][:, None]  # [n, 1, *latent]
        end = rows.results(run, b, "b", rows.latent)[0][:, None]
        weight = np.linspace(0, 1, steps, dtype=np.float32).reshape(1, steps, *(1,) * len(rows.latent))
        line = start * (1 - weight) + end * weight  # [n, steps, *latent]
        return self.decode(line.reshape(-1, *rows.latent)).reshape(len(a), steps, *rows.input)


def _checked(
    out: npt.NDArray[Any] | None, shape: tuple[int, ...], *inputs: object, dtype: npt.DTypeLike = np.float32
) -> list[npt.NDArray[Any]] | None:
    """The caller's `out` once the result fits into it; None where there is none."""
    return None if out is None else [check_out(out, name="out", shape=shape, dtype=dtype, inputs=inputs)]
