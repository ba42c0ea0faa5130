"""What an arm is once it is open: calls for an operation and a batch, and the facts of where they really run.

The interface that packages of the entry-point group `reparam.benchmark_arms` implement: the entry's name is the path's,
its value a function `open_arm(bundle, *, device, precision, threads, run)` that returns an `Opened`. Such a module
imports without its heavy library.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final, Protocol

from reparam.benchmark.feeds import Array, Feeds
from reparam.benchmark.report import Operation
from reparam.engine.info import Placement

GROUP: Final = "reparam.benchmark_arms"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """Where an arm runs, and what a call of it covers.

    Attributes:
        requested: the provider of the device that was asked for; None where there is no such thing.
        active: what really runs it.
        placement: nodes by provider; None where it is not known.
        waits: when a call counts as done.
        copies: what is copied within a call.
        any_batch: whether calls may have any number of rows without being made anew; else Server takes one at a time.
        stray: why it is known not to run where it was asked to, or None.
        notes: what else a reader must know.
    """

    requested: str | None
    active: str
    placement: Placement | None = None
    waits: str
    copies: str
    any_batch: bool = True
    stray: str | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Call:
    """An operation on fixed rows: `run` is what is timed, `read` gives its results by name as numpy arrays."""

    run: Callable[[], Any]
    read: Callable[[Any], dict[str, Array]]


class Opened(Protocol):
    """A model that is loaded, by one path, for every operation."""

    @property
    def facts(self) -> Facts:
        """Where it runs."""
        ...

    def call(self, operation: Operation, feeds: Feeds) -> Call:
        """An operation on these rows: encode gives mean and logvar (z where there is no posterior), the others x_hat.

        reconstruct draws z with eps. Any error of `reparam.errors` says that this cannot be had here.
        """
        ...

    def close(self) -> None:
        """Lets go of what was made for it."""
        ...
