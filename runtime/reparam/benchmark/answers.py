"""The first questions, each answered in one sentence, from the report alone."""

from collections.abc import Iterator

from reparam.benchmark.report import Answer, Arm, Operation, Point, Report


def answers_of(report: Report) -> tuple[Answer, ...]:
    """Which device, precision, batch, path, threads; against others; what a service meets; what to believe."""
    found = [_device(report), *_precisions(report), _batch(report), _path(report), _threads(report)]
    found += [*_others(report), _service(report), _belief(report)]
    return tuple(answer for answer in found if answer is not None)


def _rates(arm: Arm) -> dict[int, float]:
    return {point.batch: point.rows_per_second for point in arm.points if point.rows_per_second is not None}


def _arms(report: Report, **wanted: object) -> list[Arm]:
    """Timed arms with these attributes, in the report's order."""
    arms = [arm for arm in report.arms if arm.status == "timed" and _rates(arm)]
    return [arm for arm in arms if all(getattr(arm, name) == value for name, value in wanted.items())]


def _best(arms: list[Arm]) -> Arm | None:
    """The one with the most rows a second at its best batch."""
    return max(arms, key=lambda arm: max(_rates(arm).values()), default=None)


def _pairs(left: list[Arm], right: list[Arm], *same: str) -> Iterator[tuple[Arm, Arm]]:
    """Arms of both sides that agree in some attributes, the first of each side."""
    for one in left:
        for other in right:
            if all(getattr(one, name) == getattr(other, name) for name in same):
                yield one, other
                break


def _together(arm: Arm, other: Arm) -> dict[int, float]:
    """How many times the other's rows an arm gives, at each batch that both have."""
    ours, theirs = _rates(arm), _rates(other)
    return {batch: ours[batch] / theirs[batch] for batch in sorted(ours) if batch in theirs}


def _device(report: Report) -> Answer:
    question = "Which device?"
    cards = [device for device in report.settings.devices if device != "cpu"]
    if not cards:
        return Answer(question=question, answer="Only the CPU was asked about.")
    told: list[str] = []
    numbers: dict[str, float] = {}
    for operation in report.settings.operations:
        cpu = _best(_arms(report, operation=operation, device="cpu", path="numpy", precision="fp32"))
        card = _best(
            [arm for arm in _arms(report, operation=operation, path="numpy", precision="fp32") if arm.device in cards]
        )
        if cpu is None or card is None:
            continue
        ratios = _together(card, cpu)
        pays = next((batch for batch in ratios if all(ratios[more] > 1 for more in ratios if more >= batch)), None)
        if pays is None:
            told.append(f"never up to {max(ratios)} in {operation}" if ratios else f"unknown in {operation}")
        else:
            told.append(f"from batch {pays} on in {operation} ({ratios[max(ratios)]:.1f} times at {max(ratios)})")
            numbers[f"{operation}_from_batch"] = float(pays)
    if told:
        return Answer(question=question, answer=f"The GPU pays {', '.join(told)}, copies included.", numbers=numbers)
    arms = [arm for arm in report.arms if arm.device in cards and arm.reason]
    reason = arms[0].reason if arms else "none was in the plan"
    return Answer(question=question, answer=f"The CPU: nothing ran on {', '.join(cards)}: {reason}.")


def _precisions(report: Report) -> list[Answer]:
    found: list[Answer] = []
    for precision in report.settings.precisions:
        if precision == "fp32":
            continue
        told: list[str] = []
        numbers: dict[str, float] = {}
        pairs = _pairs(
            _arms(report, precision=precision, path="numpy"),
            _arms(report, precision="fp32", path="numpy"),
            "operation", "device", "threads",
        )  # fmt: skip
        for arm, plain in pairs:
            ratios = _together(arm, plain)
            if not ratios:
                continue
            told.append(f"{ratios[max(ratios)]:.2f} times the rows of fp32 in {_where(arm)} at batch {max(ratios)}")
            numbers[f"{arm.name}@{max(ratios)}"] = ratios[max(ratios)]
        cost = next((each for each in report.bundle.costs if each.precision == precision), None)
        at = ""
        if cost is not None and told:
            share = (cost.negative_elbo - cost.negative_elbo_fp32) / abs(cost.negative_elbo_fp32)
            numbers["elbo_share"] = share
            at = f"; its ELBO is {abs(share):.2%} {'worse' if share > 0 else 'better'}, as the export measured it"
        refused = [
            arm for arm in report.arms if arm.precision == precision and arm.status != "timed" and arm.device == "cpu"
        ]
        left = (
            f"; {_listed([arm.operation for arm in refused])} {'is' if len(refused) == 1 else 'are'} not timed"
            if told and refused
            else ""
        )
        if told:
            answer = f"{precision} gives {', '.join(told)}{at}{left}."
        else:
            answer = f"{precision} was not timed: {refused[0].reason if refused else 'see its arms'}."
        found.append(Answer(question=f"Is {precision} worth it?", answer=answer, numbers=numbers))
    return found


def _where(arm: Arm) -> str:
    return arm.operation if arm.device == "cpu" else f"{arm.operation} on {arm.device}"


def _listed(names: list[Operation]) -> str:
    return " and ".join(dict.fromkeys(names))


def _batch(report: Report) -> Answer | None:
    told: list[str] = []
    numbers: dict[str, float] = {}
    for operation in report.settings.operations:
        arm = _best([each for each in _arms(report, operation=operation) if each.provider_requested])
        if arm is None:
            continue
        rates = _rates(arm)
        batch = max(rates, key=lambda each: rates[each])
        memory = arm.fresh.host_peak_bytes if arm.fresh else None
        held = f", {memory / 2**20:.0f} MiB at the peak" if memory else ""
        over = f", {rates[batch] / rates[min(rates)]:.1f} times those of {min(rates)}" if batch != min(rates) else ""
        told.append(f"{batch} for {operation} ({rates[batch]:,.0f} rows/s by {arm.name}{over}{held})")
        numbers[operation] = float(batch)
    if not told:
        return None
    return Answer(question="Which batch?", answer=f"Of those tried, {'; '.join(told)}.", numbers=numbers)


def _path(report: Report) -> Answer | None:
    return _ratios(
        report,
        "Which path?",
        [path for path in report.settings.paths if path in ("pinned", "device", "cuda-graph")],
        "{path} gives {ratio:.2f} times the rows of numpy in {where} at batch {batch}",
        smallest=True,
    )


def _ratios(report: Report, question: str, paths: list[str], form: str, *, smallest: bool) -> Answer | None:
    """Paths against numpy in fp32: at the smallest batch, where a path's own cost shows most, or at the largest too."""
    told: list[str] = []
    numbers: dict[str, float] = {}
    for path in paths:
        pairs = _pairs(
            _arms(report, path=path, precision="fp32"),
            _arms(report, path="numpy", precision="fp32"),
            "operation", "device", "threads",
        )  # fmt: skip
        for arm, plain in pairs:
            ratios = _together(arm, plain)
            for batch in dict.fromkeys([min(ratios)] if smallest else [min(ratios), max(ratios)]) if ratios else ():
                ratio = ratios[batch] if smallest else 1 / ratios[batch]
                told.append(form.format(path=path, ratio=ratio, where=_where(arm), batch=batch))
                numbers[f"{arm.name}@{batch}"] = ratio
    return Answer(question=question, answer=f"{'; '.join(told)}.", numbers=numbers) if told else None


def _threads(report: Report) -> Answer | None:
    if len(report.settings.threads) < 2:
        return None
    told: list[str] = []
    numbers: dict[str, float] = {}
    for operation in report.settings.operations:
        arms = _arms(report, operation=operation, path="numpy", precision="fp32", device="cpu")
        for name, choose in (("smallest", min), ("largest", max)):
            rates = {arm.threads: _rates(arm) for arm in arms}
            shared = [batch for batch in report.settings.batches if all(batch in each for each in rates.values())]
            if not rates or not shared:
                continue
            batch = choose(shared)
            best = max(rates, key=lambda each: rates[each][batch])
            told.append(f"{best} for {operation} at batch {batch}")
            numbers[f"{operation}_{name}"] = float(best)
    return Answer(question="How many threads?", answer=f"{', '.join(told)}.", numbers=numbers) if told else None


def _others(report: Report) -> list[Answer]:
    own = ("numpy", "pinned", "device", "cuda-graph")
    found: list[Answer] = []
    for path in report.settings.paths:
        if path in own:
            continue
        form = "onnxruntime gives {ratio:.2f} times the rows of {path} in {where} at batch {batch}"
        answer = _ratios(report, f"And {path}?", [path], form, smallest=False)
        arms = sorted((arm for arm in report.arms if arm.path == path), key=lambda arm: arm.device != "cpu")
        if answer is None and arms:
            told = arms[0].reason or next((point.reason for point in arms[0].points if point.reason), "no time for it")
            answer = Answer(question=f"And {path}?", answer=f"It was not timed: {told}.")
        found += [] if answer is None else [answer]
    return found


def _service(report: Report) -> Answer | None:
    """The arm with the highest rate of Server for each operation."""
    told: list[str] = []
    numbers: dict[str, float] = {}
    for operation in report.settings.operations:
        arms = [
            (arm.scenarios.server.rate, arm)
            for arm in _arms(report, operation=operation)
            if arm.scenarios and arm.scenarios.server
        ]
        if not arms:
            continue
        rate, arm = max(arms, key=lambda each: each[0])
        told.append(f"{rate:,.0f} queries/s of {operation} by {arm.name}")
        numbers[operation] = rate
    if not told:
        return None
    bound = f"{report.settings.server_bound_ms:g} ms"
    return Answer(
        question="What can a service promise?",
        answer=f"99 % of queries of one row within {bound}: {', '.join(told)}.",
        numbers=numbers,
    )


def _belief(report: Report) -> Answer:
    points: list[Point] = [point for arm in report.arms for point in arm.points if point.latency]
    loose = sum(not point.stable for point in points)
    wrong = [arm.name for arm in report.arms if arm.status in ("wrong", "fell_back")]
    share = f"{report.settings.spread_wanted:.0%}"
    told = f"{len(points) - loose} of {len(points)} points came under a spread of {share}"
    if report.overhead and points:
        shortest = min(point.latency.p50_ns for point in points if point.latency)
        added = max(0.0, report.overhead.difference_ns) / max(1.0, shortest)
        told += f"; timing adds {added:.1%} to the shortest call"
    if report.machine.load_before:
        load, cores = report.machine.load_before[0], report.machine.cores
        told += f"; the load average was {load:.1f} on {cores} cores before it began"
    if wrong:
        told += f"; {len(wrong)} arms were refused"
    return Answer(
        question="Can the figures be believed?",
        answer=f"{told}.",
        numbers={"unstable": float(loose), "points": float(len(points)), "refused": float(len(wrong))},
    )
