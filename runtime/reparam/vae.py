"""The face of the runtime: one class over two graphs, whose noise is (seed, row) and never hidden state."""

import dataclasses
import math
import os
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from reparam.arrays import FloatArray, check_out, check_pair, check_rows
from reparam.bundle.manifest import PRECISIONS, Manifest, Precision
from reparam.bundle.reader import read_bundle
from reparam.engine.info import Info, info_of
from reparam.engine.options import LoadOptions
from reparam.engine.pair import start_pair
from reparam.engine.rows import Noise, Rows, check_first_row
from reparam.errors import InputError, OptionError
from reparam.evaluation import Evaluation, evaluate_rows
from reparam.integers import whole
from reparam.laws import check_seed, noise
from reparam.posterior import Posterior
from reparam.scores import elbo_terms, log_likelihood


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: Literal["auto", "fp32", "fp16", "int8"] = "auto",
    threads: int | None = None,
    max_batch: int = 256,
    follow_links: bool = False,
    expect_sha256: str | None = None,
) -> "VAE":
    """Loads a bundle: every file is hashed, every graph checked, and both sessions are ready when this returns.

    Args:
        path: the bundle's folder.
        device: "cpu", "cuda", "cuda:N", or "auto": cuda where it can be had, else cpu with one Python warning.
        precision: "fp32", or a variant that the bundle holds; "auto" means fp32.
        threads: of each session; None takes what affinity and the container's quota allow.
        max_batch: rows run at a time, at least 1; more memory above it, not more speed.
        follow_links: whether the bundle's files may be symbolic links.
        expect_sha256: the sha256, in hex, that manifest.json must have; it pins every file.

    Raises:
        BundleNotFound: no such folder, or a file of it is missing.
        BundleError: damaged, changed, or not a bundle.
        DeviceUnavailable: the device that was named cannot be had, with what is missing.
        MissingExtra: no onnxruntime wheel, or two.
        OptionError: an option out of its range, or a precision that the bundle does not hold.

    Examples:
        >>> import reparam
        >>> vae = reparam.load("models/digits", device="cpu")
        >>> vae.generate(16, seed=7).shape
        (16, 1, 8, 8)
    """
    options = LoadOptions(
        device=device,
        precision=precision,
        threads=threads,
        max_batch=max_batch,
        follow_links=follow_links,
        expect_sha256=expect_sha256,
    )
    return VAE(path, options)


class VAE:
    """A loaded bundle; see `load`, which makes it.

    Rows go in and come out in order, in chunks of `max_batch`. x is float32 [n, *input] and z float32 [n, *latent];
    float64, float16 and other byte orders are converted, anything else is refused by name. A raw bundle takes and gives
    x as uint8 [n, height, width, channels]. Where height and width are open (`manifest.input.factors`), *input and
    *latent are those of the rows at hand. Calls are safe from several
    threads. Every call raises `InputError` or `InputTypeError` for an array that does not fit, `RunError` where
    onnxruntime fails, and `ClosedError` after `close`.
    """

    def __init__(self, path: str | os.PathLike[str], options: LoadOptions) -> None:
        max_batch = whole("max_batch", options.max_batch, low=1)
        if options.precision not in ("auto", *PRECISIONS):
            raise OptionError(f"precision: must be auto, {', '.join(PRECISIONS)}, got {options.precision!r}")
        precision: Precision = "fp32" if options.precision == "auto" else options.precision
        bundle = read_bundle(
            path,
            precisions=(precision,),
            follow_links=options.follow_links,
            expect_sha256=options.expect_sha256,
        )
        self._path = os.path.abspath(path)  # noqa: PTH100  resolve() would look through links
        self._options = dataclasses.replace(options, expect_sha256=bundle.sha256)  # a pickle means these very bytes
        pair = start_pair(bundle, device=options.device, precision=precision, threads=options.threads)
        self._rows = Rows(pair, max_batch=max_batch)

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self._rows.manifest

    def info(self) -> Info:
        """What really runs: device, provider, precision, threads, versions, shapes."""
        return info_of(self._rows.pair, max_batch=self._rows.max_batch)

    def close(self) -> None:
        """Lets go of both sessions; any later call raises `ClosedError`. Closing twice is fine."""
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as a recipe: the other process loads the same bundle with the same options."""
        return VAE, (self._path, self._options)

    def __repr__(self) -> str:
        state = "closed" if self._rows.closed else str(self._rows.pair.device)
        return f"<reparam.VAE {self.manifest.name} {self.manifest.id[:8]} {state}>"

    # -- encoding ------------------------------------------------------------------------------------------------

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
        one, other = (None, None) if out is None else check_pair(out)
        mean = _place(one, "out[0]", (len(x), *rows.latent), x)
        logvar = _place(other, "out[1]", (len(x), *rows.latent), x)
        for start, stop, part in rows.run(rows.encode, x, "x", allow_nan=allow_nan):
            mean[start:stop], logvar[start:stop] = part
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
        place = _place(out, "out", (len(x), *rows.latent), x, eps)
        return rows.collect(run, x, "x", place, allow_nan=allow_nan)

    # -- decoding ------------------------------------------------------------------------------------------------

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
        place = _place(out, "out", (len(z), *rows.input), z, dtype=rows.dtype)
        return rows.collect(rows.decode, z, "z", place, allow_nan=allow_nan)

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
        place = _place(out, "out", (len(x), *rows.input), x, eps, dtype=rows.dtype)
        return rows.collect(rows.reconstructor(eps_of), x, "x", place, allow_nan=allow_nan)

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
        pair, x_hat = rows.pair, _place(out, "out", (n, *rows.input), dtype=rows.dtype)
        for start, stop in rows.chunks(n):
            ids = range(first_row + start, first_row + stop)
            z = noise(self.manifest.latent.prior, seed, ids, rows.latent, stream="prior")
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
        run, shape = rows.sampler(rows.no_noise), (len(a), *rows.latent)
        start = rows.collect(run, a, "a", np.empty(shape, np.float32), allow_nan=False)[:, None]  # [n, 1, *latent]
        end = rows.collect(run, b, "b", np.empty(shape, np.float32), allow_nan=False)[:, None]
        weight = np.linspace(0, 1, steps, dtype=np.float32).reshape(1, steps, *(1,) * len(rows.latent))
        line = start * (1 - weight) + end * weight  # [n, steps, *latent]
        return self.decode(line.reshape(-1, *rows.latent)).reshape(len(a), steps, *rows.input)

    # -- probability ---------------------------------------------------------------------------------------------

    def elbo(
        self, x: npt.NDArray[Any], *, seed: int, first_row: int = 0, allow_nan: bool = False
    ) -> npt.NDArray[np.float64]:
        """Evidence lower bound of each row, in nats: closed-form KL, and log p(x given z) at one z.

        Args:
            x: [n, *input].
            seed: 0 <= seed < 2^64; row i is scored at the z that `sample(x, seed=seed)` gives it.
            first_row: number of the first row.
            allow_nan: let NaN and infinite values through.

        Returns:
            float64 [n]. Higher is more probable; rows unlike the training data score low.
        """
        rows, x = self._rows.for_x(x)
        return elbo_terms(rows, x, seed=seed, first_row=first_row, allow_nan=allow_nan).elbo

    def log_likelihood(
        self, x: npt.NDArray[Any], *, samples: int = 500, seed: int, first_row: int = 0, allow_nan: bool = False
    ) -> npt.NDArray[np.float64]:
        """Importance-sampled log p(x) of each row, in nats; tighter than the ELBO, and costs `samples` decodes a row.

        Args:
            x: [n, *input].
            samples: draws of z a row, 1 to 2^30.
            seed: 0 <= seed < 2^64; draw k of row i is `noise(law, seed, [first_row + i], latent, draw=k)`.
            first_row: number of the first row.
            allow_nan: let NaN and infinite values through.

        Returns:
            float64 [n], below log p(x) on average and nearer to it with more samples; where the noise is uniform it
            stays a bound, since q is zero where the prior is not.

        Source:
            Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2016).
        """
        samples = whole("samples", samples, low=1, high=2**30 - 1)
        rows, x = self._rows.for_x(x)
        return log_likelihood(rows, x, samples=samples, seed=seed, first_row=first_row, allow_nan=allow_nan)

    def evaluate(
        self, x: npt.NDArray[Any], *, seed: int = 0, samples: int = 0, progress: Callable[[int], None] = lambda _: None
    ) -> Evaluation:
        """Means over rows of what the field reports of a VAE: ELBO in rate and distortion, nll, bits per dimension.

        Args:
            x: at least one row, [n, *input].
            seed: 0 <= seed < 2^64.
            samples: draws a row for the importance-sampled nll; 0 leaves it out.
            progress: told how many rows of the importance sampling are done, a chunk at a time.

        Returns:
            Evaluation, in nats per row; its attributes say each number's meaning.
        """
        rows, x = self._rows.for_x(x)
        return evaluate_rows(rows, x, seed=seed, samples=samples, progress=progress)

    # -- many rows -----------------------------------------------------------------------------------------------

    def stream(
        self,
        rows: npt.NDArray[Any],
        *,
        op: Literal["encode", "sample", "decode", "reconstruct"],
        eps: npt.NDArray[Any] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        allow_nan: bool = False,
    ) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """The same numbers as the call named by `op`, `max_batch` rows at a time, in order and in bounded memory.

        Args:
            rows: x [n, *input] (or z [n, *latent] for decode), for example a memory-mapped array.
            op: "encode" gives (mean, logvar), "sample" (z,), "decode" and "reconstruct" (x_hat,).
            eps: for sample, and for reconstruct from samples; see `sample`.
            seed: in place of eps.
            first_row: number of the first row.
            allow_nan: let NaN and infinite values through.

        Yields:
            Tuples of arrays of at most `max_batch` rows.
        """
        if op not in ("encode", "sample", "decode", "reconstruct"):
            raise OptionError(f"op: must be one of encode, sample, decode, reconstruct, got {op!r}")
        if op == "encode":
            self._rows.law()
        name = "z" if op == "decode" else "x"
        own, rows = self._rows.for_z(rows) if op == "decode" else self._rows.for_x(rows)
        noisy = eps is not None or seed is not None or first_row != 0
        if noisy and op in ("encode", "decode"):
            raise OptionError(f"eps, seed: {op} draws nothing; leave them out")
        eps_of: Noise = own.no_noise
        if op == "sample" or noisy:
            eps_of = own.noise_of(eps, seed=seed, first_row=first_row, rows=len(rows), allow_nan=allow_nan)
        runs = {
            "encode": own.encode,
            "sample": own.sampler(eps_of),
            "decode": own.decode,
            "reconstruct": own.reconstructor(eps_of),
        }
        return (tuple(part) for _, _, part in own.run(runs[op], rows, name, allow_nan=allow_nan))


def _place(
    out: npt.NDArray[Any] | None,
    name: str,
    shape: tuple[int, ...],
    *inputs: object,
    dtype: npt.DTypeLike = np.float32,
) -> npt.NDArray[Any]:
    """Where a result goes: the caller's array once it fits, or a new one."""
    if out is None:
        return np.empty(shape, dtype)
    return check_out(out, name=name, shape=shape, dtype=dtype, inputs=inputs)
