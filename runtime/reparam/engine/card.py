"""A graph on a CUDA card: runs that do not fit into its memory are made smaller, and a twin captures CUDA graphs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy.typing as npt

from reparam.bundle.outline import Admitted
from reparam.engine.device import Device, warn_caller
from reparam.engine.room import Room, in_parts
from reparam.engine.session import Contract, GraphSession
from reparam.errors import OutOfMemory


class CardSession(GraphSession):
    """A session on a card. Safe to share between threads.

    A run whose rows need more memory than there is goes on in halves, down to one row, with one Python warning; what
    fitted then is the most that later runs try at once.

    Raises:
        BundleError, DeviceUnavailable: as of `GraphSession`.
    """

    def __init__(
        self,
        graph: Admitted,
        contract: Contract,
        *,
        device: Device,
        threads: int,
        where: str,
        room: Room | None = None,
        tf32: bool = False,
    ) -> None:
        options: dict[str, Any] = {"device": device, "threads": threads, "where": where, "room": room, "tf32": tf32}
        super().__init__(graph, contract, **options)
        # onnxruntime's session holds the graph's bytes as long as this does
        self._twin: Callable[[], GraphSession] = partial(GraphSession, graph, contract, capture=True, **options)
        self._most: int | None = None  # values of the first input that fitted once more did not
        self._warned = False

    def run(self, names: list[str], feeds: dict[str, npt.NDArray[Any]], options: Any = None) -> list[npt.NDArray[Any]]:
        """The named outputs for one batch.

        Raises:
            OutOfMemory: one row alone does not fit.
            RunError: onnxruntime failed.
        """
        found = self._in_parts(names, feeds, options)
        if self._most is not None and not self._warned:
            self._warned = True
            first = feeds[self._first]
            fitted = max(1, self._most * len(first) // first.size)
            warn_caller(
                f"{self._where}: {len(first)} rows at once do not fit into the card's memory; runs go on with at most "
                f"{fitted} of that size, or load with a smaller max_batch"
            )
        return found

    def _in_parts(self, names: list[str], feeds: dict[str, npt.NDArray[Any]], options: Any) -> list[npt.NDArray[Any]]:
        """The outputs, of as few runs as the memory allows."""
        rows, size = len(feeds[self._first]), feeds[self._first].size
        most = rows if self._most is None else max(1, self._most * rows // size)
        if rows <= most:
            try:
                return super().run(names, feeds, options)
            except OutOfMemory:
                if rows == 1:
                    raise
            most = -(-rows // 2)
            self._most = most * size // rows
        return in_parts(lambda part: self._in_parts(names, part, options), feeds, most)

    def capturing(self) -> GraphSession:
        """A new session of the same graph, its weights on the card once more, whose runs CUDA graphs capture.

        Raises:
            DeviceUnavailable: a node that computes does not run on the card, or there is no memory for it.
        """
        return self._twin()
