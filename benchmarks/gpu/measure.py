"""The parts of a GPU report: rates of the device, and for each model its arms, their floors, and memory."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from arms import Operation, Twin, distance, in_turn, ours
from commands import answers
from floor import Work, bandwidth, matrix_rate
from models import Model, conv, kl, mnist
from report import Group, Measured, Rates, Timed

import reparam
from reparam.benchmark.feeds import inputs_of
from reparam.errors import ReparamError

_BOUND = {"fp32": 1e-3, "fp16": 5e-2}  # how far an arm may be from the first one, as a share of the largest magnitude


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured, and for how long.

    Attributes:
        device: cuda or cpu.
        quick: smaller models, and `reparam benchmark --quick`.
        work: where bundles and the benchmark's reports lie.
        seconds: of each group of arms.
        mode: of torch.compile; "none" for no such arm.
    """

    device: str
    quick: bool
    work: Path
    seconds: float
    mode: str

    @property
    def where(self) -> torch.device:
        """The device in PyTorch's words."""
        return torch.device(self.device)


class Case(NamedTuple):
    """What a group of arms does."""

    operation: Operation
    precision: str
    batch: int


def rates(plan: Plan) -> Rates:
    """The device's bandwidth and matrix rate."""
    torch.backends.cudnn.allow_tf32 = False  # of convolutions, where PyTorch has it on
    torch.backends.cuda.matmul.allow_tf32 = False
    small = plan.device == "cpu"
    if small:
        torch.set_num_threads(1)  # other threads of a busy machine would be waited for
    side, size = (256, 1 << 22) if small else (8192, 1 << 30)
    products = {"fp32": torch.float32} if small else {"fp32": torch.float32, "fp16": torch.float16}
    return Rates(
        bytes_a_second=bandwidth(plan.where, size=size),
        operations_a_second={name: matrix_rate(plan.where, dtype, side=side) for name, dtype in products.items()},
    )


def measured(plan: Plan, found: Rates, wanted: list[str]) -> Iterator[Measured]:
    """Each model in turn; those of `wanted` alone where it names any."""
    if plan.quick:
        makers = {
            "mnist": mnist,
            "kl64-32": lambda: kl(plan.work, side=64, channels=(32, 64, 128, 128), batches=(1, 2)),
        }
    else:
        makers = {"mnist": mnist, "conv64": lambda: conv(plan.work), "kl512": lambda: kl(plan.work)}
    for name, make in makers.items():
        if not wanted or name in wanted:
            print(f"{name} ...", file=sys.stderr)
            yield _model(make(), plan, found)


def _model(model: Model, plan: Plan, found: Rates) -> Measured:
    groups: list[Group] = []
    notes: list[str] = []
    held: dict[str, int | None] = {}
    precisions = [each for each in model.precisions if each in found.operations_a_second]
    for precision in precisions:
        before = _free(plan)
        known = cast("Literal['fp32', 'fp16']", precision)
        with reparam.load(model.bundle, device=plan.device, precision=known, max_batch=max(model.batches)) as vae:
            held[precision] = _used(plan, vae, max(model.batches), before)
            twin = Twin(model, plan.where, precision)
            for batch in model.batches[:2] if plan.quick else model.batches:
                for operation in ("encode", "decode"):
                    try:
                        groups += _groups(plan, found, vae, twin, Case(operation, precision, batch))
                    except (ReparamError, torch.OutOfMemoryError) as error:
                        notes.append(f"{operation}, {precision}, batch {batch}: {str(error).splitlines()[0]}")
            manifest = vae.manifest
    return Measured(
        name=model.name,
        id=manifest.id,
        input=manifest.input.shape,
        latent=manifest.latent.shape,
        parameters=sum(each.numel() for each in model.module.parameters()),
        device_bytes=held,
        groups=tuple(groups),
        answers=answers(model, plan.work, device=plan.device, quick=plan.quick),
        notes=tuple(notes),
    )


def _groups(plan: Plan, found: Rates, vae: reparam.VAE, twin: Twin, case: Case) -> Iterator[Group]:
    """Both spans of one operation."""
    x, eps = inputs_of(vae.manifest, case.batch)
    operation, rows = case.operation, x if case.operation == "encode" or eps is None else eps
    work = twin.work(operation, rows)
    mode = None if plan.mode == "none" else plan.mode
    theirs = twin.arms(operation, rows, mode)
    for span, mine, others in zip(("host", "device"), ours(vae, operation, rows), theirs, strict=True):
        arms = {**mine, **others}
        wanted = next(iter(arms.values()))
        first = wanted[1](wanted[0]())
        errors: dict[str, float] = {}
        reasons: dict[str, str] = {}
        for name, (call, read) in arms.items():
            try:
                errors[name] = distance(read(call()), first)
            except Exception as error:  # whatever keeps a compiler from running it
                errors[name], reasons[name] = 0.0, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
            if not errors[name] <= _BOUND[case.precision]:
                reasons[name] = f"its results are {errors[name]:.1g} of the largest magnitude away"
        times = in_turn({name: arm[0] for name, arm in arms.items() if name not in reasons}, plan.seconds)
        yield _group(work, found, case, span, errors=errors, reasons=reasons, times=times)


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


def _used(plan: Plan, vae: reparam.VAE, batch: int, before: int) -> int | None:
    """Bytes that the card holds more after both operations at a batch; None on the CPU."""
    if plan.device == "cpu":
        return None
    vae.decode(vae.encode(inputs_of(vae.manifest, batch)[0]).mean)
    return before - _free(plan)
