"""One process's part of a job: its spans of rows, computed, written, and told once they are on the disk."""

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from reparam.files.part import PartFile, RowWriter
from reparam.files.spans import Span
from reparam.jobs.job import Opened

SYNC_SECONDS = 1.0  # between two times that rows are brought to the disk; a kill loses about twice as much
SYNC_BYTES = 2**27  # the same in bytes


def work(
    opened: Opened,
    parts: Sequence[PartFile],
    spans: Sequence[Span],
    *,
    advance: Callable[[int], None],
    durable: Callable[[Span], None],
) -> None:
    """Computes and writes rows.

    Args:
        opened: model and inputs.
        parts: the files, made already.
        spans: which rows.
        advance: told how many more rows are computed.
        durable: told of spans that are on the disk, from this thread.

    Raises:
        OutputError: a file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(part.writing()) for part in parts]
        # the disk is waited for beside the next rows' computation, not in between
        saver = _Saver(files, stack.enter_context(ThreadPoolExecutor(1)), durable)
        row_bytes = sum(part.row_bytes for part in parts)
        for start, stop in spans:
            row = start
            for values in opened.parts(start, stop):
                for file, array in zip(files, values, strict=True):
                    file.write(row, array)
                row += len(values[0])
                advance(len(values[0]))
                saver.wrote((start, row), row_bytes)
            saver.save()
        saver.finish()


class _Saver:
    """Brings what was written to the disk, from time to time and in the background."""

    def __init__(self, files: Sequence[RowWriter], pool: ThreadPoolExecutor, durable: Callable[[Span], None]) -> None:
        self._files = files
        self._pool = pool
        self._durable = durable
        self._time = time.monotonic()
        self._begin: int | None = None
        self._end = 0
        self._running: tuple[Future[None], Span] | None = None

    def wrote(self, span: Span, row_bytes: int) -> None:
        """Rows of the present span are written up to its stop."""
        begin = span[0] if self._begin is None else self._begin
        self._begin, self._end = begin, span[1]
        due = time.monotonic() - self._time >= SYNC_SECONDS or (self._end - begin) * row_bytes >= SYNC_BYTES
        if due:
            self.save()
            self._begin = self._end

    def save(self) -> None:
        """Begins to bring to the disk what is not there yet, once what was begun before is there."""
        self.finish()
        if self._begin is not None and self._begin < self._end:
            self._running = self._pool.submit(self._sync), (self._begin, self._end)
        self._begin, self._time = None, time.monotonic()

    def finish(self) -> None:
        """Waits for what was begun, and tells of it."""
        if self._running is not None:
            done, span = self._running
            self._running = None
            done.result()
            self._durable(span)

    def _sync(self) -> None:
        for file in self._files:
            file.sync()
