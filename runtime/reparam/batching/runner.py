"""The queue, its thread, and those who wait for it: threads on a lock, tasks on a future."""

import asyncio
import os
import threading
import weakref

from reparam.batching.call import Arrays, Call, Plan
from reparam.batching.queue import BatcherStats, CallQueue
from reparam.batching.worker import Run, refuse, work
from reparam.engine.deadline import check_seconds
from reparam.errors import ClosedError, DeadlineExceeded


class Runner:
    """Runs plans in batches on a thread of its own, which ends with `close`, with this object, or with the program."""

    def __init__(self, queue: CallQueue, run: Run) -> None:
        self._queue = queue
        self._run = run
        self._pid = os.getpid()
        # A daemon, so that a program that forgot to close it can end. The finalizer runs before the interpreter goes,
        # as a daemon inside onnxruntime then would bring the process down.
        self._thread = threading.Thread(target=work, args=(queue, run), name="reparam-batcher", daemon=True)
        self._thread.start()
        self._stop = weakref.finalize(self, _stop, queue, self._thread, self._pid)

    def wait(self, plan: Plan, timeout: float | None) -> Arrays:
        """The plan's rows, for a thread; see `Batcher.encode` for what is raised."""
        seconds = -1 if timeout is None else check_seconds("timeout", timeout)
        self._check_process()
        if not len(plan.array):
            return self._run(plan)
        call = Call(plan)
        self._queue.put(call)
        in_time = False
        try:
            in_time = call.ready.acquire(timeout=seconds)
        finally:  # also where Ctrl-C ends the wait
            if not in_time:
                self._queue.drop(call)
        if not in_time:
            raise _late(seconds)
        return call.answer()

    async def await_(self, plan: Plan, timeout: float | None) -> Arrays:
        """The plan's rows, for a task."""
        seconds = None if timeout is None else check_seconds("timeout", timeout)
        self._check_process()
        if not len(plan.array):
            return self._run(plan)
        future = asyncio.get_running_loop().create_future()
        call = Call(plan, future)
        self._queue.put(call)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            raise _late(seconds) from None
        finally:
            if future.cancelled():  # the task was, or its time was up
                self._queue.drop(call)
        return call.answer()

    def check_open(self) -> None:
        """`ClosedError` once it was closed, and in a forked child."""
        self._check_process()
        self._queue.check_open()

    def stats(self) -> BatcherStats:
        """What was done so far, and what waits."""
        return self._queue.stats()

    def close(self, *, drain: bool) -> None:
        """Ends the thread, once it has answered what waits, or after its batch; nothing to do in a forked child."""
        if os.getpid() != self._pid:
            return
        if drain:
            self._queue.close()
            self._thread.join()
        self._stop()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:  # before any lock, which the other process may have held
            raise ClosedError("this batcher's thread is in the process that made it; make a batcher in this one")


def _late(seconds: float | None) -> DeadlineExceeded:
    return DeadlineExceeded(f"timeout: no answer within {seconds:g} s; allow more, or send fewer calls at a time")


def _stop(queue: CallQueue, thread: threading.Thread, pid: int) -> None:
    if os.getpid() != pid:
        return
    queue.close()
    refuse(queue.clear())
    if thread is not threading.current_thread():  # a garbage collection may run there
        thread.join()
