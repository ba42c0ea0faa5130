"""What is asked of a job, as data that another process can be given, and its model and inputs once they are open."""

import contextlib
import dataclasses
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from reparam.arrays import RowSource
from reparam.bundle.manifest import Trust
from reparam.files import npy
from reparam.files.stored import Stored
from reparam.vae import VAE, load

JobOp = Literal["encode", "sample", "decode", "reconstruct", "generate"]
Parts = Iterator[tuple[npt.NDArray[Any], ...]]

RESULTS: Final[dict[JobOp, tuple[str, ...]]] = {
    "encode": ("mean", "logvar"),
    "sample": ("z",),
    "decode": ("x_hat",),
    "reconstruct": ("x_hat",),
    "generate": ("x_hat",),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One operation over all rows of a file.

    Attributes:
        op: what is done.
        bundle: whose model does it.
        outs: results that are wanted, by their names in RESULTS, and where they are written.
        source: .npy file of x, or of z for decode; None for generate.
        eps: .npy file of the noise, or None.
        rows: how many rows generate draws; nothing to the others.
        size: height and width of what generate draws, where the bundle leaves them open.
        seed: of the noise, or None.
        first_row: number of the first row.
        device: as `load` takes it.
        threads: of each process; None shares what this process may use among the workers.
        max_batch: rows run at a time.
        workers: how many processes.
        trust: as `load` takes it.
        expect_sha256: that the bundle's manifest must have, None for any.
    """

    op: JobOp
    bundle: Path
    outs: Mapping[str, Path]
    source: Path | None = None
    eps: Path | None = None
    rows: int = 0
    size: tuple[int, int] | None = None
    seed: int | None = None
    first_row: int = 0
    device: str = "auto"
    threads: int | None = None
    max_batch: int = 256
    workers: int = 1
    trust: Trust = "strict"
    expect_sha256: str | None = None

    @property
    def inputs(self) -> dict[str, Path]:
        """The files that are read, by the names of what they hold."""
        named = {"z" if self.op == "decode" else "x": self.source, "eps": self.eps}
        return {name: path for name, path in named.items() if path is not None}


@dataclasses.dataclass(frozen=True)
class Opened:
    """A job's model, loaded, and its inputs, open."""

    job: Job
    vae: VAE
    source: Stored | None
    eps: Stored | None

    @property
    def rows(self) -> int:
        """Of the whole job."""
        return self.job.rows if self.source is None else len(self.source)

    def parts(self, start: int, stop: int) -> Parts:
        """The wanted results of the rows from start to stop, `max_batch` at a time; what does not fit is refused first.

        Raises:
            OptionError, InputError: as `VAE.stream` and `VAE.generate` do.
        """
        job = self.job
        if job.op == "generate":
            return self._generated(start, stop)
        source: RowSource = np.empty(0) if self.source is None else self.source
        found = self.vae.stream(
            source, op=job.op, eps=self.eps, seed=job.seed, first_row=job.first_row, start=start, stop=stop
        )
        wanted = [place for place, name in enumerate(RESULTS[job.op]) if name in job.outs]
        return (tuple(part[place] for place in wanted) for part in found)

    def _generated(self, start: int, stop: int) -> Parts:
        for first in range(start, stop, self.job.max_batch):
            yield (self._draws(first, min(first + self.job.max_batch, stop)),)

    def _draws(self, start: int, stop: int) -> npt.NDArray[Any]:
        job = self.job
        seed: Any = job.seed  # None is refused by its name
        return self.vae.generate(stop - start, seed=seed, first_row=job.first_row + start, size=job.size)

    def no_rows(self) -> tuple[npt.NDArray[Any], ...]:
        """The wanted results of no rows, [0, ...]: what shape and dtype they have."""
        job, vae = self.job, self.vae
        if self.source is None:
            return (self._draws(0, 0),)
        none, no_eps = self.source[:0], None if self.eps is None else self.eps[:0]
        if job.op == "encode":
            posterior = vae.encode(none)
            both = {"mean": posterior.mean, "logvar": posterior.logvar}
            return tuple(both[name] for name in RESULTS["encode"] if name in job.outs)
        if job.op == "sample":
            return (vae.sample(none, eps=no_eps, seed=job.seed, first_row=job.first_row),)
        if job.op == "decode":
            return (vae.decode(none),)
        return (vae.reconstruct(none, eps=no_eps, seed=job.seed, first_row=job.first_row),)


@contextlib.contextmanager
def opened(job: Job) -> Generator[Opened]:
    """A job's inputs and model, let go at the end.

    Raises:
        InputNotFound, InputError: an input that is no .npy file of numbers.
        BundleError, DeviceUnavailable, OptionError: as `load` does.
    """
    with contextlib.ExitStack() as stack:
        source = None if job.source is None else stack.enter_context(npy.read(job.source))
        eps = None if job.eps is None else stack.enter_context(npy.read(job.eps))
        vae = stack.enter_context(
            load(
                job.bundle,
                device=job.device,
                threads=job.threads,
                max_batch=job.max_batch,
                expect_sha256=job.expect_sha256,
                trust=job.trust,
            )
        )
        yield Opened(job, vae, source, eps)
