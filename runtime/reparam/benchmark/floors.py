"""Speeds that are demanded: `ARM@BATCH=ROWS_PER_S`, or `ARM@BATCH/ARM[@BATCH]=TIMES`, which a noisy machine keeps too.

An arm is named as in the report; its threads may be left out where it was measured with one number of them.

    encode.cpu.fp32.numpy@256=10000
    encode.cpu.int8.numpy@256/encode.cpu.fp32.numpy=1.5
"""

import dataclasses
import difflib
import re
from collections.abc import Sequence
from typing import Final

from reparam.benchmark.ratios import doubt
from reparam.benchmark.report import Arm, Floor, Report
from reparam.errors import OptionError

_NAME: Final = r"[a-z0-9:.-]+"
_SYNTAX: Final = re.compile(
    rf"(?P<arm>{_NAME})@(?P<batch>[0-9]{{1,9}})(?:/(?P<against>{_NAME})(?:@(?P<other>[0-9]{{1,9}}))?)?=(?P<wanted>[0-9.eE+]+)"
)


@dataclasses.dataclass(frozen=True)
class Demand:
    """A floor as it was asked for."""

    asked: str
    arm: str
    batch: int
    against: str | None
    against_batch: int | None
    wanted: float


def parse(asked: str) -> Demand:
    """A floor from its text; `OptionError` for another form."""
    match = _SYNTAX.fullmatch(asked)
    try:
        wanted = float(match["wanted"]) if match else 0.0
    except ValueError:
        wanted = 0.0
    if match is None or not 0 < wanted < float("inf") or 0 in (int(match["batch"]), int(match["other"] or 1)):
        raise OptionError(
            f"--floor: must be ARM@BATCH=ROWS_PER_S or ARM@BATCH/ARM=TIMES, "
            f"such as encode.cpu.fp32.numpy@256=10000, got {asked!r:.120}"
        )
    batch = int(match["batch"])
    against = match["against"]
    return Demand(asked, match["arm"], batch, against, int(match["other"] or batch) if against else None, wanted)


def check(demand: Demand, arms: Sequence[str], batches: Sequence[int]) -> None:
    """That what a floor is about will be measured.

    Args:
        demand: the floor.
        arms: full names of all that will be tried.
        batches: rows of their calls.

    Raises:
        OptionError: no such arm, with the nearest names; several arms; or a batch that is not among them.
    """
    for name, batch in ((demand.arm, demand.batch), (demand.against, demand.against_batch)):
        if name is None:
            continue
        _one(name, arms, where=f"--floor {demand.asked}: ")
        if batch not in batches:
            raise OptionError(
                f"--floor {demand.asked}: batch {batch} is not measured; --batches are {','.join(map(str, batches))}"
            )


def _one(name: str, arms: Sequence[str], *, where: str = "") -> str:
    """The full name of the arm that is meant, with threads or without; `OptionError` where it is none or several."""
    short = [arm.rpartition(".t")[0] for arm in arms]
    found = [arm for arm, without in zip(arms, short, strict=True) if name in (arm, without)]
    if len(found) == 1:
        return found[0]
    if found:
        raise OptionError(f"{where}{name} is several arms, {', '.join(found)}; name one")
    near = difflib.get_close_matches(name, dict.fromkeys((*short, *arms)), n=3)
    raise OptionError(
        f"{where}no such arm, {name}; {'the nearest are' if near else 'one is'} {', '.join(near or arms[:1])}"
    )


def hold(demand: Demand, report: Report) -> Floor:
    """Whether a report reaches it; an arm that was not timed does not."""
    found: float | None = None
    reason: str | None = None
    try:
        arm, found = _rate(report, demand.arm, demand.batch)
        loose = doubt(demand.batch, arm)
        told = f"{arm.name} at {demand.batch} gives {found:,.0f} rows/s{loose}, wanted is {demand.wanted:,.0f}"
        if demand.against is not None:
            against_batch = demand.against_batch or demand.batch
            other, base = _rate(report, demand.against, against_batch)
            found /= base
            loose = loose or doubt(against_batch, other)
            told = (
                f"{arm.name} at {demand.batch} gives {found:.2f} times {other.name}{loose}, wanted is {demand.wanted:g}"
            )
        reason = None if found >= demand.wanted else told
    except LookupError as error:
        found, reason = None, str(error.args[0])
    return Floor(
        asked=demand.asked,
        arm=demand.arm,
        batch=demand.batch,
        against=demand.against,
        against_batch=demand.against_batch,
        wanted=demand.wanted,
        found=found,
        held=reason is None,
        reason=reason,
    )


def _rate(report: Report, name: str, batch: int) -> tuple[Arm, float]:
    """The arm of a name and its rows a second; `LookupError` with the reason where there are none."""
    arms = {arm.name: arm for arm in report.arms}
    try:
        arm = arms[_one(name, tuple(arms))]
    except OptionError as error:
        raise LookupError(str(error)) from None
    for point in arm.points:
        if point.batch == batch and point.rows_per_second:
            return arm, point.rows_per_second
    raise LookupError(f"{arm.name}: was not timed at {batch}" + (f": {arm.reason}" if arm.reason else ""))
