"""One caller's call of a `Batcher`: its rows, what must agree for it to join others, and its answer."""

import asyncio
import threading
import time
from typing import Any, Literal, NamedTuple

import numpy.typing as npt

Arrays = tuple[npt.NDArray[Any], ...]


class Kind(NamedTuple):
    """What the calls of one batch have in common."""

    op: Literal["encode", "sample", "decode", "reconstruct"]
    row: tuple[int, ...]  # shape of one row of what goes in
    noisy: bool  # whether eps goes in too
    allow_nan: bool


class Plan(NamedTuple):
    """Rows that fit the model, as far as shape and dtype tell, and the noise that goes with them."""

    kind: Kind
    array: npt.NDArray[Any]  # [n, *row]
    eps: npt.NDArray[Any] | None  # [n, *latent]


class Call:
    """A plan on its way through a batch: the worker fills in the result, and who called reads its own rows of it.

    `future` is there for a task, `ready` for a thread that waits; the worker sets the one or releases the other.
    """

    __slots__ = ("array", "born", "eps", "error", "future", "kind", "ready", "result", "rows", "start")

    def __init__(self, plan: Plan, future: "asyncio.Future[None] | None" = None) -> None:
        self.kind: Kind = plan.kind
        self.array: npt.NDArray[Any] = plan.array
        self.eps: npt.NDArray[Any] | None = plan.eps
        self.rows: int = len(plan.array)
        self.born: float = time.monotonic()
        self.future: asyncio.Future[None] | None = future
        self.ready: threading.Lock = threading.Lock()  # held until there is an answer; cheaper than an Event
        if future is None:
            self.ready.acquire()
        self.result: Arrays | None = None  # of the whole batch
        self.start: int = 0  # where this call's rows begin in it
        self.error: Exception | None = None

    def answer(self) -> Arrays:
        """This call's own rows, or its error raised.

        Copied, so that a row that is kept does not keep the whole batch with it.
        """
        if self.error is not None:
            raise self.error
        assert self.result is not None
        if len(self.result[0]) == self.rows:
            return self.result
        return tuple(array[self.start : self.start + self.rows].copy() for array in self.result)
