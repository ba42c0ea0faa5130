"""Arms of a report beside each other: rows a second, the best of some, how many times another's, and how sure."""

from collections.abc import Iterator, Sequence

from reparam.benchmark.report import Arm, Cost, Report


def rates(arm: Arm) -> dict[int, float]:
    """Rows a second by batch, of the points that were timed."""
    return {point.batch: point.rows_per_second for point in arm.points if point.rows_per_second is not None}


def timed(report: Report, **wanted: object) -> list[Arm]:
    """Arms with a point that was timed and these attributes, in the report's order."""
    arms = [arm for arm in report.arms if arm.status == "timed" and rates(arm)]
    return [arm for arm in arms if all(getattr(arm, name) == value for name, value in wanted.items())]


def best(arms: Sequence[Arm]) -> Arm | None:
    """The one with the most rows a second at its best batch."""
    return max(arms, key=lambda arm: max(rates(arm).values()), default=None)


def times(arm: Arm, other: Arm) -> dict[int, float]:
    """How many times the other's rows an arm gives, at each batch that both have, smallest first."""
    ours, theirs = rates(arm), rates(other)
    return {batch: ours[batch] / theirs[batch] for batch in sorted(ours) if batch in theirs}


def beside(arms: Sequence[Arm], others: Sequence[Arm], *same: str) -> Iterator[tuple[Arm, Arm, dict[int, float]]]:
    """Each arm with the first other one that agrees in some attributes, and how many times its rows it gives."""
    for arm in arms:
        other = next((each for each in others if all(getattr(arm, name) == getattr(each, name) for name in same)), None)
        if other is not None and (found := times(arm, other)):
            yield arm, other, found


def settled(batch: int, *arms: Arm) -> bool:
    """Whether the points of all these arms at a batch came under the spread that was wanted."""
    return all(point.stable for arm in arms for point in arm.points if point.batch == batch)


def doubt(batch: int, *arms: Arm) -> str:
    """What stands behind a figure that rests on a point that did not settle; nothing where all of them did."""
    return "" if settled(batch, *arms) else " (not settled)"


def worse(cost: Cost) -> float | None:
    """By which share a precision raises the negative ELBO; None where that of fp32 is 0, of which nothing is one."""
    if not cost.negative_elbo_fp32:
        return None
    return (cost.negative_elbo - cost.negative_elbo_fp32) / abs(cost.negative_elbo_fp32)
