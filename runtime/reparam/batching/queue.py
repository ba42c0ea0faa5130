"""The calls that wait: bounded, oldest first, taken a batch at a time by one worker."""

import threading
import time
from collections import deque

import msgspec

from reparam.batching.call import Call, Kind
from reparam.batching.patience import Patience
from reparam.errors import ClosedError, InputError, QueueFull


class BatcherStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a batcher has done: calls and rows answered, batches run, and rows that wait now."""

    calls: int
    rows: int
    batches: int
    waiting: int


class CallQueue:
    """Calls that wait, at most `max_queue` rows of them, and the rule by which they become batches.

    A batch has calls of one kind and up to `max_batch` rows; a call of more rows is a batch of its own. It begins when
    the worker is free and as many rows are there as `Patience` expects, and at most `max_delay` seconds after there
    was a worker and a row for it.
    """

    def __init__(self, *, max_batch: int, max_delay: float, max_queue: int) -> None:
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._patience = Patience(max_delay)
        self._waiting: dict[Kind, deque[Call]] = {}
        self._closing = False
        self._wanted = 0  # rows that wake the sleeping worker; 0 while it is awake
        self._lock = threading.RLock()  # a garbage collection inside it may close the queue
        self._wake = threading.Condition(self._lock)
        self._rows = 0
        self._batches = self._calls_done = self._rows_done = 0

    # -- of callers ----------------------------------------------------------------------------------------------

    def put(self, call: Call) -> None:
        """Lets a call wait for its batch.

        Raises:
            ClosedError: the queue was closed.
            QueueFull: there is no room now.
            InputError: there never is room for so many rows.
        """
        with self._lock:
            self.check_open()
            if self._rows + call.rows > self._max_queue:
                raise self._refusal(call.rows)
            queue = self._waiting.get(call.kind)
            if queue is None:
                queue = self._waiting[call.kind] = deque()
            queue.append(call)
            self._rows += call.rows
            if 0 < self._wanted <= self._rows:
                self._wanted = 0
                self._wake.notify()

    def check_open(self) -> None:
        """`ClosedError` once the queue was closed."""
        if self._closing:
            raise ClosedError("this batcher is closed; make another")

    def _refusal(self, rows: int) -> Exception:
        if rows > self._max_queue:
            return InputError(
                f"rows: a call has at most {self._max_queue} (max_queue), got {rows}; call the model itself, "
                "which needs no batcher for so many"
            )
        return QueueFull(
            f"max_queue: {self._max_queue} rows may wait and {self._rows} do, no room for {rows} more; try again later"
        )

    def drop(self, call: Call) -> None:
        """Takes back a call that still waits; one whose batch has begun runs on, its answer unread."""
        with self._lock:
            queue = self._waiting.get(call.kind, ())
            if call in queue:
                self._waiting[call.kind].remove(call)
                self._forget(call.kind, call.rows)

    def close(self) -> None:
        """Lets nobody in any more; what waits is taken without delay."""
        with self._lock:
            self._closing = True
            self._wake.notify()

    def clear(self) -> list[Call]:
        """Takes back every call that waits."""
        with self._lock:
            calls = [call for queue in self._waiting.values() for call in queue]
            self._waiting.clear()
            self._rows = 0
            return calls

    def stats(self) -> BatcherStats:
        """What was done so far, and the rows that wait now."""
        with self._lock:
            return BatcherStats(calls=self._calls_done, rows=self._rows_done, batches=self._batches, waiting=self._rows)

    # -- of the worker -------------------------------------------------------------------------------------------

    def take(self) -> list[Call]:
        """Waits for the next batch; empty once the queue is closed and nothing waits."""
        with self._lock:
            free = time.monotonic()
            delay, waited = self._patience.begin(), False
            while self._waiting or not self._closing:
                if not self._waiting:
                    self._sleep(1, None)
                    continue
                kind = min(self._waiting, key=lambda kind: self._waiting[kind][0].born)
                enough = min(self._patience.expected, self._max_batch)
                there = self._rows_of(kind) >= enough
                left = max(free, self._waiting[kind][0].born) + delay - time.monotonic()
                if self._closing or there or left <= 0:
                    if waited:
                        self._patience.end(came=there)
                    return self._pick(kind)
                waited = True
                self._sleep(max(self._rows + 1, enough), left)
            return []

    def done(self, calls: list[Call]) -> None:
        """Counts a batch that is about to be answered: those who called may soon be back, beside those who wait."""
        with self._lock:
            rows = sum(call.rows for call in calls)
            self._patience.expected = rows + self._rows_of(calls[0].kind)
            self._batches += 1
            self._calls_done += len(calls)
            self._rows_done += rows

    def _sleep(self, wanted: int, seconds: float | None) -> None:
        self._wanted = wanted
        self._wake.wait(seconds)
        self._wanted = 0

    def _rows_of(self, kind: Kind) -> int:
        return sum(call.rows for call in self._waiting.get(kind, ()))

    def _pick(self, kind: Kind) -> list[Call]:
        queue = self._waiting[kind]
        calls = [queue.popleft()]
        rows = calls[0].rows
        while queue and rows + queue[0].rows <= self._max_batch:
            rows += queue[0].rows
            calls.append(queue.popleft())
        self._forget(kind, rows)
        return calls

    def _forget(self, kind: Kind, rows: int) -> None:
        self._rows -= rows
        if not self._waiting[kind]:
            del self._waiting[kind]
