"""Rows through the graphs, a chunk at a time, each with its own noise: what every method of the face is made of."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt

from reparam.arrays import FLOAT32, FloatArray, RowSource, check_rows, empty, finite, in_numpy, like, read_rows
from reparam.bundle.manifest import Likelihood, Manifest
from reparam.engine.captures import beside_captures
from reparam.engine.deadline import Deadline, Timed
from reparam.engine.pair import Pair, session_of
from reparam.errors import ClosedError, InputError, OptionError
from reparam.files.paging import Pages
from reparam.files.stored import Stored
from reparam.integers import whole
from reparam.laws import Law, check_seed, noise

Noise = Callable[[int, int], FloatArray]  # of rows start to stop, float32 [stop - start, *latent]
Step = Callable[[Pair, npt.NDArray[Any], int, int], list[npt.NDArray[Any]]]  # sessions, rows start to stop, start, stop
Part = tuple[int, int, list[npt.NDArray[Any]]]  # start, stop, outputs

_MOMENTS: Final = ["mean", "logvar"]
_LONGEST: Final = 2**24  # of a side: far beyond what memory holds, and its square is still a size


def check_first_row(first_row: int, rows: int) -> int:
    """`OptionError` unless every row number from first_row on is below 2^64."""
    return whole("first_row", first_row, low=0, high=2**64 - 1 - max(0, rows - 1))


def _shape(array: object) -> tuple[int, ...]:
    """The shape of an array; none for anything else, which the check of rows then refuses."""
    return cast("npt.NDArray[Any]", array).shape if isinstance(array, np.ndarray) else ()


class Rows:
    """Both sessions, fed with at most `max_batch` rows at a time.

    Attributes:
        manifest: the bundle's, for the height and width at hand.
        max_batch: rows run at a time.
        input: shape of one row of x.
        latent: shape of one row of z.
        dtype: of x and x_hat: float32, or uint8 of a raw bundle.
    """

    def __init__(self, pair: Pair, *, max_batch: int, manifest: Manifest | None = None) -> None:
        self._pair: Pair | None = pair
        self.max_batch: int = max_batch
        self.manifest: Manifest = pair.manifest if manifest is None else manifest
        # at hand, since every call asks for them
        self.input: tuple[int, ...] = self.manifest.input.shape
        self.latent: tuple[int, ...] = self.manifest.latent.shape
        self.dtype: np.dtype[Any] = np.dtype(self.manifest.input.dtype)
        self._factors = self.manifest.input.factors
        self._zeros = np.zeros((0, *self.latent), np.float32)

    # -- which rows ----------------------------------------------------------------------------------------------

    def at(self, size: tuple[int, int] | None) -> "Rows":
        """The same sessions for images of another height and width; None for those of the manifest.

        Raises:
            OptionError: no pair of whole numbers, the sides are fixed to others, or no multiples of their factors.
        """
        factors = self._factors
        if size is None:
            return self
        if not isinstance(cast("object", size), Sequence | np.ndarray) or len(size) != 2:
            raise OptionError(f"size: must be height and width, such as (64, 96), got {size!r:.80}")
        height, width = (whole(f"size[{axis}]", side, low=1, high=_LONGEST) for axis, side in enumerate(size))
        if factors is None:
            raise OptionError(f"size: this bundle's rows are always {list(self.input)}; leave it out")
        if height % factors[0] or width % factors[1]:
            raise OptionError(f"size: height and width must be multiples of {list(factors)}, got {list(size)}")
        return self._sized((height, width))

    def for_x(self, x: object, *, name: str = "x", rows: int | None = None) -> tuple["Rows", npt.NDArray[Any]]:
        """The sessions for rows of x's height and width, and x itself once its shape and dtype fit."""
        if type(x) is np.ndarray and x.dtype is self.dtype and x.shape[1:] == self.input and rows is None:
            return self, x  # what nearly every call passes, some microseconds earlier
        fitting = self
        if self._factors is not None:
            x = in_numpy(x, name=name)
            fitting = self.for_shape(_shape(x), "x", name=name)
        return fitting, check_rows(x, name=name, row_shape=fitting.input, dtype=self.dtype, rows=rows, rows_of="a")

    def for_z(self, z: object) -> tuple["Rows", npt.NDArray[Any]]:
        """The sessions for rows of z's height and width, and z itself once its shape and dtype fit."""
        if type(z) is np.ndarray and z.dtype is FLOAT32 and z.shape[1:] == self.latent:
            return self, z
        fitting = self
        if self._factors is not None:
            z = in_numpy(z, name="z")
            fitting = self.for_shape(_shape(z), "z")
        return fitting, check_rows(z, name="z", row_shape=fitting.latent)

    def for_shape(self, shape: tuple[int, ...], role: Literal["x", "z"], *, name: str | None = None) -> "Rows":
        """The same sessions for the height and width that an array of x or z has; its other axes are not looked at.

        Raises:
            InputError: the factors do not divide them.
        """
        factors = self._factors
        if factors is None or len(shape) != 4:
            return self
        if role == "x":
            axes = self.manifest.input_axes
            place = axes.index("height") + 1  # behind the batch
            size = shape[place], shape[place + 1]
            rule, remedy = f"height and width positive multiples of {list(factors)}", "; pad or crop it"
        else:
            axes, size = self.manifest.latent_axes, (shape[2] * factors[0], shape[3] * factors[1])
            rule, remedy = "sides of at least 1", ""
        if not all(size) or any(side % factor for side, factor in zip(size, factors, strict=True)):
            told = ", ".join(map(str, axes))
            raise InputError(f"{name or role}: shape must be [n, {told}] with {rule}, got {list(shape)}{remedy}")
        return self._sized(size)

    def _sized(self, size: tuple[int, int]) -> "Rows":
        return Rows(self.pair, max_batch=self.max_batch, manifest=self.manifest.at(size))

    def within(self, deadline: Deadline) -> "Rows":
        """The same sessions for runs that end with a deadline."""
        pair = self.pair
        encoder, decoder = (Timed(session_of(graph), deadline) for graph in (pair.encoder, pair.decoder))
        timed = dataclasses.replace(pair, encoder=encoder, decoder=decoder)
        return Rows(timed, max_batch=self.max_batch, manifest=self.manifest)

    # -- life ----------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the sessions were let go."""
        return self._pair is None

    @property
    def pair(self) -> Pair:
        """The sessions; `ClosedError` once they were let go."""
        if self._pair is None:
            raise ClosedError("this model is closed; load it again")
        return self._pair

    def close(self) -> None:
        """Lets go of the sessions."""
        card = self._pair is not None and self._pair.device.kind != "cpu"
        beside_captures(setattr, card=card)(self, "_pair", None)  # memory goes back to the card

    def law(self) -> Law:
        """The law of the noise; `OptionError` for a deterministic autoencoder, which has no posterior."""
        if self.manifest.latent.noise is None:
            raise OptionError("encode: a deterministic autoencoder has no posterior; call sample(x) for its z")
        return self.manifest.latent.noise

    def likelihood(self) -> Likelihood:
        """The law of x given z; `OptionError` where nobody knows it, as of most models of others."""
        if self.manifest.likelihood is None:
            raise OptionError("elbo: this bundle names no likelihood, so no row can be scored; posterior.kl() works")
        return self.manifest.likelihood

    # -- running -------------------------------------------------------------------------------------------------

    def chunks(self, n: int, begin: int = 0) -> Iterator[tuple[int, int]]:
        """Start and stop of each chunk of the rows from begin to n."""
        return ((start, min(start + self.max_batch, n)) for start in range(begin, n, self.max_batch))

    def run(
        self,
        step: Step,
        rows: RowSource,
        name: str,
        *,
        allow_nan: bool,
        first: int = 0,
        span: tuple[int, int] | None = None,
    ) -> Iterator[Part]:
        """Each chunk of rows through a step: its start, its stop and its outputs.

        Args:
            step: what is done with a chunk.
            rows: checked rows; pages of a large mapped file are given back as they are done.
            name: of the rows, for messages.
            allow_nan: let NaN and infinite values through.
            first: number of the first row, where `rows` is a part of all rows; starts and stops count from it.
            span: start and stop of the rows to run, None for all.
        """
        pair, pages = self.pair, Pages(rows)
        begin, end = (0, len(rows)) if span is None else span
        for start, stop in self.chunks(end, begin):
            chunk = read_rows(rows, start, stop, name=name, allow_nan=allow_nan, first=first)
            yield first + start, first + stop, step(pair, chunk, first + start, first + stop)
            pages.read(stop - start)

    def results(
        self,
        step: Step,
        rows: npt.NDArray[Any],
        name: str,
        *shapes: tuple[int, ...],
        outs: list[npt.NDArray[Any]] | None = None,
        dtype: npt.DTypeLike = np.float32,
        allow_nan: bool = False,
    ) -> list[npt.NDArray[Any]]:
        """All rows through a step, its outputs whole.

        Args:
            step: what is done with each chunk.
            rows: checked, of any number.
            name: of the argument, for messages.
            shapes: of one row of each output.
            outs: where the outputs go, checked; None for arrays of their own.
            dtype: of the outputs.
            allow_nan: let NaN and infinite values through.
        """
        n = len(rows)
        if outs is None:
            if 0 < n <= self.max_batch:  # what onnxruntime made is handed on as it is
                return step(self.pair, read_rows(rows, 0, n, name=name, allow_nan=allow_nan), 0, n)
            outs = [empty((n, *shape), dtype) for shape in shapes]
        for start, stop, part in self.run(step, rows, name, allow_nan=allow_nan):
            for out, values in zip(outs, part, strict=True):
                out[start:stop] = values
        return outs

    def trim(self) -> None:
        """Lets the arenas of both sessions shrink."""
        x = np.zeros((1, *self.input), self.dtype)
        z = np.zeros((1, *self.latent), np.float32)
        session_of(self.pair.encoder).shrink({"x": x} if self.manifest.deterministic else {"x": x, "eps": z})
        session_of(self.pair.decoder).shrink({"z": z})
        self._zeros = z[:0].copy()

    # -- noise ---------------------------------------------------------------------------------------------------

    def no_noise(self, start: int, stop: int) -> FloatArray:
        """Zeros, which give the posterior's mean; not to be written to."""
        zeros = self._zeros
        if len(zeros) < stop - start:
            zeros = self._zeros = np.zeros((stop - start, *self.latent), np.float32)
        return zeros[: stop - start]

    def noise_of(self, eps: RowSource | None, *, seed: int | None, first_row: int, rows: int, allow_nan: bool) -> Noise:
        """A function of (start, stop) that gives those rows' noise: the caller's eps, or the seed's."""
        law, shape = self.manifest.latent.noise, self.latent
        first_row = check_first_row(first_row, rows)
        if law is None:
            if eps is not None or seed is not None:
                raise OptionError("eps, seed: a deterministic autoencoder takes no noise; leave both out")
            return self.no_noise
        if first_row and seed is None:
            raise OptionError("first_row: numbers the rows for seed; without a seed leave it out")
        if (eps is None) == (seed is None):
            raise OptionError("eps, seed: give exactly one; for example seed=7")
        if seed is not None:
            key = check_seed(seed)
            return lambda start, stop: noise(law, key, range(first_row + start, first_row + stop), shape)
        checked = check_rows(like(eps), name="eps", row_shape=shape, rows=rows)
        given = eps if isinstance(eps, Stored) else checked
        pages = Pages(given)

        def read(start: int, stop: int) -> FloatArray:
            pages.read(stop - start)  # of the chunk before
            return read_rows(given, start, stop, name="eps", allow_nan=allow_nan)

        return read

    # -- steps ---------------------------------------------------------------------------------------------------

    def encode(self, pair: Pair, x: npt.NDArray[Any], start: int, stop: int) -> list[FloatArray]:
        """Mean and logvar of a chunk."""
        return pair.encoder.run(_MOMENTS, {"x": x, "eps": self.no_noise(start, stop)})

    def decode(self, pair: Pair, z: FloatArray, start: int, stop: int) -> list[npt.NDArray[Any]]:  # noqa: ARG002  a Step
        """x_hat of a chunk."""
        return pair.decoder.run(["x_hat"], {"z": z})

    def moments(self, x: object, *, allow_nan: bool) -> list[FloatArray] | None:
        """Mean and logvar of what nearly every call passes: rows that fit as they are, and are one batch; else None.

        `results` gives the same; this asks each question once, since a call of one row costs little more than those.
        """
        if (
            type(x) is np.ndarray
            and x.dtype is self.dtype
            and x.shape[1:] == self.input
            and 0 < (n := len(x)) <= self.max_batch
            and x.flags.c_contiguous
            and (allow_nan or finite(x))
        ):
            zeros = self._zeros if len(self._zeros) == n else self.no_noise(0, n)
            return self.pair.encoder.run(_MOMENTS, {"x": x, "eps": zeros})
        return None

    def sampler(self, eps_of: Noise) -> Step:
        """The step that gives z with this noise."""

        def sample(pair: Pair, x: npt.NDArray[Any], start: int, stop: int) -> list[FloatArray]:
            noisy = {} if self.manifest.deterministic else {"eps": eps_of(start, stop)}
            return pair.encoder.run(["z"], {"x": x, **noisy})

        return sample

    def reconstructor(self, eps_of: Noise) -> Step:
        """The step that gives x_hat of z with this noise."""
        sample = self.sampler(eps_of)
        return lambda pair, x, start, stop: self.decode(pair, sample(pair, x, start, stop)[0], start, stop)
