"""Axes of the plots: limits, and few ticks that a person can read."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

_MOST: Final = 7  # ticks of an axis
_ROOM: Final = 0.07  # of an axis, between its ends and the outermost values


@dataclasses.dataclass(frozen=True)
class Scale:
    """One axis.

    Attributes:
        title: what it shows, with the unit where ticks have none.
        low: its lower end.
        high: its upper end.
        ticks: values.
        labels: of the ticks.
        log: whether equal ratios take equal lengths.
    """

    title: str
    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    log: bool = True


def logarithmic(
    values: Iterable[float], title: str, told: Callable[[float], str], *, ticks: Sequence[float] = ()
) -> Scale:
    """Through positive values, at least one, with the ticks given or at 1, 2 and 5 of each decade where they have room.

    Args:
        values: all that is shown.
        title: see `Scale`.
        told: a tick's label.
        ticks: where they are wanted, such as batches; every second, third ... where they would be too many.
    """
    found = sorted(values)
    low, high = math.log10(found[0]), math.log10(found[-1])
    room = max(_ROOM * (high - low), 0.06)
    low, high = low - room, high + room
    if ticks:
        places = [tick for tick in ticks if low <= math.log10(tick) <= high] or [found[0]]
        places = places[:: -(-len(places) // _MOST)]
    else:
        decades = range(math.floor(low), math.ceil(high) + 1)
        for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            places = [step * 10.0**decade for decade in decades for step in steps]
            places = [place for place in places if low <= math.log10(place) <= high]
            if len(places) <= _MOST:
                break
        places = places[:: -(-len(places) // _MOST)] if places else [found[0]]
    return Scale(title, 10**low, 10**high, tuple(places), tuple(map(told, places)))


def linear(highest: float, title: str, told: Callable[[float], str]) -> Scale:
    """From 0 to a little more than the highest value."""
    top = highest or 1.0
    step = 10.0 ** math.floor(math.log10(top))
    step = next(step * part for part in (0.25, 0.5, 1, 2, 2.5) if top / (step * part) <= 4)
    places = [step * place for place in range(int(top / step) + 1)]
    return Scale(title, 0, top * (1 + _ROOM), tuple(places), tuple(map(told, places)), log=False)


def prefixed(unit: str = "") -> Callable[[float], str]:
    """A tick's label with a prefix for thousands: 2000 as 2k, 0.0005 s as 500 µs."""

    def told(value: float) -> str:
        place = max(-3, min(3, math.floor(math.log10(value) / 3 + 1e-9))) if value else 0
        prefix = {-3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G"}[place]
        return f"{value / 1000.0**place:.3g}{' ' if unit else ''}{prefix}{unit}"

    return told
