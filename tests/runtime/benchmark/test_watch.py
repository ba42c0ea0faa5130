"""The bar of a benchmark counts all of its work: it is full when nothing is left to do, and not before."""

import contextlib
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from reparam.benchmark import phases
from reparam.benchmark.plan import Wish
from reparam.benchmark.report import Fresh
from reparam.benchmark.run import run
from reparam.benchmark.watch import STEPS, Watch
from reparam.testing import tiny_bundle


@pytest.mark.parametrize("late", [0.0, 100.0])
def test_a_bar_never_goes_back_and_the_last_phase_alone_fills_it_however_late_it_is(late: float) -> None:
    moves: list[int] = []
    watch = Watch(time.monotonic() - late, 10.0, moves.append)
    for seconds, keep in ((1.0, 0.0), (watch.share(0.5, 0.2, keep=3.0), 3.0), (0.5, 3.0)):
        before = sum(moves)
        with watch.phase(seconds, keep=keep) as advance:
            for share in (0.0, 0.3, 0.2, 1.0, 7.0):
                advance(share)
        assert before < sum(moves) < STEPS
    with watch.last() as advance:
        for done in range(8):
            advance(done / 8)
            assert sum(moves) < STEPS
    assert sum(moves) == STEPS
    assert min(moves) > 0


def test_a_phase_takes_the_part_of_the_bar_that_its_time_is_of_what_is_left() -> None:
    moves: list[int] = []
    watch = Watch(time.monotonic(), 100.0, moves.append)
    with watch.phase(25.0):
        pass
    assert sum(moves) == pytest.approx(250, abs=5)
    with watch.phase(100.0, keep=100.0):  # more than is left
        pass
    assert sum(moves) == pytest.approx(250 + 375, abs=5)


def test_while_a_process_of_its_own_runs_the_bar_is_not_full_and_at_the_end_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[int] = []
    seen: list[int] = []

    @contextlib.contextmanager
    def progress(length: int, label: str) -> Generator[Callable[[int], None]]:
        assert (length, label) == (STEPS, "benchmark")
        yield moves.append

    def slow(task: Any) -> Fresh:
        seen.append(sum(moves))
        time.sleep(0.4)
        return Fresh(batch=task.batch)

    monkeypatch.setattr(phases, "fresh", slow)
    wish = Wish(devices=("cpu",), precisions=("fp32",), paths=("numpy",), batches=(1, 2, 4), seconds=1.0)
    report = run(tiny_bundle(tmp_path / "b"), wish, progress=progress)
    assert report.seconds > 1.0
    assert len(seen) > 0
    assert sorted(seen) == seen
    assert max(seen) < STEPS == sum(moves)
