"""Several processes that share a job: each computes and writes its own rows, the first one keeps the journal."""

import contextlib
import dataclasses
import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Final, cast

from reparam.errors import ReparamError, RunError
from reparam.files.part import PartFile
from reparam.files.spans import Span
from reparam.jobs.job import Job, opened
from reparam.jobs.work import work

_TELL: Final = 0.1  # seconds between two words of a worker's progress


@dataclasses.dataclass(frozen=True)
class _Rows:
    """So many more rows are computed."""

    count: int


@dataclasses.dataclass(frozen=True)
class _Durable:
    """These rows are on the disk."""

    span: Span


@dataclasses.dataclass(frozen=True)
class _Failed:
    """The worker gives up."""

    error: BaseException


@dataclasses.dataclass(frozen=True)
class _Done:
    """The worker has nothing left to do."""


def share_out(
    job: Job,
    parts: Sequence[PartFile],
    shares: Sequence[Sequence[Span]],
    *,
    advance: Callable[[int], None],
    durable: Callable[[Span], None],
) -> None:
    """Runs a process for each share of the rows, and waits for all; see `work` for what is told.

    Args:
        job: on a device that is really there, with threads for each process.
        parts: the files, made already.
        shares: the spans of each process.
        advance: told how many more rows are computed.
        durable: told of spans that are on the disk.

    Raises:
        ReparamError: the first error of any worker; the others are ended.
        RunError: a worker was ended from outside, for lack of memory as a rule.
    """
    context = multiprocessing.get_context("spawn")  # a fork would take a copy of whatever threads hold here
    running: dict[Connection, SpawnProcess] = {}
    try:
        for spans in shares:
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_worker, args=(there, job, tuple(parts), tuple(spans)), daemon=True)
            process.start()
            there.close()  # so that the end of the worker is the end of the pipe
            running[here] = process
        while running:
            for connection in cast("list[Connection]", wait(list(running))):
                try:
                    told: object = connection.recv()
                except EOFError:
                    told = _Failed(_vanished(running[connection]))
                if isinstance(told, _Rows):
                    advance(told.count)
                elif isinstance(told, _Durable):
                    durable(told.span)
                elif isinstance(told, _Failed):
                    raise told.error
                else:
                    running.pop(connection).join()
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.join()


def _vanished(process: SpawnProcess) -> RunError:
    process.join()
    code = process.exitcode or 0
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return RunError(f"--workers: a worker process was ended {how}; use fewer workers or a smaller --max-batch")


def _worker(connection: Connection, job: Job, parts: tuple[PartFile, ...], spans: tuple[Span, ...]) -> None:
    """The other process. It ends with the first one, whose absence it notices when it next tells something."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's to answer
    with contextlib.suppress(BrokenPipeError):
        try:
            progress = _Progress(connection)
            with opened(job) as found:
                work(
                    found, parts, spans, advance=progress.advance, durable=lambda span: connection.send(_Durable(span))
                )
            progress.tell()
            connection.send(_Done())
        except BrokenPipeError:
            raise
        except (ReparamError, MemoryError) as error:
            connection.send(_Failed(error))
        except Exception as error:  # nobody sees this process's traceback; the last line names the fault
            last = traceback.format_exception_only(error)[-1]
            connection.send(_Failed(ReparamError(f"--workers: a worker process failed: {last}")))


class _Progress:
    """Tells of progress, not too often."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows = 0
        self._time = time.monotonic()

    def advance(self, rows: int) -> None:
        self._rows += rows
        if time.monotonic() - self._time >= _TELL:
            self.tell()

    def tell(self) -> None:
        self._connection.send(_Rows(self._rows))
        self._rows, self._time = 0, time.monotonic()
