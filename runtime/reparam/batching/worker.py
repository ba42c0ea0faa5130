"""The thread behind a `Batcher`: runs batches, and gives every caller its own rows or its own error."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from reparam.batching.call import Arrays, Call, Kind, Plan
from reparam.batching.queue import CallQueue
from reparam.errors import ClosedError

Run = Callable[[Plan], Arrays]


def work(queue: CallQueue, run: Run) -> None:
    """Runs batches until the queue is closed and empty; whatever ends it, nobody is left waiting."""
    try:
        while calls := queue.take():
            _run(calls, run)
            queue.done(calls)
            _tell(calls)
    finally:
        queue.close()
        refuse(queue.clear())


def refuse(calls: Sequence[Call]) -> None:
    """Answers calls that will not run."""
    for call in calls:
        call.error = ClosedError("this batcher was closed before the call ran; make another")
    _tell(calls)


def _run(calls: Sequence[Call], run: Run) -> None:
    """Runs calls as one batch; where it fails, in halves, until what is wrong stands alone with its caller."""
    kind = calls[0].kind
    try:
        result = run(Plan(kind, _joined([call.array for call in calls]), _noise(kind, calls)))
    except Exception as error:  # whatever it is, it is its caller's
        if len(calls) == 1:
            calls[0].error = error
            return
        half = len(calls) // 2
        _run(calls[:half], run)
        _run(calls[half:], run)
        return
    start = 0
    for call in calls:
        call.result, call.start = result, start
        start += call.rows


def _noise(kind: Kind, calls: Sequence[Call]) -> npt.NDArray[Any] | None:
    return _joined([call.eps for call in calls if call.eps is not None]) if kind.noisy else None


def _joined(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """All rows in one array, float64 and float16 converted as the model would; uint8 stays."""
    if len(arrays) == 1:
        return arrays[0]
    dtype = np.uint8 if arrays[0].dtype == np.uint8 else np.float32
    with np.errstate(over="ignore"):  # becomes infinite, which the model refuses, unless allow_nan
        return np.concatenate(arrays, dtype=dtype, casting="same_kind")


def _tell(calls: Sequence[Call]) -> None:
    """Wakes who waits: a thread each, and an event loop once for all its tasks."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for call in calls:
        if call.future is None:
            call.ready.release()
        else:
            loops.setdefault(call.future.get_loop(), []).append(call.future)
    for loop, futures in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed, and its tasks with it
            loop.call_soon_threadsafe(_settle, futures)


def _settle(futures: Sequence["asyncio.Future[None]"]) -> None:
    for future in futures:
        if not future.done():  # cancelled
            future.set_result(None)
