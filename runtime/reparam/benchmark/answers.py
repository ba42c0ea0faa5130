"""The first questions, each answered in one sentence, from the report alone."""

from typing import Final

from reparam.benchmark.plan import OWN_PATHS
from reparam.benchmark.promise import promise
from reparam.benchmark.ratios import beside, best, doubt, rates, settled, timed, times, worse
from reparam.benchmark.report import Answer, Arm, Report

_SAME: Final = ("operation", "device", "threads")


def answers_of(report: Report) -> tuple[Answer, ...]:
    """Which device, precision, batch, path, threads; against others; what a service meets; what to believe.

    A figure that rests on a point whose visits did not agree says so where it stands.
    """
    precisions = [_precision(report, each) for each in report.settings.precisions if each != "fp32"]
    others = [_other(report, path) for path in report.settings.paths if path not in OWN_PATHS]
    found = [_device(report), *precisions, _batch(report), _path(report), _threads(report)]
    return tuple(each for each in (*found, *others, promise(report), _belief(report)) if each is not None)


def _device(report: Report) -> Answer:
    """From which batch on a card wins at every larger one too, numpy to numpy in fp32."""
    question = "Which device?"
    cards = [device for device in report.settings.devices if device != "cpu"]
    if not cards or len(cards) == len(report.settings.devices):
        asked = " and ".join(cards) or "the CPU"
        return Answer(question=question, answer=f"Nothing but {asked} was asked about.")
    told: list[str] = []
    numbers: dict[str, float] = {}
    for operation in report.settings.operations:
        plain = timed(report, operation=operation, path="numpy", precision="fp32")
        cpu, card = best([arm for arm in plain if arm.device == "cpu"]), best([a for a in plain if a.device in cards])
        if cpu is None or card is None or not (found := times(card, cpu)):
            continue
        loose = not all(settled(batch, card, cpu) for batch in found)
        pays = next((batch for batch in found if all(found[more] > 1 for more in found if more >= batch)), None)
        if pays is None:
            told.append(f"does not pay up to batch {max(found)} in {operation}{' (not settled)' if loose else ''}")
        else:
            most = f"{found[max(found)]:.1f} times at {max(found)}{', not settled' if loose else ''}"
            told.append(f"pays from batch {pays} on in {operation} ({most})")
            numbers[f"{operation}_from_batch"] = float(pays)
    if told:
        return Answer(question=question, answer=f"The GPU {', '.join(told)}, copies included.", numbers=numbers)
    if any(arm.device in cards for arm in timed(report)):
        answer = "Both ran, but no operation of both numpy to numpy in fp32 at one batch; see their arms."
        return Answer(question=question, answer=answer)
    reason = next((arm.reason for arm in report.arms if arm.device in cards and arm.reason), "none was in the plan")
    return Answer(question=question, answer=f"The CPU: nothing ran on {', '.join(cards)}: {reason}.")


def _precision(report: Report, precision: str) -> Answer:
    """How many times the rows of fp32, numpy to numpy at the largest batch, and at what part of the ELBO."""
    question = f"Is {precision} worth it?"
    here = next((device for device in report.settings.devices if device == "cpu"), report.settings.devices[0])
    arms = [arm for arm in report.arms if (arm.precision, arm.device) == (precision, here) and arm.status != "timed"]
    mine, plain = (timed(report, path="numpy", precision=each) for each in (precision, "fp32"))
    told: list[str] = []
    numbers: dict[str, float] = {}
    for arm, other, found in beside(mine, plain, *_SAME):
        batch = max(found)
        where = f"{_where(arm, report)} at batch {batch}{doubt(batch, arm, other)}"
        told.append(f"{found[batch]:.2f} times the rows of fp32 in {where}")
        numbers[f"{arm.name}@{batch}"] = found[batch]
    if not told:
        return Answer(question=question, answer=f"It was not timed: {arms[0].reason if arms else 'see its arms'}.")
    answer = f"{precision} gives {', '.join(told)}"
    for cost in report.bundle.costs:
        if cost.precision == precision and (share := worse(cost)) is not None:
            answer += f"; its ELBO is {abs(share):.2%} {'worse' if share > 0 else 'better'}, as the export measured it"
            numbers["elbo_share"] = share
    answer += "".join(f"; {note}" for note in dict.fromkeys(note for arm in mine for note in arm.notes))
    for words, lost in (
        ("gave wrong numbers in it", [arm.operation for arm in arms if arm.status == "wrong"]),
        ("cannot run in it here", [arm.operation for arm in arms if arm.status != "wrong"]),
    ):
        answer += f"; {' and '.join(dict.fromkeys(lost))} {words}" if lost else ""
    return Answer(question=question, answer=f"{answer}.", numbers=numbers)


def _where(arm: Arm, report: Report) -> str:
    """The operation, with the device where it is a card and the threads where there are several numbers of them."""
    device = "" if arm.device == "cpu" else f" on {arm.device}"
    return arm.operation + device + (f" with t{arm.threads}" if len(report.settings.threads) > 1 else "")


def _batch(report: Report) -> Answer | None:
    """The fastest arm of ours for each operation, its best batch, and its memory there."""
    told: list[str] = []
    numbers: dict[str, float] = {}
    for operation in report.settings.operations:
        arm = best([each for each in timed(report, operation=operation) if each.path in OWN_PATHS])
        if arm is None:
            continue
        found = rates(arm)
        batch, least = max(found, key=lambda each: found[each]), min(found)
        memory = arm.fresh.host_peak_bytes if arm.fresh else None
        held = f", {memory / 2**20:.0f} MiB at the peak" if memory else ""
        over = f", {found[batch] / found[least]:.1f} times those of {least}" if batch != least else ""
        loose = "" if all(settled(each, arm) for each in found) else ", not settled"  # the choice is among all of them
        told.append(f"{batch} for {operation} ({found[batch]:,.0f} rows/s by {arm.name}{over}{loose}{held})")
        numbers[operation] = float(batch)
    answer = f"Of those tried, {'; '.join(told)}."
    return Answer(question="Which batch?", answer=answer, numbers=numbers) if told else None


def _path(report: Report) -> Answer | None:
    """Our other paths against numpy to numpy, at the smallest batch, where a path's own cost shows most."""
    told: list[str] = []
    numbers: dict[str, float] = {}
    plain = timed(report, path="numpy", precision="fp32")
    smallest = min(report.settings.batches)
    for path in report.settings.paths:
        if path not in OWN_PATHS or path == "numpy":
            continue
        parts: list[str] = []
        for arm, other, found in beside(timed(report, path=path, precision="fp32"), plain, *_SAME):
            least = min(found)
            at = "" if least == smallest else f" at batch {least}"
            parts.append(f"{found[least]:.2f} in {_where(arm, report)}{at}{doubt(least, arm, other)}")
            numbers[f"{arm.name}@{least}"] = found[least]
        told += [f"{path} gives so many times the rows of numpy: {', '.join(parts)}"] if parts else []
    at = f"At batch {smallest}"
    return Answer(question="Which path?", answer=f"{at}, {'; '.join(told)}.", numbers=numbers) if told else None


def _threads(report: Report) -> Answer | None:
    """The best number of threads for each operation at the smallest and the largest batch that all have."""
    told: list[str] = []
    numbers: dict[str, float] = {}
    for operation in report.settings.operations:
        arms = timed(report, operation=operation, path="numpy", precision="fp32", device="cpu")
        found = {arm.threads: rates(arm) for arm in arms}
        shared = [batch for batch in report.settings.batches if all(batch in each for each in found.values())]
        if len(found) < 2 or not shared:
            continue
        for batch in dict.fromkeys((min(shared), max(shared))):
            most = max(found, key=lambda each: found[each][batch])
            told.append(f"{most} for {operation} at batch {batch}{doubt(batch, *arms)}")
            numbers[f"{operation}@{batch}"] = float(most)
    return Answer(question="How many threads?", answer=f"{', '.join(told)}.", numbers=numbers) if told else None


def _other(report: Report, path: str) -> Answer | None:
    """What onnxruntime gives against another library, both numpy to numpy in fp32, at both ends of the batches."""
    question = f"And {path}?"
    told: list[str] = []
    numbers: dict[str, float] = {}
    theirs = timed(report, path=path, precision="fp32")
    for arm, other, found in beside(timed(report, path="numpy", precision="fp32"), theirs, *_SAME):
        ends = list(dict.fromkeys((min(found), max(found))))
        both = (f"{found[batch]:.2f} at batch {batch}{doubt(batch, arm, other)}" for batch in ends)
        told.append(f"{_where(arm, report)} {' and '.join(both)}")
        numbers |= {f"{arm.name}@{batch}": found[batch] for batch in ends}
    if told:
        answer = f"onnxruntime gives so many times the rows of {path}: {', '.join(told)}."
        return Answer(question=question, answer=answer, numbers=numbers)
    arms = sorted((arm for arm in report.arms if arm.path == path), key=lambda arm: arm.device != "cpu")
    if not arms:
        return None
    reason = arms[0].reason or next((point.reason for point in arms[0].points if point.reason), "no time was left")
    return Answer(question=question, answer=f"It was not timed: {reason}.")


def _belief(report: Report) -> Answer:
    """How many points are stable, what timing adds, who else used the machine, and what was refused."""
    points = [point for arm in report.arms for point in arm.points if point.latency]
    loose = sum(not point.stable for point in points)
    wrong = [arm.name for arm in report.arms if arm.status in ("wrong", "fell_back")]
    if not points:
        return Answer(question="Can the figures be believed?", answer="There are none: nothing was timed.")
    told = f"{len(points) - loose} of {len(points)} points came under a spread of {report.settings.spread_wanted:.0%}"
    if report.overhead:
        shortest = min(point.latency.p50_ns for point in points if point.latency)
        added = max(0.0, report.overhead.difference_ns) / max(1.0, shortest)
        told += f"; timing adds {added:.1%} to the shortest call"
    if report.machine.load_before:
        load, cores = report.machine.load_before[0], report.machine.cores
        told += f"; the load average was {load:.1f} on {cores} cores before it began"
    if wrong:
        told += f"; {len(wrong)} {'arm was' if len(wrong) == 1 else 'arms were'} refused"
    return Answer(
        question="Can the figures be believed?",
        answer=f"{told}.",
        numbers={"unstable": float(loose), "points": float(len(points)), "refused": float(len(wrong))},
    )
