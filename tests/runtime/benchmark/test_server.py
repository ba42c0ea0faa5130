"""MLPerf's Server: the schedule is kept whatever the server does, and latency counts from it."""

from typing import Any

import numpy as np
import pytest

from reparam.benchmark.report import Server
from reparam.benchmark.server import BEHIND, HONEST, find_rate, offer, schedule


def test_a_schedule_has_exactly_its_rate_and_exponential_gaps() -> None:
    due = schedule(1000.0, 20_000, seed=7)
    assert due[-1] == pytest.approx(20e9, abs=2)
    gaps = np.diff(due) / 1e6
    assert gaps.min() >= 0
    for times in (0.5, 1.0, 3.0):
        assert np.mean(gaps > times) == pytest.approx(np.exp(-times), abs=0.01)


def test_a_schedule_is_a_function_of_its_seed() -> None:
    assert np.array_equal(schedule(10.0, 100, seed=1), schedule(10.0, 100, seed=1))
    assert not np.array_equal(schedule(10.0, 100, seed=1), schedule(10.0, 100, seed=2))


@pytest.mark.parametrize(("rate", "reading"), [(10.0, 50_000), (1000.0, 20_000), (50_000.0, 500), (400_000.0, 50)])
def test_the_generator_holds_its_rate_within_two_percent(rate: float, reading: int, hands: Any) -> None:
    hands.reading = reading  # nanoseconds; a slow clock saves the test the spinning, and is the harder case
    due = schedule(rate, 2000, seed=0)
    offered = offer(hands.call(0), due, most=256, clock=hands.clock)
    assert len(offered.latency) == 2000
    assert abs(offered.rate / rate - 1) < HONEST


def test_queries_that_come_while_the_server_is_busy_pay_for_the_wait(hands: Any) -> None:
    hands.reading = 5000
    due = schedule(1000.0, 2000, seed=0)
    stalled: list[int] = []

    def serve(first: int, count: int) -> None:
        stall = first >= 1000 and not stalled
        stalled.extend([first] if stall else [])
        hands.call(100_000_000 if stall else 100_000 * count)()

    latency = offer(serve, due, most=256, clock=hands.clock).latency
    (begin,) = stalled
    came = int(np.sum((due > due[begin]) & (due < due[begin] + 90_000_000)))
    assert came > 50
    assert np.sum(latency > 9_000_000) >= came  # each of them waited, not one slow answer alone


def test_whatever_waits_is_taken_together_oldest_first_and_never_too_many(hands: Any) -> None:
    due = schedule(100_000.0, 1000, seed=0)
    taken: list[tuple[int, int]] = []

    def serve(first: int, count: int) -> None:
        taken.append((first, count))
        hands.call(500_000)()

    offer(serve, due, most=16, clock=hands.clock)
    assert [first for first, _ in taken] == np.cumsum([0, *(count for _, count in taken)]).tolist()[:-1]
    assert max(count for _, count in taken) == 16


def found(answer: Server | str) -> Server:
    assert isinstance(answer, Server)
    return answer


def test_one_at_a_time_the_rate_is_that_of_a_queue_with_one_server(hands: Any) -> None:
    hands.reading = 20_000
    # M/D/1 with 1 ms a query: at 0.9 of its capacity 99 % wait less than about 20 ms, at 0.7 less than 6
    server = found(
        find_rate(hands.call(1_000_000), capacity=1000, most=1, bound_ns=2e7, seed=0, seconds=70, clock=hands.clock)
    )
    assert 700 < server.rate < 1000
    assert server.failed is not None
    assert server.rate < server.failed
    assert all(trial.held == (trial.asked <= server.rate) for trial in server.trials)
    assert all(abs(trial.issued / trial.asked - 1) <= HONEST for trial in server.trials)


def test_a_server_that_takes_many_at_once_holds_a_higher_rate(hands: Any) -> None:
    hands.reading = 2000

    def serve(_: int, count: int) -> None:
        hands.call(1_000_000 + 10_000 * count)()

    server = found(find_rate(serve, capacity=70_000, most=256, bound_ns=2e7, seed=0, seconds=7, clock=hands.clock))
    assert server.rate > 20_000


def test_a_server_slower_than_the_bound_has_no_rate(hands: Any) -> None:
    hands.reading = 50_000
    server = found(
        find_rate(hands.call(30_000_000), capacity=33, most=1, bound_ns=1e7, seed=0, seconds=300, clock=hands.clock)
    )
    assert server.rate == 0
    assert server.latencies_ns == ()


@pytest.mark.parametrize("bound_ns", [1e7, 1e9, 1e12])
@pytest.mark.parametrize("seconds", [1.0, 3.0])
def test_a_rate_beyond_what_the_server_can_do_never_holds_however_short_the_trials_are(
    bound_ns: float, seconds: float, hands: Any
) -> None:
    hands.reading = 5000
    server = found(
        find_rate(
            hands.call(1_000_000), capacity=1000, most=1, bound_ns=bound_ns, seed=0, seconds=seconds, clock=hands.clock
        )
    )
    assert 0 < server.rate < 1000 / (1 - BEHIND)
    for trial in server.trials:
        assert trial.answered is not None
        assert trial.answered < 1000
        assert not trial.held or trial.answered >= trial.asked * (1 - BEHIND)


def test_where_a_hundred_queries_take_too_long_the_reason_is_told(hands: Any) -> None:
    answer = find_rate(hands.call(1), capacity=1.0, most=1, bound_ns=1e7, seed=0, seconds=10, clock=hands.clock)
    assert isinstance(answer, str)
    assert "give more --seconds" in answer
