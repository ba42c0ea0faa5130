"""Arms while they are measured, from what was asked for to what the report says of them."""

import dataclasses
import time
from collections.abc import Iterable

from reparam.benchmark.engines import Engines, Refusal, told
from reparam.benchmark.feeds import Feeds
from reparam.benchmark.gate import Judge
from reparam.benchmark.opened import Call, Opened
from reparam.benchmark.plan import Spec
from reparam.benchmark.report import Arm, Fresh, Gate, Point, Scaling, Scenarios, Status
from reparam.errors import DeviceUnavailable, VerificationError


@dataclasses.dataclass
class Measured:
    """One arm and what is known of it so far.

    Attributes:
        spec: which arm.
        status: as in the report.
        reason: why it is not timed.
        opened: what runs it.
        gate: how it passed the gate, or did not.
        calls: by batch, those that will be timed.
        costs: nanoseconds of one call, by batch, as the gate saw them.
        points: what came out, by batch.
        scenarios: in MLPerf's terms.
        fresh: in a process of its own.
        scaling: lines through its times.
    """

    spec: Spec
    status: Status = "timed"
    reason: str | None = None
    opened: Opened | None = None
    gate: Gate | None = None
    calls: dict[int, Call] = dataclasses.field(default_factory=dict[int, Call])
    costs: dict[int, int] = dataclasses.field(default_factory=dict[int, int])
    points: dict[int, Point] = dataclasses.field(default_factory=dict[int, Point])
    scenarios: Scenarios | None = None
    fresh: Fresh | None = None
    scaling: tuple[Scaling, ...] = ()

    @property
    def timed(self) -> bool:
        """Whether it has been, or will be."""
        return self.status == "timed"

    def lose(self, error: Exception) -> None:
        """It failed after the gate: nothing of it is a figure."""
        self.status = "fell_back" if isinstance(error, DeviceUnavailable) else "unavailable"
        self.reason = f"it failed while it was timed: {told(error)}"
        self.points.clear()
        self.scenarios, self.scaling = None, ()

    def told(self) -> Arm:
        """As the report holds it."""
        spec = self.spec
        facts = None if self.opened is None else self.opened.facts
        return Arm(
            name=spec.name,
            operation=spec.operation,
            device=spec.device,
            precision=spec.precision,
            path=spec.path,
            threads=spec.threads,
            status=self.status,
            reason=self.reason,
            notes=facts.notes if facts else (),
            waits=facts.waits if facts else None,
            copies=facts.copies if facts else None,
            provider_requested=facts.requested if facts else None,
            provider_active=facts.active if facts else None,
            placement=facts.placement if facts else None,
            gate=self.gate,
            points=tuple(self.points[batch] for batch in sorted(self.points)),
            scenarios=self.scenarios,
            fresh=self.fresh,
            scaling=self.scaling,
        )


def admit(
    spec: Spec, engines: Engines, judge: Judge, *, feeds: Feeds, batches: Iterable[int], longest: float
) -> Measured:
    """Opens an arm and takes it through the gate, batch by batch.

    Args:
        spec: which arm.
        engines: where it is opened.
        judge: who knows what it must give.
        feeds: distinct rows.
        batches: smallest first.
        longest: seconds that one call may take; a batch that would take longer is left out, with the reason.
    """
    found = Measured(spec)
    opened = engines.open(spec.engine)
    if isinstance(opened, Refusal):
        found.status, found.reason = opened.status, opened.reason
        return found
    found.opened = opened
    before: tuple[int, int] | None = None  # batch, nanoseconds
    for batch in batches:
        if before and (guess := before[1] * batch / before[0] / 1e9) > longest:
            found.points[batch] = Point(batch=batch, reason=f"one call would take {guess:.1f} s; give more --seconds")
            continue
        try:
            call = opened.call(spec.operation, feeds.first(batch))
            judge.hear(call, batch)
            begin = time.perf_counter_ns()
            call.run()
            before = batch, time.perf_counter_ns() - begin
        except VerificationError as error:
            notes = "".join(f"; {note}" for note in opened.facts.notes)
            found.status, found.reason = "wrong", f"{error}{notes}"
            found.gate = judge.refused(found.reason)
            return found
        except Exception as error:  # whatever keeps a library from running a batch
            found.status = "fell_back" if isinstance(error, DeviceUnavailable) else "unavailable"
            found.reason = f"at batch {batch}: {told(error)}"
            return found
        found.calls[batch], found.costs[batch] = call, before[1]
    found.gate = judge.passed()
    return found
