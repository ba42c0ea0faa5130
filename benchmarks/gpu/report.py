"""The form of a GPU report, docs/gpu-report.json, and the page that is made of it, docs/gpu-report.md."""

import statistics
from pathlib import Path

import msgspec

from reparam.benchmark.report import Answer, Machine
from reparam.errors import OptionError
from reparam.files.atomic import write_bytes


class Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the device does at its best here: bytes of a large copy, read and written, and operations of a product."""

    bytes_a_second: float
    operations_a_second: dict[str, float]


class Timed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An arm: seconds of one call in each round, and how far its results are from the first arm's of all.

    ratios are this arm's time over another's, the median over rounds of the ratio within a round; reason is why it was
    not timed, or what must be said of it.
    """

    arm: str
    error: float
    rounds: tuple[float, ...] = ()
    ratios: dict[str, float] = {}
    reason: str | None = None

    @property
    def median(self) -> float:
        """Seconds of a call."""
        return statistics.median(self.rounds)


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arms that took turns: one operation at one batch, in one precision, over one span ("host" or "device").

    floor_seconds is what no program goes below: operations at the matrix rate, or weights, inputs and outputs once at
    the bandwidth, whichever is longer; layers_floor_seconds lets each layer's values be written and read once too.
    """

    operation: str
    precision: str
    batch: int
    span: str
    operations: int
    least_bytes: int
    layer_bytes: int
    floor_seconds: float
    layers_floor_seconds: float
    arms: tuple[Timed, ...]


class Measured(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model: memory that its sessions hold on the card after the largest batch, and what `reparam benchmark` says."""

    name: str
    id: str
    input: tuple[int, ...]
    latent: tuple[int, ...]
    parameters: int
    device_bytes: dict[str, int | None] = {}
    groups: tuple[Group, ...] = ()
    answers: tuple[Answer, ...] = ()
    notes: tuple[str, ...] = ()


class Tests(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What pytest said of the tests marked `gpu`."""

    passed: int
    failed: tuple[str, ...]
    skipped: tuple[str, ...]


class GpuReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. device is the one that everything ran on, cpu in a dry run; started is in UTC, ISO 8601.

    failed are models that ended before their end, each with its error.
    """

    format: str = "reparam-gpu"
    version: int = 1
    started: str
    device: str
    quick: bool
    machine: Machine
    versions: dict[str, str]
    rates: Rates
    tests: Tests | None
    models: tuple[Measured, ...]
    failed: tuple[str, ...] = ()


def first_line(error: BaseException) -> str:
    """Of what went wrong."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"


def with_model(report: GpuReport, model: Measured) -> GpuReport:
    """The report with a model; groups of it that were not measured again stay."""
    models = {each.name: each for each in report.models}
    before = models.get(model.name)
    if before is not None and before.id == model.id:
        groups = {_key(group): group for group in (*before.groups, *model.groups)}
        model = msgspec.structs.replace(
            model,
            groups=tuple(groups.values()),
            device_bytes={**before.device_bytes, **model.device_bytes},
            answers=model.answers or before.answers,
        )
    return msgspec.structs.replace(report, models=tuple({**models, model.name: model}.values()))


def _key(group: Group) -> tuple[str, str, int, str]:
    return group.operation, group.precision, group.batch, group.span


def read(place: Path, *, device: str, quick: bool, machine: Machine, versions: dict[str, str]) -> GpuReport:
    """A report to add to.

    Raises:
        OptionError: it is none, or was measured on another device or with other versions.
    """
    try:
        found = msgspec.json.decode(place.read_bytes(), type=GpuReport)
    except (OSError, msgspec.MsgspecError) as error:
        raise OptionError(f"--add: {place}: not a report of a card ({error}); leave --add out") from None
    for name, one, other in (
        ("device", found.device, device),
        ("cards", found.machine.cards, machine.cards),
        ("processor", found.machine.processor, machine.processor),
        ("versions", found.versions, versions),
        ("models (--quick)", found.quick, quick),
    ):
        if one != other:
            raise OptionError(f"--add: {place} was measured with other {name} ({one}, here {other}); leave --add out")
    return found


def write(report: GpuReport, folder: Path) -> None:
    """Both files, each whole or not at all."""
    write_bytes(folder / "gpu-report.json", msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    write_bytes(folder / "gpu-report.md", page(report).encode())


def page(report: GpuReport) -> str:
    """The report for people."""
    cards = "; ".join(
        f"{card.name}, driver {card.driver}, {card.memory_bytes / 2**30:.0f} GiB" for card in report.machine.cards
    )
    lines = [
        f"# What was measured on {report.device}",
        "",
        f"{report.started}, `make gpu`: {cards or f'no card ({report.machine.cards_unseen})'}; "
        f"{report.machine.processor}, {report.machine.affinity} processors; "
        + ", ".join(f"{name} {version}" for name, version in report.versions.items())
        + ".",
        "",
    ]
    if report.device == "cpu":
        lines += ["A dry run: no card was asked for, and no figure here is one of a card.", ""]
    lines += [_tests(report.tests), "", *_rates(report.rates), ""]
    lines += [f"- {each}" for each in report.failed]
    for model in report.models:
        lines += [*_model(model), ""]
    return "\n".join(lines)


def _tests(tests: Tests | None) -> str:
    if tests is None:
        return "Tests: not run."
    told = f"Tests: {tests.passed} passed, {len(tests.failed)} failed, {len(tests.skipped)} skipped"
    return told + "".join(f"\n- {each}" for each in (*tests.failed, *tests.skipped))


def _rates(rates: Rates) -> list[str]:
    products = ", ".join(f"{rate / 1e12:.3g} in {name}" for name, rate in rates.operations_a_second.items())
    return [f"A large copy moves {rates.bytes_a_second / 1e9:.3g} GB/s; products do {products} Tflop/s (TF32 off)."]


def _model(model: Measured) -> list[str]:
    held = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in model.device_bytes.items() if size is not None)
    lines = [
        f"## {model.name}",
        "",
        f"x {list(model.input)}, z {list(model.latent)}, {model.parameters:,} parameters, id {model.id}.",
        "",
        f"Memory on the card after the largest batch: {held or 'not asked for'}.",
        "",
        *(f"- {answer.question} {answer.answer}" for answer in model.answers),
        *(f"- {note}" for note in model.notes),
        "",
        "Milliseconds a call, and in brackets its time over PyTorch's eager in the same rounds.",
        "",
        "| operation | batch | span | arms | floor | floor by layers |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for group in model.groups:
        told = "; ".join(_arm(arm) for arm in group.arms)
        floors = f"{1e3 * group.floor_seconds:.3g} | {1e3 * group.layers_floor_seconds:.3g}"
        lines.append(f"| {group.operation}, {group.precision} | {group.batch} | {group.span} | {told} | {floors} |")
    return lines


def _arm(arm: Timed) -> str:
    if not arm.rounds:
        return f"{arm.arm} not timed: {arm.reason}"
    ratio = arm.ratios.get("torch")
    told = f"{arm.arm} {1e3 * arm.median:.3g}" + (f" ({ratio:.2f})" if ratio is not None and arm.arm != "torch" else "")
    return told if arm.reason is None else f"{told}, {arm.reason}"
