"""The parts of a GPU report: rates of the device, and for each model its arms, their floors, and memory."""

import copy
import dataclasses
import gc
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, cast

import msgspec
import numpy as np
import torch
from arms import Arms, Operation, Twin, distance, from_host, in_turn, on_device
from commands import answers
from floor import Work, bandwidth, matrix_rate
from models import Model, conv, digits, kl, mnist
from report import Group, Measured, Rates, Timed, first_line
from torch._dynamo.utils import counters

import reparam
from reparam.benchmark.feeds import inputs_of

_BOUND = {"fp32": 1e-3, "fp16": 5e-2}  # how far an arm may be from the first one, as a share of the largest magnitude


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured, and for how long.

    Attributes:
        device: cuda or cpu.
        quick: smaller models, and `reparam benchmark --quick`.
        work: where bundles and the benchmark's reports lie.
        seconds: of each group of arms.
        modes: of torch.compile, an arm each.
        end: of time.monotonic, after which no group is begun.
    """

    device: str
    quick: bool
    work: Path
    seconds: float
    modes: tuple[str, ...]
    end: float

    @property
    def where(self) -> torch.device:
        """The device in PyTorch's words."""
        return torch.device(self.device)


class Case(NamedTuple):
    """What a group of arms does."""

    operation: Operation
    precision: str
    batch: int

    def __str__(self) -> str:
        return f"{self.operation}, {self.precision}, batch {self.batch}"


def exact(plan: Plan) -> None:
    """Has PyTorch compute as this runtime does: without TF32, and on a CPU with one thread."""
    torch.backends.cudnn.allow_tf32 = False  # of convolutions, where PyTorch has it on
    torch.backends.cuda.matmul.allow_tf32 = False
    if plan.device == "cpu":
        torch.set_num_threads(1)  # other threads of a busy machine would be waited for


def rates(plan: Plan) -> Rates:
    """The device's bandwidth and matrix rate."""
    small = plan.device == "cpu"
    side, size = (256, 1 << 22) if small else (8192, 1 << 30)
    products = {"fp32": torch.float32} if small else {"fp32": torch.float32, "fp16": torch.float16}
    found = Rates(
        bytes_a_second=bandwidth(plan.where, size=size),
        operations_a_second={name: matrix_rate(plan.where, dtype, side=side) for name, dtype in products.items()},
    )
    _let_go(plan)
    return found


def makers(plan: Plan) -> dict[str, Callable[[], Model]]:
    """What makes each model, by its name."""
    if plan.quick:
        return {
            "mnist": mnist,
            "kl64-32": lambda: kl(plan.work, side=64, channels=(32, 64, 128, 128), batches=(1, 2)),
        }
    return {"mnist": mnist, "digits": digits, "conv64": lambda: conv(plan.work), "kl512": lambda: kl(plan.work)}


def measured(plan: Plan, found: Rates, name: str) -> Iterator[Measured]:
    """A model by its name, again whenever more of it is known."""
    return _model(makers(plan)[name](), plan, found)


def _model(model: Model, plan: Plan, found: Rates) -> Iterator[Measured]:
    with reparam.load(model.bundle, device="cpu") as vae:
        manifest = vae.manifest
    told = Measured(
        name=model.name,
        id=manifest.id,
        input=manifest.input.shape,
        latent=manifest.latent.shape,
        parameters=sum(each.numel() for each in model.module.parameters()),
    )
    weights = copy.deepcopy(model.module.state_dict())
    late: list[str] = []
    for precision in (each for each in model.precisions if each in found.operations_a_second):
        if time.monotonic() > plan.end:
            late.append(precision)
            continue
        known = cast("Literal['fp32', 'fp16']", precision)
        most = max(model.batches)
        with reparam.load(model.bundle, device=plan.device, precision=known) as vae:
            _run_both(vae, 1)  # what the card's libraries take once is nobody's
        before = _free(plan)
        with reparam.load(model.bundle, device=plan.device, precision=known, max_batch=most) as vae:
            _run_both(vae, most)
            held = None if plan.device == "cpu" else before - _free(plan)
            told = msgspec.structs.replace(told, device_bytes={**told.device_bytes, precision: held})
            twin = Twin(model, plan.where, precision, weights, modes=plan.modes)
            batches = model.batches[:2] if plan.quick else model.batches
            for batch, operation in itertools.product(batches, ("encode", "decode")):
                case = Case(cast("Operation", operation), precision, batch)
                if time.monotonic() > plan.end:
                    late.append(str(case))
                    continue
                _let_go(plan)
                try:
                    for group in _groups(plan, found, vae, twin, case):
                        told = msgspec.structs.replace(told, groups=(*told.groups, group))
                        yield told
                except Exception as error:  # the next batch may run all the same
                    told = msgspec.structs.replace(told, notes=(*told.notes, f"{case}: {first_line(error)}"))
                    yield told
        del twin
        _let_go(plan)
    if time.monotonic() > plan.end:
        late.append("reparam benchmark")
    else:
        said = answers(model, plan.work, device=plan.device, quick=plan.quick)
        told = msgspec.structs.replace(told, answers=said)
        yield told
    if late:
        yield msgspec.structs.replace(told, notes=(*told.notes, f"no time was left for {'; '.join(late)}"))


def _let_go(plan: Plan) -> None:
    """What PyTorch keeps of work that is done: compiled functions with their memory, and its cache."""
    torch.compiler.reset()
    gc.collect()
    if plan.device != "cpu":
        torch.cuda.empty_cache()


def _groups(plan: Plan, found: Rates, vae: reparam.VAE, twin: Twin, case: Case) -> Iterator[Group]:
    """Both spans of one operation."""
    x, eps = inputs_of(vae.manifest, case.batch)
    operation, rows = case.operation, x if case.operation == "encode" or eps is None else eps
    work = twin.work(operation, rows)
    theirs = twin.arms(operation, rows)
    with vae.pinned(len(rows)) as fast:
        arms = from_host(vae, fast, operation, rows) | theirs[0]
        yield _timed(plan, found, work, case, span="host", arms=arms)
    yield _timed(plan, found, work, case, span="device", arms=on_device(vae, operation, rows) | theirs[1])


def _timed(plan: Plan, found: Rates, work: Work, case: Case, *, span: str, arms: Arms) -> Group:
    """Arms of one span; one that fails, or whose results are others than the first one's, is told and not timed."""
    wanted = next(iter(arms.values()))
    first = wanted[1](wanted[0]())
    errors: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for name, (call, read) in arms.items():
        try:
            errors[name] = distance(read(call()), first)
        except Exception as error:  # whatever keeps a compiler from running it
            errors[name], reasons[name] = 0.0, first_line(error)
        if not errors[name] <= _BOUND[case.precision]:
            reasons[name] = f"its results are {errors[name]:.1g} of the largest magnitude away"
    counters["inductor"].clear()
    times = in_turn({name: arm[0] for name, arm in arms.items() if name not in reasons}, plan.seconds)
    if skips := counters["inductor"]["cudagraph_skips"]:  # of which inductor only writes to its log
        reasons |= {name: f"{skips} times without its CUDA graph" for name in times if name.startswith("torch-")}
    return _group(work, found, case, span, errors=errors, reasons=reasons, times=times)


def _group(
    work: Work,
    found: Rates,
    case: Case,
    span: str,
    *,
    errors: dict[str, float],
    reasons: dict[str, str],
    times: dict[str, list[float]],
) -> Group:
    floor, layers = work.seconds(
        bytes_a_second=found.bytes_a_second, operations_a_second=found.operations_a_second[case.precision]
    )
    return Group(
        operation=case.operation,
        precision=case.precision,
        batch=case.batch,
        span=span,
        operations=work.operations,
        least_bytes=work.least_bytes,
        layer_bytes=work.layer_bytes,
        floor_seconds=floor,
        layers_floor_seconds=layers,
        arms=tuple(
            Timed(
                arm=name,
                error=errors[name] if np.isfinite(errors[name]) else -1.0,
                rounds=tuple(times.get(name, ())),
                ratios={
                    other: float(np.median(np.divide(times[name], times[other])))
                    for other in times
                    if name in times and other != name
                },
                reason=reasons.get(name),
            )
            for name in errors
        ),
    )


def _free(plan: Plan) -> int:
    """Bytes of the card that nobody holds; 0 on the CPU."""
    return int(torch.cuda.mem_get_info()[0]) if plan.device != "cpu" else 0


def _run_both(vae: reparam.VAE, batch: int) -> None:
    """One run of each graph."""
    vae.decode(vae.encode(inputs_of(vae.manifest, batch)[0]).mean)
