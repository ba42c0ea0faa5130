"""Calls take turns, so that a machine's drift meets all alike, and a figure says whether its visits agreed."""

from typing import Any

import numpy as np
import pytest

from reparam.benchmark.timing import ENOUGH, FEWEST, affordable, point_of, spread_of, take_turns


def test_every_call_is_visited_once_in_each_round_and_the_order_alternates(hands: Any) -> None:
    seen: list[str] = []
    sleeps: list[int] = []
    pause = hands.sleep

    def sleep(seconds: float) -> None:
        sleeps.append(len(seen))
        pause(seconds)

    hands.sleep = sleep
    names = ("a", "b", "c")
    calls = {name: lambda name=name: (seen.append(name), hands.call(10_000_000)())[0] for name in names}
    visits = take_turns(calls, seconds=0, clock=hands.clock)
    firsts = [seen[place] for place in sleeps]
    assert firsts == ["c", "b", "a", "a", "b", "c", "c", "b", "a"]
    assert {name: len(each) for name, each in visits.items()} == dict.fromkeys(names, FEWEST)


def test_the_first_call_of_a_visit_is_not_counted(hands: Any) -> None:
    slow_first: list[int] = []

    def call() -> None:
        slow_first.append(1)
        hands.call(10_000_000)()

    visits = take_turns({"a": call}, seconds=0, clock=hands.clock)["a"]
    assert len(slow_first) == sum(len(visit) + 1 for visit in visits)


def test_rounds_end_as_soon_as_all_visits_agree(hands: Any) -> None:
    visits = take_turns({"a": hands.call(1000), "b": hands.call(5000)}, seconds=60, clock=hands.clock)
    assert {len(each) for each in visits.values()} == {ENOUGH}
    assert point_of(1, visits["a"]).stable


def test_calls_that_never_agree_take_all_the_time_and_are_said_to_be_unstable(hands: Any) -> None:
    def drifting() -> None:
        hands.call(1_000_000 + hands.time // 5)()

    visits = take_turns({"a": drifting}, seconds=5, clock=hands.clock)["a"]
    assert hands.time >= 5e9
    point = point_of(1, visits)
    assert not point.stable
    assert point.spread is not None
    assert point.spread >= 0.1


def test_few_rounds_are_never_called_stable(hands: Any) -> None:
    visits = take_turns({"a": hands.call(10_000_000)}, seconds=0, clock=hands.clock)["a"]
    assert spread_of(visits) < 0.1
    assert not point_of(1, visits).stable


def test_where_the_time_is_short_the_cheap_calls_are_kept_and_the_dear_left_out() -> None:
    costs = {"dear": 3_000_000_000, "cheap": 1_000_000, "middling": 100_000_000}
    assert affordable(costs, 2.0) == {"cheap": True, "middling": True, "dear": False}
    assert affordable(costs, 30.0) == dict.fromkeys(costs, True)


def test_a_point_is_numpy_s_percentiles_and_rows_a_second_of_the_median() -> None:
    visits = [(1000, 2000, 3000), (1500, 2500)]
    point = point_of(8, visits)
    assert point.latency is not None
    assert point.latency.p99_ns == pytest.approx(np.percentile([1000, 2000, 3000, 1500, 2500], 99), rel=1e-12)
    assert point.rows_per_second == pytest.approx(8 / 2000e-9)
    assert point.visits == tuple(visits)


def test_a_call_that_fails_has_no_more_turns_and_the_others_go_on(hands: Any) -> None:
    count: list[int] = []

    def failing() -> None:
        count.append(1)
        if len(count) == 3:
            raise ValueError("worn out")

    told: list[tuple[str, str]] = []
    visits = take_turns(
        {"a": hands.call(10_000_000), "b": failing},
        seconds=0,
        clock=hands.clock,
        failed=lambda key, error: told.append((key, str(error))),
    )
    assert told == [("b", "worn out")]
    assert len(count) == 3
    assert {name: len(each) for name, each in visits.items()} == {"a": FEWEST}
    count.clear()
    with pytest.raises(ValueError, match="worn out"):
        take_turns({"b": failing}, seconds=0, clock=hands.clock)
