"""What the benchmark's tests share: a clock that stands still unless it is used, and the example report."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reparam.benchmark.report import Report, read_report
from reparam.benchmark.timing import Clock

EXAMPLE = Path(__file__).with_name("example_report.json")


class Hands:
    """A clock by hand: reading it takes some nanoseconds, sleeping overruns, and calls take what they are told to."""

    def __init__(self, reading: int = 50, overrun: int = 60_000) -> None:
        self.time, self.reading, self._overrun = 0, reading, overrun

    @property
    def clock(self) -> Clock:
        return Clock(now=self.now, sleep=self.sleep)

    def now(self) -> int:
        self.time += self.reading
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += int(seconds * 1e9) + self._overrun

    def call(self, nanoseconds: int) -> Callable[..., None]:
        def pass_by(*_: object) -> None:
            self.time += nanoseconds

        return pass_by


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture(scope="session")
def example() -> Report:
    return read_report(EXAMPLE)
