"""What a service can promise: rates of queries that were held, and never more than the arm's own calls gave."""

from typing import Final

from reparam.benchmark.ratios import rates, settled, timed
from reparam.benchmark.report import Answer, Arm, Report, Server

_QUESTION: Final = "What can a service promise?"


def promise(report: Report) -> Answer | None:
    """The highest rate for each operation, and by which arm; those that held none, or were not tried."""
    held: list[str] = []
    told: list[str] = []
    numbers: dict[str, float] = {}
    bound = f"{report.settings.server_bound_ms:g} ms"
    for operation in report.settings.operations:
        arms = [(arm, arm.scenarios) for arm in timed(report, operation=operation) if arm.scenarios]
        tried = [(arm, terms.server) for arm, terms in arms if terms.server]
        if not tried:
            reasons = (terms.missing["server"] for _, terms in arms if "server" in terms.missing)
            told += [f"no rate of {operation} was tried: {next(reasons, 'no time was left')}"] if arms else []
            continue
        arm, server = max(tried, key=lambda each: _rate(*each))
        if not server.rate:
            least = min(server.failed or 0.0 for _, server in tried)
            told.append(f"no rate of {operation} was held under {bound}, down to {least:,.0f} a second")
        else:
            numbers[operation] = _rate(arm, server)
            held.append(f"{numbers[operation]:,.0f} a second of {operation} by {arm.name}{_notes(arm, server, report)}")
    if held:
        told.insert(0, f"99 % of queries of one row are answered within {bound} at {', '.join(held)}")
    if not told:
        return None
    answer = "; ".join(told)
    return Answer(question=_QUESTION, answer=f"{answer[0].upper()}{answer[1:]}.", numbers=numbers)


def _rate(arm: Arm, server: Server) -> float:
    """The lower of what was held in trials of a fraction of a second and what calls gave over the whole benchmark.

    Trials are beyond calls where the machine was busier while calls were timed, or sizes between the batches cost less.
    """
    return min(server.rate, rates(arm).get(server.max_batch, server.rate))


def _notes(arm: Arm, server: Server, report: Report) -> str:
    """That trials held more than what is promised, by more than the noise; and that the calls did not settle."""
    wanted = report.settings.spread_wanted
    noise = max((point.spread or 0.0 for point in arm.points if point.batch == server.max_batch), default=0.0)
    beyond = server.rate > _rate(arm, server) * (1 + max(wanted, noise))
    notes = [f"its calls gave no more, though trials held {server.rate:,.0f}"] if beyond else []
    notes += [] if settled(server.max_batch, arm) else ["not settled"]
    return f" ({', '.join(notes)})" if notes else ""
