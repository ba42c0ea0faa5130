"""How each arm looks in every plot: colour for device and precision, marker and dashes for path and threads.

Colours are those of Okabe and Ito (Color Universal Design, 2008), darker where white paper needs it; the page's style
sheet holds their counterparts for dark screens under the names here. No two series differ in colour alone, unless
there are more paths than markers.
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

from reparam.benchmark.plan import OWN_PATHS
from reparam.benchmark.report import Arm, Report

# The style sheet's name of each colour that plots are drawn in; drawn in the value, shown in the name.
COLOURS: Final = {
    "#0072b2": "c0",
    "#d55e00": "c1",
    "#00805c": "c2",
    "#b0478c": "c3",
    "#8a6d00": "c4",
    "#2f93c9": "c5",
    "#7b4a2b": "c6",
    "#5f6b76": "c7",
}
Dash = tuple[float, tuple[float, ...] | None]
_COLOURS: Final = tuple(COLOURS)
_MARKERS: Final = ("o", "s", "D", "^", "v", "P", "X", "p", "h", "*")
_DASHES: Final[tuple[Dash, ...]] = (
    (0, None),
    (0, (5, 2)),
    (0, (1.2, 1.6)),
    (0, (6, 2, 1.2, 2)),
    (0, (9, 3)),
    (0, (3, 1.5)),
    (0, (6, 2, 1.2, 2, 1.2, 2)),
)
Key = tuple[str, str, str, int]  # device, precision, path, threads


@dataclasses.dataclass(frozen=True)
class Look:
    """One series in all plots.

    Attributes:
        number: its place in the legend, from 0.
        label: device, precision and path, and threads where there are several numbers of them.
        colour: of `COLOURS`.
        marker: as matplotlib names it.
        dash: as matplotlib takes it.
    """

    number: int
    label: str
    colour: str
    marker: str
    dash: Dash


class Looks:
    """The looks of a report's timed arms, in the order of the report."""

    def __init__(self, report: Report) -> None:
        self._several = len({arm.threads for arm in report.arms}) > 1
        colours: dict[tuple[str, str], int] = {}
        marks: dict[tuple[str, int], int] = {}
        self._found: dict[Key, Look] = {}
        for arm in report.arms:
            key = _key(arm)
            if arm.status != "timed" or key in self._found:
                continue
            shade = colours.setdefault((arm.device, arm.precision if arm.path in OWN_PATHS else arm.path), len(colours))
            mark = marks.setdefault((arm.path, arm.threads), len(marks))
            self._found[key] = Look(
                number=len(self._found),
                label=self.label(arm),
                colour=_COLOURS[shade % len(_COLOURS)],
                marker=_MARKERS[mark % len(_MARKERS)],
                dash=_DASHES[mark % len(_DASHES)],
            )

    def label(self, arm: Arm) -> str:
        """An arm's name beside others of its operation."""
        threads = f" {arm.threads} thr." if self._several else ""
        return f"{arm.device} {arm.precision} {arm.path}{threads}"

    def of(self, arm: Arm) -> Look:
        """A timed arm's."""
        return self._found[_key(arm)]

    @property
    def all(self) -> Sequence[Look]:
        """For the legend."""
        return tuple(self._found.values())


def _key(arm: Arm) -> Key:
    return arm.device, arm.precision, arm.path, arm.threads
