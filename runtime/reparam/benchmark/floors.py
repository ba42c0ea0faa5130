"""Speeds that are demanded: `ARM@BATCH=ROWS_PER_S`, or `ARM@BATCH/ARM[@BATCH]=TIMES`, which a noisy machine keeps too.

An arm is named as in the report; its threads may be left out where it was measured with one number of them.

    encode.cpu.fp32.numpy@256=10000
    encode.cpu.int8.numpy@256/encode.cpu.fp32.numpy=1.5
"""

import dataclasses
import re
from typing import Final

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


def hold(demand: Demand, report: Report) -> Floor:
    """Whether a report reaches it; an arm that was not timed does not."""
    found: float | None = None
    reason: str | None = None
    try:
        arm, found = _rate(report, demand.arm, demand.batch)
        told = f"{arm} at {demand.batch} gives {found:,.0f} rows/s, wanted is {demand.wanted:,.0f}"
        if demand.against is not None:
            other, base = _rate(report, demand.against, demand.against_batch or demand.batch)
            found /= base
            told = f"{arm} at {demand.batch} gives {found:.2f} times {other}, wanted is {demand.wanted:g}"
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


def _rate(report: Report, name: str, batch: int) -> tuple[str, float]:
    """The full name of an arm and its rows a second; `LookupError` with the reason where there are none."""
    arms = [arm for arm in report.arms if name in (arm.name, arm.name.rpartition(".t")[0])]
    if len(arms) != 1:
        near = ", ".join(arm.name for arm in arms)
        raise LookupError(
            f"{name}: " + (f"is several arms, {near}; name one" if arms else "no such arm in this report")
        )
    arm: Arm = arms[0]
    for point in arm.points:
        if point.batch == batch and point.rows_per_second is not None:
            return arm.name, point.rows_per_second
    raise LookupError(f"{arm.name}: was not timed at {batch}" + (f": {arm.reason}" if arm.reason else ""))
