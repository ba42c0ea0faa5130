"""Axes have few ticks, inside their ends, whatever the values are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reparam.benchmark.page.scales import linear, logarithmic, prefixed


@given(st.lists(st.floats(1e-12, 1e15), min_size=1, max_size=5))
def test_a_logarithmic_axis_holds_its_values_and_one_to_seven_ticks(values: list[float]) -> None:
    scale = logarithmic(values, "", prefixed())
    assert scale.low < min(values) <= max(values) < scale.high
    assert 1 <= len(scale.ticks) <= 7
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks)
    assert len(scale.labels) == len(scale.ticks)


def test_ticks_that_are_wanted_but_beyond_the_values_are_left_out() -> None:
    assert logarithmic([1, 8, 64], "", "{:g}".format, ticks=[1, 8, 64, 4096]).ticks == (1, 8, 64)
    assert len(logarithmic([1, 512], "", "{:g}".format, ticks=[2**n for n in range(10)]).ticks) <= 7


@given(st.floats(0, 1e9))
def test_a_linear_axis_begins_at_0_and_has_at_most_five_ticks(highest: float) -> None:
    scale = linear(highest, "", "{:g}".format)
    assert scale.low == scale.ticks[0] == 0
    assert highest < scale.high
    assert 2 <= len(scale.ticks) <= 5 or highest == 0


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [(2000, "", "2k"), (5e-4, "s", "500 µs"), (1, "s", "1 s"), (1e6, "", "1M"), (3e-9, "s", "3 ns"), (256, "", "256")],
)
def test_a_tick_has_a_prefix_for_thousands(value: float, unit: str, told: str) -> None:
    assert prefixed(unit)(value) == told
