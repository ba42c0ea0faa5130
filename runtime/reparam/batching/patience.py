"""Whether a batch waits for more rows: as many as were there before, and only while that brings them."""

from typing import Final

_LONGEST: Final = 64  # batches without a wait, after waits in vain


class Patience:
    """Learns from each batch how many rows to wait for, and from each wait in vain not to.

    Callers that call again once they are answered come back together, and a wait for all of them gives full batches. At
    low load the last batch was one row, so nothing is waited for. Where rows come when they like, waits end in vain,
    and are left out for 1, 2, 4 ... batches.
    """

    def __init__(self, max_delay: float) -> None:
        self._max_delay = max_delay
        self._penalty = 0
        self._skips = 0
        self.expected = 1

    def begin(self) -> float:
        """Seconds that the next batch may wait for more rows."""
        if self._skips:
            self._skips -= 1
            return 0.0
        return self._max_delay

    def end(self, *, came: bool) -> None:
        """Tells whether a wait brought the rows that were expected."""
        self._penalty = 0 if came else min(2 * self._penalty or 1, _LONGEST)
        self._skips = self._penalty
