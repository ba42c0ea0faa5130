"""What is to be measured: arms, each one way of doing one operation, out of what was asked for."""

import dataclasses
from typing import Final

from reparam.benchmark.report import OPERATIONS, Operation
from reparam.bundle.manifest import Manifest, Precision, Trust

OWN_PATHS: Final = ("numpy", "pinned", "device", "cuda-graph")
DEVICES: Final = ("cpu", "cuda")  # that come by themselves
QUICK: Final = 22.0  # seconds
WHOLE: Final = 170.0
_PATHS: Final = {"cpu": ("numpy", "pinned")}  # that come by themselves, by device
_PATHS_OF_CARDS: Final = ("numpy", "device", "cuda-graph")


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a benchmark is asked for; an empty tuple leaves the choice to it.

    Attributes:
        devices: names that `reparam.load` takes; empty for cpu and cuda. One that is named must be had.
        precisions: empty for fp32, int8 and what else the bundle holds.
        paths: of "numpy", "pinned", "device" and "cuda-graph"; empty for those that a device is used by.
        operations: empty for all three.
        batches: rows of a call, each at least 1; empty for 1, 8, 64 and 256.
        threads: of each session; empty for what affinity and quota allow.
        against: names of the entry-point group `reparam.benchmark_arms`, such as "torch".
        run: a training run, for arms of other libraries that cannot be made from the bundle.
        quick: fewer paths and a shorter time.
        seconds: about how long it may take; None for some three minutes, or 22 s of a quick one.
        seed: of the arrival times of queries.
        bound_ms: latency that Server's 99th percentile must stay under.
        floors: speeds that must be reached, see `reparam.benchmark.floors`.
        expect_sha256: of the manifest, as `reparam.load` takes it.
        trust: as `reparam.load` takes it.
    """

    devices: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ()
    paths: tuple[str, ...] = ()
    operations: tuple[Operation, ...] = ()
    batches: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
    against: tuple[str, ...] = ()
    run: str | None = None
    quick: bool = False
    seconds: float | None = None
    seed: int = 0
    bound_ms: float = 10.0
    floors: tuple[str, ...] = ()
    expect_sha256: str | None = None
    trust: Trust = "strict"


@dataclasses.dataclass(frozen=True)
class Spec:
    """An arm before anything of it ran."""

    operation: Operation
    device: str
    precision: Precision
    path: str
    threads: int

    @property
    def name(self) -> str:
        """As reports and floors call it."""
        return f"{self.operation}.{self.device}.{self.precision}.{self.path}.t{self.threads}"

    @property
    def engine(self) -> tuple[str, str, str, int]:
        """Device, precision, path and threads: what is opened once for all operations."""
        return self.device, self.precision, self.path, self.threads


def filled(wish: Wish, manifest: Manifest, threads: int) -> Wish:
    """The wish with every choice made that it left open; `threads` are those that this process may use."""
    precisions: tuple[Precision, ...] = ("fp32", "int8", *manifest.precisions)
    return dataclasses.replace(
        wish,
        devices=tuple(dict.fromkeys(wish.devices)) or DEVICES,
        precisions=tuple(dict.fromkeys(wish.precisions or precisions)),
        operations=tuple(each for each in OPERATIONS if each in (wish.operations or OPERATIONS)),
        batches=tuple(sorted(set(wish.batches))) or ((1, 8, 256) if wish.quick else (1, 8, 64, 256)),
        threads=tuple(sorted(set(wish.threads))) or (threads,),
        against=tuple(dict.fromkeys(wish.against)),
        seconds=wish.seconds or (QUICK if wish.quick else WHOLE),
    )


def arms_of(wish: Wish) -> list[Spec]:
    """Every arm of a filled wish, in the order of the table; other libraries run fp32 alone."""
    found: list[Spec] = []
    for operation in wish.operations:
        for device in wish.devices:
            for precision in wish.precisions:
                paths = [*_paths(wish, device), *(wish.against if precision == "fp32" else ())]
                found += [
                    Spec(operation, device, precision, path, threads) for path in paths for threads in wish.threads
                ]
    return found


def _paths(wish: Wish, device: str) -> tuple[str, ...]:
    if wish.paths:
        return wish.paths
    return ("numpy",) if wish.quick else _PATHS.get(device, _PATHS_OF_CARDS)
