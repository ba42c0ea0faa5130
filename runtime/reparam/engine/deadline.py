"""Calls that must end in time: between two runs by looking at the clock, within one by telling onnxruntime to stop."""

import math
import threading
import time
from numbers import Real
from typing import Any, Protocol, cast

import numpy.typing as npt

from reparam.engine.wheel import import_onnxruntime
from reparam.errors import DeadlineExceeded, OptionError, RunError


def check_seconds(name: str, value: object) -> float:
    """The value as seconds, or `OptionError` unless it is a number from 0 to what a lock can wait."""
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(cast("float", value))
    except OverflowError:  # a whole number that no float holds
        number = math.inf
    if not 0 <= number <= threading.TIMEOUT_MAX:
        limit = f"{threading.TIMEOUT_MAX:.0f}"
        raise OptionError(f"{name}: must be seconds, a number from 0 to {limit}, got {value!r:.80}")
    return number + 0.0  # no -0


class Stoppable(Protocol):
    """What runs a graph and takes onnxruntime's options of one run."""

    @property
    def provider(self) -> str:
        """Who runs it, in onnxruntime's words."""
        ...

    def run(self, names: list[str], feeds: dict[str, npt.NDArray[Any]], options: Any = None) -> list[npt.NDArray[Any]]:
        """The named outputs, [batch, ...] each, for inputs by name."""
        ...


class Deadline:
    """A moment after which nothing begins and what runs is stopped.

    Raises:
        OptionError: timeout is no number of seconds.
    """

    def __init__(self, timeout: float) -> None:
        self.seconds: float = check_seconds("timeout", timeout)
        self.restart()

    def restart(self) -> None:
        """Counts from now."""
        self._end = time.monotonic() + self.seconds

    def left(self) -> float:
        """Seconds that are left; `DeadlineExceeded` where there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.exceeded()
        return left

    def exceeded(self) -> DeadlineExceeded:
        """The error of a call that took too long."""
        return DeadlineExceeded(
            f"timeout: not done within {self.seconds:g} s; allow more, or give fewer rows at a time"
        )


class Timed:
    """A graph whose runs end with a deadline. A kernel is never cut: a run stops between two nodes."""

    def __init__(self, graph: Stoppable, deadline: Deadline) -> None:
        self._graph, self._deadline = graph, deadline

    @property
    def provider(self) -> str:
        """Who runs it, in onnxruntime's words."""
        return self._graph.provider

    def run(self, names: list[str], feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The named outputs for one batch.

        Raises:
            DeadlineExceeded: they were not there in time.
            RunError: onnxruntime failed.
        """
        options = import_onnxruntime().RunOptions()
        stop = threading.Timer(self._deadline.left(), _terminate, (options,))
        stop.daemon = True
        stop.start()
        try:
            found = self._graph.run(names, feeds, options)
        except RunError:
            if options.terminate:  # whatever it said, it was told to stop
                raise self._deadline.exceeded() from None
            raise
        finally:
            stop.cancel()
        self._deadline.left()
        return found


def _terminate(options: Any) -> None:
    options.terminate = True
