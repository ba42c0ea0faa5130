"""A whole job: checked, begun or continued, computed by one process or several, and given its name."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Final

from reparam.bundle.reader import read_bundle
from reparam.engine.threads import threads_each
from reparam.errors import InputError, OutputError, RunError
from reparam.files.atomic import check_place
from reparam.files.part import PartFile
from reparam.files.spans import Span, missing, rows_in, shares
from reparam.files.unfinished import Unfinished, unfinished
from reparam.integers import whole
from reparam.jobs.identity import Fingerprint, fingerprint, identity_of
from reparam.jobs.job import Job, Opened, opened
from reparam.jobs.work import work
from reparam.jobs.workers import share_out

_MOST: Final = 256  # workers

Progress = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]


@dataclasses.dataclass(frozen=True)
class Finished:
    """What a job did.

    Attributes:
        rows: of the whole result.
        kept: rows that an earlier process had done.
        seconds: the others took.
    """

    rows: int
    kept: int
    seconds: float


def run_job(job: Job, *, resume: bool, progress: Progress, note: Callable[[str], None]) -> Finished:
    """Does a job; its results are there whole or not at all.

    Rows are written to NAME.part beside each result, and NAME.part.json says which of them are on the disk. Both stay
    where the job ends early with some rows done, unless an input is at fault.

    Args:
        job: what is asked.
        resume: go on with the rows that an earlier process left.
        progress: called with the number of rows and a label; gives what is told of each row done.
        note: told, in a line, what became of an earlier process's rows.

    Raises:
        OptionError: an option out of range, or a resume of something else.
        InputError, BundleError, DeviceUnavailable, RunError: as the calls that the job is made of.
        OutputError: results that cannot be written; too little room is found before anything is computed.
        KeyboardInterrupt: it came; what it says is which rows are kept.
    """
    workers = whole("workers", job.workers, low=1, high=_MOST)
    for out in job.outs.values():
        check_place(out)
    found_now = read_bundle(job.bundle, precisions=(), trust=job.trust, expect_sha256=job.expect_sha256)
    job = dataclasses.replace(job, expect_sha256=found_now.sha256)
    if workers > 1:
        job = dataclasses.replace(job, threads=threads_each(workers) if job.threads is None else job.threads)
    with opened(job) as found:
        found.parts(0, 0)  # refuses what does not fit
        parts = [
            PartFile(place, (found.rows, *values.shape[1:]), values.dtype.str)
            for place, values in zip(job.outs.values(), found.no_rows(), strict=True)
        ]
        job = dataclasses.replace(job, device=found.vae.info().device)  # of the workers too, and said only once
        before = {name: fingerprint(path) for name, path in job.inputs.items()}
        identity = identity_of(found, parts, before)
        with unfinished(parts, identity, resume=resume, note=note) as making:
            kept, begin = rows_in(making.done), time.perf_counter()
            with _kept_rows_are_told(making, found.rows):
                with progress(found.rows, job.op) as advance:
                    advance(kept)
                    _compute(found, job, making, advance)
                _check_unchanged(job, before)
                making.publish()
            return Finished(found.rows, kept, time.perf_counter() - begin)


def _compute(found: Opened, job: Job, making: Unfinished, advance: Callable[[int], None]) -> None:
    left: tuple[Span, ...] = missing(making.done, found.rows)
    each = shares(left, job.workers, job.max_batch)
    if len(each) > 1:
        found.vae.close()  # the workers have their own
        share_out(job, making.parts, each, advance=advance, durable=making.record)
    elif each:
        work(found, making.parts, each[0], advance=advance, durable=making.record)


def _check_unchanged(job: Job, before: dict[str, Fingerprint]) -> None:
    for name, path in job.inputs.items():
        if fingerprint(path) != before[name]:
            raise InputError(f"{path}: was changed while it was read; run the command again")


@contextlib.contextmanager
def _kept_rows_are_told(making: Unfinished, rows: int) -> Generator[None]:
    try:
        yield
    except (OutputError, RunError, KeyboardInterrupt) as error:
        done = rows_in(making.done)
        if not done:
            raise
        kept = f"{done:,} of {rows:,} rows are kept, and --resume goes on from them"
        raise type(error)(f"{error}; {kept}" if str(error) else kept) from error
