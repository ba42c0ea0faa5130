"""The time a benchmark has, shared out among its phases, and the bar that is full when all of its work is done."""

import contextlib
import time
from collections.abc import Callable, Generator
from typing import Final

STEPS: Final = 1000  # of the bar
_MOST: Final = 0.9  # of what is left of it, for a phase that is not the last
Advance = Callable[[float], None]  # told which share of a phase is done, from 0 to 1


class Watch:
    """Seconds from a moment on, and a bar that never goes back.

    Args:
        begin: the moment, of `time.monotonic`.
        seconds: about how long all of it may take.
        advance: moves the bar by so many of `STEPS`.
    """

    def __init__(self, begin: float, seconds: float, advance: Callable[[int], None]) -> None:
        self.end: float = begin + seconds
        self.seconds: float = seconds
        self._advance, self._shown, self._at = advance, 0, 0.0

    def share(self, of_rest: float, of_all: float, *, keep: float) -> float:
        """Seconds of a phase: a share of what is left but for what is kept, and never below one of the whole.

        So a compiler that took all the time makes a benchmark longer, not empty.
        """
        return max(of_rest * (self.end - time.monotonic() - keep), of_all * self.seconds)

    def phase(self, seconds: float, *, keep: float = 0.0) -> contextlib.AbstractContextManager[Advance]:
        """A phase, whose part of the bar is full at its end and not before, however long it takes.

        Args:
            seconds: about how long it takes, which decides how long its part is beside what is left.
            keep: seconds that later phases need at least.
        """
        left = max(self.end - time.monotonic(), seconds + keep)
        return self._part(min(_MOST, seconds / left))

    def last(self) -> contextlib.AbstractContextManager[Advance]:
        """The phase that fills the bar."""
        return self._part(1.0)

    @contextlib.contextmanager
    def _part(self, of_rest: float) -> Generator[Advance]:
        begin, end = self._at, self._at + of_rest * (1 - self._at)
        yield lambda share: self._show(begin + (end - begin) * min(1.0, share))
        self._at = end
        self._show(end)

    def _show(self, at: float) -> None:
        steps = int(STEPS * at + 1e-6) - self._shown
        if steps > 0:
            self._shown += steps
            self._advance(steps)
