"""A whole benchmark: a bundle and a wish to a report."""

import datetime as dt
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from reparam.benchmark import asked, identity, phases, plan
from reparam.benchmark.answers import answers_of
from reparam.benchmark.arms import Measured, admit
from reparam.benchmark.compare import compare
from reparam.benchmark.engines import Engines
from reparam.benchmark.feeds import Feeds, feeds_of
from reparam.benchmark.floors import check as check_floor
from reparam.benchmark.floors import hold, parse
from reparam.benchmark.gate import Judge, check_reference, wanted_of
from reparam.benchmark.overhead import overhead
from reparam.benchmark.plan import Wish
from reparam.benchmark.report import Report, Settings, told_fit
from reparam.benchmark.scaling import CLOSED, scale
from reparam.benchmark.timing import SPREAD
from reparam.benchmark.watch import STEPS, Watch
from reparam.bundle.reader import Bundle, read_bundle
from reparam.engine.threads import available_threads
from reparam.vae import VAE
from reparam.verification import bound_of

Progress = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]
_GATE: Final = 0.08  # of all the time, more or less, for the gate
_LONGEST: Final = 0.02  # of all the time, for one call
_DISTINCT: Final = 0.01  # of all the time, for the rows of the reference
_OVERHEAD: Final = 0.2  # seconds


def run(path: Path, wish: Wish, *, progress: Progress, old: Report | None = None) -> Report:
    """Measures a bundle.

    Args:
        path: its folder.
        wish: what is asked for.
        progress: makes a bar of a length and a label, which is full when all is measured.
        old: a report to hold the new one against.

    Raises:
        OptionError, CheckpointError, DeviceUnavailable: what was asked for by name cannot be had; see `asked.check`.
        MissingExtra: nor can the library of an arm that was named.
        BundleError, BundleNotFound: as of `reparam.load`.
        VerificationError: fp32 on the CPU does not give the source model's numbers, so nothing can be compared.
    """
    asked.check(wish)
    floors = [parse(each) for each in wish.floors]
    begin, load, named = time.monotonic(), identity.load_average(), bool(wish.devices)
    started = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    bundle = read_bundle(path, golden=True, expect_sha256=wish.expect_sha256, trust=wish.trust)
    full = plan.filled(wish, bundle.manifest, available_threads())
    asked.check_plan(full, bundle.manifest, named=named)
    for floor in floors:
        check_floor(floor, [spec.name for spec in plan.arms_of(full)], full.batches)
    engines = Engines(
        path,
        bundle,
        run=None if full.run is None else Path(full.run),
        max_batch=max(full.batches),
        named=bool(wish.precisions),
        trust=wish.trust,
    )
    try:
        with progress(STEPS, "benchmark") as advance:
            measuring = overhead(_OVERHEAD)
            arms = _measured(bundle, full, engines, Watch(begin, full.seconds or 0, advance), path)
            report = Report(
                started=started,
                seconds=time.monotonic() - begin,
                bundle=identity.subject_of(bundle),
                machine=identity.machine(load),
                versions=identity.versions_of(("torch",) if full.against else ()),
                settings=_settings(full, named=named),
                overhead=measuring,
                answers=(),
                arms=tuple(arm.told() for arm in arms),
                not_scaled=CLOSED if bundle.manifest.input.factors is None else {},
            )
    finally:
        engines.close()
    report = msgspec.structs.replace(report, floors=tuple(hold(floor, report) for floor in floors))
    report = msgspec.structs.replace(report, answers=answers_of(report))
    if old is not None:
        report = msgspec.structs.replace(report, comparison=compare(old, report))
    return told_fit(report)


def _measured(bundle: Bundle, wish: Wish, engines: Engines, watch: Watch, path: Path) -> list[Measured]:
    """All arms: gate, points, scenarios, scaling, processes of their own, each with a share of the time."""
    manifest, whole = bundle.manifest, wish.seconds or 0
    reference = engines.model("cpu", "fp32", wish.threads[0])
    check_reference(bundle, reference)
    feeds = _distinct(reference, max(wish.batches), _DISTINCT * whole)
    wanted = wanted_of(reference, feeds)
    arms: list[Measured] = []
    specs = plan.arms_of(wish)
    with watch.phase(_GATE * whole) as advance:
        for spec in specs:
            judge = Judge(wanted[spec.operation], bound_of(manifest, spec.precision), spec.name)
            arms.append(admit(spec, engines, judge, feeds=feeds, batches=wish.batches, longest=_LONGEST * whole))
            advance(len(arms) / len(specs))
    keep = phases.cost_of_new(arms, wish)
    seconds = watch.share(0.55, 0.2, keep=keep)
    with watch.phase(seconds, keep=keep) as advance:
        phases.time_points(arms, seconds=seconds, advance=advance)
    seconds = watch.share(0.65, 0.1, keep=keep)
    with watch.phase(seconds, keep=keep) as advance:
        phases.scenarios(arms, feeds, wish, seconds=seconds, advance=advance)
    seconds = watch.share(0.8, 0.03, keep=keep)
    with watch.phase(seconds, keep=keep) as advance:
        scale(arms, feeds, reference, seconds=seconds, advance=advance)
    with watch.last() as advance:
        end = max(watch.end, time.monotonic() + keep)
        phases.begin_anew(arms, path, bundle.sha256, wish, end=end, advance=advance)
    return arms


def _distinct(reference: VAE, most: int, seconds: float) -> Feeds:
    """As many different rows as the reference encodes and decodes in about that time."""
    one = feeds_of(reference, 1)
    reference.reconstruct(one.x, eps=one.eps)
    begin = time.monotonic()
    reference.reconstruct(one.x, eps=one.eps)
    cost = max(1e-9, time.monotonic() - begin)
    return feeds_of(reference, max(1, min(most, int(seconds / cost))))


def _settings(wish: Wish, *, named: bool) -> Settings:
    return Settings(
        devices=wish.devices,
        devices_named=named,
        precisions=wish.precisions,
        paths=tuple(dict.fromkeys(spec.path for spec in plan.arms_of(wish))),
        operations=wish.operations,
        batches=wish.batches,
        threads=wish.threads,
        seconds=wish.seconds or 0,
        quick=wish.quick,
        seed=wish.seed,
        server_bound_ms=wish.bound_ms,
        spread_wanted=SPREAD,
    )
