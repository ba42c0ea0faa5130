"""Many rows, a part at a time, in order and in bounded memory."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from reparam.arrays import RowSource, like
from reparam.engine.deadline import Deadline
from reparam.engine.parts import Arrays, Chunks, GivenNoise
from reparam.engine.rows import Noise, Rows, Step
from reparam.errors import OptionError
from reparam.face.base import Face
from reparam.files.stored import Stored
from reparam.integers import whole

Op = Literal["encode", "sample", "decode", "reconstruct"]
Outputs = Iterator[tuple[npt.NDArray[Any], ...]]


class Streaming(Face):
    """The part of `VAE` that streams."""

    def stream(
        self,
        rows: RowSource | Iterator[npt.NDArray[Any]],
        *,
        op: Op,
        eps: RowSource | Iterator[npt.NDArray[Any]] | None = None,
        seed: int | None = None,
        first_row: int = 0,
        start: int = 0,
        stop: int | None = None,
        allow_nan: bool = False,
        timeout: float | None = None,
    ) -> Outputs:
        """The same numbers as the call named by `op`, `max_batch` rows at a time, in order and in bounded memory.

        Pages of a large array that is mapped read-only are given back once they are read; a mapped file that another
        program cuts short ends the process, one that `reparam.files.npy.read` opened is an error. An array or file is
        checked at once, an iterator's arrays as they come.

        Args:
            rows: x [n, *input] (or z [n, *latent] for decode): an array; a file, as `reparam.files.npy.read` opens it
                and of which a chunk is read at a time; or an iterator of arrays with any numbers of rows, which are
                numbered across all of them.
            op: "encode" gives (mean, logvar), "sample" (z,), "decode" and "reconstruct" (x_hat,).
            eps: for sample, and for reconstruct from samples; see `sample`. An iterator's parts need not be those of
                the rows.
            seed: in place of eps.
            first_row: number of the first row.
            start: place of the first row to run, at most n. Row i gets the noise of row first_row + i wherever the
                stream begins, so that parts of an array agree with the whole. Not of an iterator.
            stop: the place after the last row to run, None for n. Not of an iterator.
            allow_nan: let NaN and infinite values through.
            timeout: seconds that each of the tuples may take, from when it is asked for; None for no end.

        Yields:
            Tuples of arrays of at most `max_batch` rows.

        Raises:
            OptionError: an unknown op, an option that it does not take, or start and stop of no part of the rows.
            DeadlineExceeded: a tuple was not there within `timeout`; the stream is over.
            InputError: as every call; a file that has become shorter, with its first missing row.
        """
        if op not in ("encode", "sample", "decode", "reconstruct"):
            raise OptionError(f"op: must be one of encode, sample, decode, reconstruct, got {op!r}")
        if op == "encode":
            self._rows.law()
        deadline = None if timeout is None else Deadline(timeout)
        timed = self._rows if deadline is None else self._rows.within(deadline)
        noisy = eps is not None or seed is not None or first_row != 0
        if noisy and op in ("encode", "decode"):
            raise OptionError(f"eps, seed: {op} draws nothing; leave them out")
        noisy = noisy or op == "sample"
        if isinstance(rows, Iterator) or isinstance(eps, Iterator):
            if start != 0 or stop is not None:
                raise OptionError("start, stop: name rows of an array; give rows and eps as arrays, or leave both out")
            parts = _of_parts(
                timed, _iterator(rows), op, eps, seed=seed, first_row=first_row, noisy=noisy, allow_nan=allow_nan
            )
            return parts if deadline is None else _each(parts, deadline)
        own, checked = timed.for_z(like(rows)) if op == "decode" else timed.for_x(like(rows))
        rows = rows if isinstance(rows, Stored) else checked
        start = whole("start", start, low=0, high=len(rows))
        stop = len(rows) if stop is None else whole("stop", stop, low=start, high=len(rows))
        eps_of: Noise = own.no_noise
        if noisy:
            eps_of = own.noise_of(eps, seed=seed, first_row=first_row, rows=len(rows), allow_nan=allow_nan)
        run = own.run(_step(own, op, eps_of), rows, _name(op), allow_nan=allow_nan, span=(start, stop))
        outs = (tuple(outputs) for _, _, outputs in run)
        return outs if deadline is None else _each(outs, deadline)


def _each(outs: Outputs, deadline: Deadline) -> Outputs:
    """Each of them in time, counted from when it is asked for."""
    while True:
        deadline.restart()
        found = next(outs, None)
        if found is None:
            return
        yield found


def _of_parts(
    timed: Rows,
    parts: Arrays,
    op: Op,
    eps: RowSource | Arrays | None,
    *,
    seed: int | None,
    first_row: int,
    noisy: bool,
    allow_nan: bool,
) -> Outputs:
    if noisy:  # refused here and now, as for arrays
        none = None if eps is None else np.empty((0, *timed.latent), np.float32)
        timed.noise_of(none, seed=seed, first_row=first_row, rows=0, allow_nan=allow_nan)
    given = None if eps is None else GivenNoise(_iterator(eps), allow_nan=allow_nan)

    def noise_of(own: Rows, rows: int) -> Noise:
        if not noisy:
            return own.no_noise
        if given is not None:
            return given.of(own)
        return own.noise_of(None, seed=seed, first_row=first_row, rows=rows, allow_nan=allow_nan)

    return _run_parts(Chunks(timed, parts, _name(op)), op, noise_of, given, allow_nan=allow_nan)


def _iterator(rows: RowSource | Arrays) -> Arrays:
    if isinstance(rows, Iterator):
        return rows
    return iter([rows[:]] if isinstance(rows, Stored) else [rows])


def _step(own: Rows, op: Op, eps_of: Noise) -> Step:
    steps: dict[Op, Step] = {
        "encode": own.encode,
        "sample": own.sampler(eps_of),
        "decode": own.decode,
        "reconstruct": own.reconstructor(eps_of),
    }
    return steps[op]


def _name(op: Op) -> Literal["x", "z"]:
    return "z" if op == "decode" else "x"


def _run_parts(
    chunks: Chunks, op: Op, noise_of: Callable[[Rows, int], Noise], given: GivenNoise | None, *, allow_nan: bool
) -> Outputs:
    """The outputs of each chunk; `noise_of` gives the noise for the rows up to the chunk's end."""
    for own, first, chunk in chunks:
        step = _step(own, op, noise_of(own, first + len(chunk)))
        for _, _, outputs in own.run(step, chunk, chunks.name, allow_nan=allow_nan, first=first):
            yield tuple(outputs)
    if given is not None:
        given.end(chunks.done)
