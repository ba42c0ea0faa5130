"""A benchmark's report: one document that holds all of it, raw samples included, in frozen structs.

Whatever is said of a benchmark (the table, the page, the answers, a comparison) is computed from it alone. Times are in
nanoseconds and memory in bytes unless a name says otherwise. docs/benchmark.schema.json is its JSON schema.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from reparam.benchmark.texts import fitting, unfit
from reparam.bundle.manifest import Bound, Worst
from reparam.engine.info import Placement
from reparam.errors import InputError, InputNotFound
from reparam.files.regular import read_regular

_LARGEST: Final = 2**28  # bytes of a report that is read

Operation = Literal["encode", "decode", "reconstruct"]
OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)
Status = Literal["timed", "unavailable", "wrong", "fell_back"]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Nanoseconds = Annotated[float, Meta(ge=0)]
Rate = Annotated[float, Meta(ge=0)]  # rows, or queries of one row, a second


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GPU, as NVIDIA's management library tells of it."""

    name: str
    driver: str
    memory_bytes: Count


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it ran: what the processor is, how much of it this process may use, and who else used it.

    Load averages are over 1, 5 and 15 minutes; None where the system does not tell. quota is in processors' worth of
    time, None for no limit. cards is empty where there is none, and unseen says why none could be asked for.
    """

    system: str
    processor: str
    cores: Positive
    affinity: Positive
    quota: float | None
    int8_instructions: bool
    memory_bytes: Count | None
    load_before: tuple[float, float, float] | None
    load_after: tuple[float, float, float] | None
    cards: tuple[Card, ...] = ()
    cards_unseen: str | None = None


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a precision costs in the negative ELBO, in nats a row: as the export measured it, not measured here."""

    precision: str
    rows: Positive
    negative_elbo_fp32: float
    negative_elbo: float


class Subject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bundle: manifest_sha256 pins every byte of it; input and latent are shapes of one row."""

    name: str
    id: str
    manifest_sha256: str
    input: tuple[int, ...]
    latent: tuple[int, ...]
    likelihood: str | None
    precisions: tuple[str, ...]
    costs: tuple[Cost, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was asked for. devices_named tells whether the devices were named, or are those that come by themselves."""

    devices: tuple[str, ...]
    devices_named: bool
    precisions: tuple[str, ...]
    paths: tuple[str, ...]
    operations: tuple[Operation, ...]
    batches: tuple[Positive, ...]
    threads: tuple[Positive, ...]
    seconds: float
    quick: bool
    seed: Count
    server_bound_ms: float
    spread_wanted: float


class Overhead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What measuring adds to a call, found on a graph of one Identity node.

    clock_ns is between two readings of the clock with nothing between them. timed_ns is a call as this benchmark times
    it, bare_ns the same call in a loop without a clock, taken in turn; the difference is the harness's own share.
    """

    clock_ns: Nanoseconds
    timed_ns: Nanoseconds
    bare_ns: Nanoseconds
    difference_ns: float
    calls: Positive


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An arm's results held against fp32 on the CPU, same rows and same eps, before anything was timed.

    worst is the largest error of each result over all batches, of those that are finite numbers; bound is the one that
    the bundle states of the precision.
    """

    passed: bool
    bound: Bound
    batches: tuple[Positive, ...]
    worst: dict[str, Worst]
    reason: str | None = None


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Percentiles of a point's samples, by numpy's default method (linear) over all of them."""

    p50_ns: Nanoseconds
    p90_ns: Nanoseconds
    p99_ns: Nanoseconds
    mean_ns: Nanoseconds


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One arm at one batch.

    visits are the raw samples: one tuple for each round in which every point had its turn, nanoseconds of each call.
    spread is the middle half of the visits' medians, as a share of their median; stable says that it came under the
    one wanted. A point that was not timed has its reason, and no samples. rows_per_second is batch / p50.
    """

    batch: Positive
    visits: tuple[tuple[Count, ...], ...] = ()
    latency: Latency | None = None
    rows_per_second: Rate | None = None
    spread: float | None = None
    stable: bool = False
    reason: str | None = None


class Stream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SingleStream (1 row a query, 90th percentile) or MultiStream (8 rows, 99th), of MLPerf Inference."""

    rows: Positive
    percentile: int
    latency_ns: Nanoseconds


class Offline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Offline of MLPerf Inference: rows a second at the best of the batches."""

    batch: Positive
    rows_per_second: Rate


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rate of queries that was tried: asked is that of the schedule, issued the one that was really offered.

    answered is their number over the time until the last answer; None in reports that are older than this figure.
    Latency counts from the moment at which the schedule has a query come, whether or not anyone was free to take it.
    held says that the percentile stayed under the bound, the rate issued within 2 % of the one asked for, and the rate
    answered no more than 5 % below it.
    """

    asked: Rate
    issued: Rate
    queries: Positive
    p50_ns: Nanoseconds
    p99_ns: Nanoseconds
    held: bool
    answered: Rate | None = None


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Server of MLPerf Inference: queries of one row come as a Poisson process, whatever the arm does.

    What waits is taken together, at most max_batch rows. rate is the highest that held, 0 where none did; failed the
    lowest that did not, None where the arm kept up with all. latencies_ns are those of the trial at rate, one in every
    `every`, in the order of arrival.
    """

    bound_ns: Nanoseconds
    max_batch: Positive
    rate: Rate
    failed: Rate | None
    trials: tuple[Trial, ...]
    latencies_ns: tuple[Count, ...] = ()
    every: Positive = 1


class Scenarios(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An arm in MLPerf's terms; missing says why one of them is None."""

    single_stream: Stream | None = None
    multi_stream: Stream | None = None
    server: Server | None = None
    offline: Offline | None = None
    missing: dict[str, str] = {}


class Fresh(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An arm in a process of its own: what it costs to begin, and the most memory it takes, at one batch.

    Host memory is resident: before (Python and numpy), and at the peak. load_ns is until a call can be made, with the
    import of onnxruntime or torch; first_call_ns is the first of all calls, next_call_ns the second.
    """

    batch: Positive
    load_ns: Count | None = None
    first_call_ns: Count | None = None
    next_call_ns: Count | None = None
    host_before_bytes: Count | None = None
    host_peak_bytes: Count | None = None
    device_peak_bytes: Count | None = None
    joules_per_row: float | None = None
    reason: str | None = None


class Scaling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a call's time grows with n: fixed_ns + each_ns * n, by least squares of relative errors.

    n counts what `over` names: rows of one run ("batch"), rows of one call that is cut into batches ("rows"), pixels of
    x ("image") or values of z ("latent") at one row. residual is the worst relative error of the fit.
    """

    over: Literal["batch", "rows", "image", "latent"]
    n: tuple[Positive, ...]
    median_ns: tuple[Nanoseconds, ...]
    fixed_ns: float
    each_ns: float
    residual: float


class Arm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way of doing one operation. name is operation.device.precision.path.tTHREADS.

    status: "timed"; "unavailable", it cannot run here; "wrong", the gate refused it; "fell_back", it ran elsewhere than
    on the device it names. reason says why it is not "timed". waits says when a call counts as done, copies what moves
    between the caller's arrays and the device in it.
    """

    name: str
    operation: Operation
    device: str
    precision: str
    path: str
    threads: Positive
    status: Status
    reason: str | None = None
    notes: tuple[str, ...] = ()
    waits: str | None = None
    copies: str | None = None
    provider_requested: str | None = None
    provider_active: str | None = None
    placement: Placement | None = None
    gate: Gate | None = None
    points: tuple[Point, ...] = ()
    scenarios: Scenarios | None = None
    fresh: Fresh | None = None
    scaling: tuple[Scaling, ...] = ()


class Floor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A speed that was demanded: rows a second of an arm, or how many times those of another arm."""

    asked: str
    arm: str
    batch: Positive
    against: str | None
    against_batch: Positive | None
    wanted: float
    found: float | None
    held: bool
    reason: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A first question and its answer in one sentence, computed from the rest of the report; numbers as it names."""

    question: str
    answer: str
    numbers: dict[str, float] = {}


class Move(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A point in two reports: ratio is new p50 / old p50, noise how far from 1 it may be by chance."""

    arm: str
    batch: Positive
    old_ns: Nanoseconds
    new_ns: Nanoseconds
    ratio: float
    noise: float
    verdict: Literal["faster", "slower", "within noise"]


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An older report beside this one. differences are what else changed: bundle, machine, versions.

    bundles names both where they are not the same, such as two versions of a model; None where they are.
    """

    old_started: str
    bundles: str | None = None
    differences: tuple[str, ...]
    moves: tuple[Move, ...]
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole benchmark. started is in UTC, ISO 8601; not_scaled says why cost over a size could not be measured."""

    format: Literal["reparam-benchmark"] = "reparam-benchmark"
    version: Literal[1] = 1
    started: str
    seconds: float
    bundle: Subject
    machine: Machine
    versions: dict[str, str]
    settings: Settings
    overhead: Overhead | None
    answers: tuple[Answer, ...]
    arms: tuple[Arm, ...]
    not_scaled: dict[str, str] = {}
    floors: tuple[Floor, ...] = ()
    comparison: Comparison | None = None


def told_fit(report: Report) -> Report:
    """The report with every text as a report may hold it, wherever the text came from: see `texts`."""
    return msgspec.convert(fitting(msgspec.to_builtins(report)), type=Report)


def encode_report(report: Report) -> bytes:
    """The report as JSON, in one line: samples are most of it."""
    return msgspec.json.encode(report) + b"\n"


def read_report(path: Path) -> Report:
    """A report that was written before.

    Raises:
        InputNotFound: no such file.
        InputError: no file, not a report, or one of another version; or a text or number in it that no report may hold.
    """
    try:
        report = msgspec.json.decode(read_regular(path, most=_LARGEST), type=Report)
    except FileNotFoundError:
        raise InputNotFound(f"{path}: no such report; write one with reparam benchmark BUNDLE --out {path}") from None
    except OSError as error:
        reason = (
            "is a folder" if isinstance(error, IsADirectoryError) else f"cannot be read ({error.strerror or error})"
        )
        raise InputError(f"{path}: {reason}; give the report that reparam benchmark --out wrote") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise InputError(f"{path}: not a report of this version of reparam benchmark: {error}; run it again") from None
    if (fault := unfit(report)) is not None:
        raise InputError(f"{path}: not a report that reparam benchmark wrote: {fault}; run it again")
    return report


def schema() -> bytes:
    """The JSON schema of a report, as docs/benchmark.schema.json holds it."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Report)), indent=2) + b"\n"
