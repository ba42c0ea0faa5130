"""Threads of a model's own for calls that tasks await: a few, started by the first of them."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from reparam.engine.threads import available_threads

_Result = TypeVar("_Result")


class Pool:
    """As many threads as calls can run side by side, none before the first call.

    Not the event loop's default executor: a program looks up host names there, and many calls would hold that up.
    """

    def __init__(self, threads_each: int) -> None:
        self._threads_each = threads_each
        self._made: tuple[int, ThreadPoolExecutor] | None = None  # the process, since no thread lives through a fork

    async def run(self, call: Callable[[], _Result]) -> _Result:
        """The call's result; one that is cancelled before a thread is free never runs."""
        made = self._made
        if made is None or made[0] != os.getpid():
            size = max(2, available_threads() // self._threads_each)  # 2: one computes while one checks and copies
            made = os.getpid(), ThreadPoolExecutor(size, thread_name_prefix="reparam")
            self._made = made
        return await asyncio.wrap_future(made[1].submit(call))

    def close(self) -> None:
        """Lets the threads end, once their calls are done: they do when nobody holds the executor."""
        self._made = None
