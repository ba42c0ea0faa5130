"""Rows to latents and back: encode, sample, decode, reconstruct, generate."""

import math
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray, check_out, check_pair, empty
from reparam.engine.pair import session_of
from reparam.engine.rows import Noise, Rows, check_first_row
from reparam.engine.tiles import Tiles
from reparam.errors import InputError, OptionError
from reparam.face.base import Face
from reparam.integers import whole
from reparam.laws import check_seed, noise
from reparam.mixture import GaussianMixture
from reparam.posterior import Posterior


class Coding(Face):
    """The part of `VAE` that encodes and decodes."""

    def encode(
        self,
        x: npt.NDArray[Any],
        *,
        out: tuple[FloatArray, FloatArray] | None = None,
        allow_nan: bool = False,
        tile: tuple[int, int] | None = None,
        overlap: int | None = None,
        timeout: float | None = None,
    ) -> Posterior:
        """The posterior of each row.

        Args:
            x: [n, *input].
            out: two float32 arrays [n, *latent] to write mean and logvar into.
            allow_nan: let NaN and infinite values through.
            tile: height and width of tiles, in pixels of x, for images too large for one run of a bundle with open
                sides: one tile of one row runs at a time, and they are blended where they meet (`engine/tiles.py`).
                The result is that of one run where overlap covers the receptive field and no layer looks at the whole
                image, as group norm and attention do (docs/latent.md measures those).
            overlap: with tile: how far each tile reaches over its seams, in pixels of x, a multiple of the factors and
                less than half a tile; None for about an eighth of the tile.
            timeout: seconds until the call is given up; None for no end. onnxruntime is stopped between two nodes of a
                graph, and the model is as good as before.

        Returns:
            Posterior with mean and logvar float32 [n, *latent]; `.kl()` gives nats per row.

        Raises:
            OptionError: the model is a deterministic autoencoder and has no posterior; or a tile or overlap that
                cannot be.
            DeadlineExceeded: no result within `timeout`.
        """
        rows = self._rows if timeout is None else self._within(timeout)
        law = rows.law()
        plain = out is None and tile is None and overlap is None
        if plain and (moments := rows.moments(x, allow_nan=allow_nan)) is not None:
            return Posterior(moments[0], moments[1], law)
        rows, x = rows.for_x(x)
        outs = None if out is None else [*check_pair(out, shape=(len(x), *rows.latent), inputs=(x,))]
        if tiles := _tiles(rows, tile, overlap):
            mean, logvar = tiles.encode(x, outs, allow_nan=allow_nan)
        else:
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
        tile: tuple[int, int] | None = None,
        overlap: int | None = None,
        timeout: float | None = None,
    ) -> FloatArray:
        """One z of the posterior of each row: mean + exp(logvar / 2) * eps.

        Args:
            x: [n, *input].
            eps: the noise itself, [n, *latent]; exactly one of eps and seed (neither for a deterministic model).
            seed: 0 <= seed < 2^64; row i gets `noise(law, seed, [first_row + i], latent)`.
            first_row: number of the first row, so that parts of a data set agree with the whole.
            out: float32 [n, *latent] to write into.
            allow_nan: let NaN and infinite values through.
            tile: see `encode`; the noise is that of the whole image, cut.
            overlap: see `encode`.
            timeout: see `encode`.

        Returns:
            z, float32 [n, *latent].
        """
        rows, x = (self._rows if timeout is None else self._within(timeout)).for_x(x)
        eps_of = rows.noise_of(eps, seed=seed, first_row=first_row, rows=len(x), allow_nan=allow_nan)
        outs = _checked(out, (len(x), *rows.latent), x, eps)
        if tiles := _tiles(rows, tile, overlap):
            return tiles.sample(x, eps_of, outs, allow_nan=allow_nan)
        return rows.results(rows.sampler(eps_of), x, "x", rows.latent, outs=outs, allow_nan=allow_nan)[0]

    def decode(
        self,
        z: npt.NDArray[Any],
        *,
        out: npt.NDArray[Any] | None = None,
        allow_nan: bool = False,
        tile: tuple[int, int] | None = None,
        overlap: int | None = None,
        timeout: float | None = None,
    ) -> npt.NDArray[Any]:
        """x_hat, the mean of p(x given z) in the data's own units.

        Args:
            z: [n, *latent].
            out: float32 [n, *input] (uint8 of a raw bundle) to write into.
            allow_nan: let NaN and infinite values through.
            tile: see `encode`; in pixels of x_hat, as overlap is.
            overlap: see `encode`.
            timeout: see `encode`.

        Returns:
            float32 [n, *input]; uint8 of a raw bundle.
        """
        rows, z = (self._rows if timeout is None else self._within(timeout)).for_z(z)
        outs = _checked(out, (len(z), *rows.input), z, dtype=rows.dtype)
        if tiles := _tiles(rows, tile, overlap):
            return tiles.decode(z, outs, allow_nan=allow_nan)
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
        tile: tuple[int, int] | None = None,
        overlap: int | None = None,
        timeout: float | None = None,
    ) -> npt.NDArray[Any]:
        """Each row through encoder and decoder: from the posterior's mean, or from a sample where eps or seed is given.

        Arguments are those of `sample`, with neither eps nor seed for the mean; returns what `decode` does. With tile,
        all of z is there before the first tile of it is decoded.
        """
        rows, x = (self._rows if timeout is None else self._within(timeout)).for_x(x)
        eps_of: Noise = rows.no_noise
        if eps is not None or seed is not None or first_row:
            eps_of = rows.noise_of(eps, seed=seed, first_row=first_row, rows=len(x), allow_nan=allow_nan)
        outs = _checked(out, (len(x), *rows.input), x, eps, dtype=rows.dtype)
        if tiles := _tiles(rows, tile, overlap):
            return tiles.decode(tiles.sample(x, eps_of, None, allow_nan=allow_nan), outs, allow_nan=allow_nan)
        run = rows.reconstructor(eps_of)
        return rows.results(run, x, "x", rows.input, outs=outs, dtype=rows.dtype, allow_nan=allow_nan)[0]

    def generate(
        self,
        n: int,
        *,
        seed: int,
        first_row: int = 0,
        size: tuple[int, int] | None = None,
        prior: GaussianMixture | None = None,
        out: npt.NDArray[Any] | None = None,
        timeout: float | None = None,
    ) -> npt.NDArray[Any]:
        """x_hat of n draws from the prior: row i decodes `noise("normal", seed, [first_row + i], stream="prior")`.

        Args:
            n: how many rows, at least 0.
            seed: 0 <= seed < 2^64.
            first_row: number of the first row, so that parts agree with the whole.
            size: height and width, where the bundle leaves them open; None for those of training.
            prior: a fitted one, as `fit_prior` gives it; row i then decodes `prior.sample(1, seed=seed,
                first_row=first_row + i)`. None for the model's own.
            out: float32 [n, *input] (uint8 of a raw bundle) to write into.
            timeout: see `encode`.

        Returns:
            float32 [n, *input]; uint8 of a raw bundle.
        """
        rows = self._within(timeout).at(size)
        if size is not None:  # before its noise is drawn
            session_of(self._rows.pair.decoder).hold({"z": (1, *rows.latent)})
        n = whole("n", n, low=0, high=sys.maxsize // (4 * math.prod(rows.input)), error=InputError)
        seed, first_row = check_seed(seed), check_first_row(first_row, n)
        if prior is not None and prior.latent != rows.latent:
            raise InputError(f"prior: must be over latents {list(rows.latent)}, got {list(prior.latent)}; fit another")
        pair, outs = rows.pair, _checked(out, (n, *rows.input), dtype=rows.dtype)
        (x_hat,) = outs or (empty((n, *rows.input), rows.dtype),)
        for start, stop in rows.chunks(n):
            if prior is None:
                ids = range(first_row + start, first_row + stop)
                z = noise(rows.manifest.latent.prior, seed, ids, rows.latent, stream="prior")
            else:
                z = prior.sample(stop - start, seed=seed, first_row=first_row + start)
            x_hat[start:stop] = rows.decode(pair, z, start, stop)[0]
        return x_hat


def _checked(
    out: npt.NDArray[Any] | None, shape: tuple[int, ...], *inputs: object, dtype: npt.DTypeLike = np.float32
) -> list[npt.NDArray[Any]] | None:
    """The caller's `out` once the result fits into it; None where there is none."""
    return None if out is None else [check_out(out, name="out", shape=shape, dtype=dtype, inputs=inputs)]


def _tiles(rows: Rows, tile: tuple[int, int] | None, overlap: int | None) -> Tiles | None:
    """The tiles that a call asks for; None where it asks for one run."""
    if tile is None and overlap is not None:
        raise OptionError("overlap: is of tiles; give tile=(height, width) too, or leave it out")
    return None if tile is None else Tiles(rows, tile, overlap)
