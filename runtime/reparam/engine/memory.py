"""How much memory a bundle's graphs may need, held against a budget or a share of what this machine has."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from reparam.bundle.manifest import Manifest, Precision, Role
from reparam.bundle.outline import FLOAT32
from reparam.bundle.reader import Bundle
from reparam.bundle.sizes.sized import Shape
from reparam.bundle.sizes.walk import Walk
from reparam.engine.room import Room
from reparam.engine.threads import CGROUP, own_group
from reparam.errors import BundleError, DeviceUnavailable, OptionError

_DTYPES: Final = {"float32": FLOAT32, "uint8": 2}
_SHARE: Final = 0.75  # of the machine's memory: the rest is for the program around it, and for what an estimate misses
_ROLES: Final[tuple[Role, ...]] = ("encoder", "decoder")


@dataclasses.dataclass(frozen=True)
class Budget:
    """Rows of a call, and bytes that it may need by estimate; None: one row must fit into what there is."""

    rows: int
    bytes: int | None


MACHINE: Final = Budget(1, None)


def check_memory(bundle: Bundle, precision: Precision, budget: Budget, *, on_host: bool) -> dict[Role, Room]:
    """Finds the size of every value of both graphs, and refuses what could not run, before onnxruntime loads them.

    Where height and width are open, sizes are those that the manifest names.

    Args:
        bundle: past the gate, with the graphs of `precision`.
        precision: which graphs.
        budget: what they may need.
        on_host: whether they run in this machine's own memory.

    Returns:
        For each graph, what holds its runs to that memory; none on a card without a budget.

    Raises:
        BundleError: a graph whose sizes contradict each other, are not known before it runs, or grow faster than rows.
        OptionError: the graphs need more than the budget.
        DeviceUnavailable: one row needs more than this process may have.
    """
    walks: dict[Role, Walk] = {role: Walk(bundle.graph(role, precision), cpu=on_host) for role in _ROLES}
    inputs: dict[Role, dict[str, tuple[int, Shape]]] = {role: _inputs(bundle.manifest, role) for role in _ROLES}
    (held, one), (_, whole) = (_need(bundle, precision, walks, inputs, rows) for rows in (1, budget.rows))
    if whole > budget.rows * one:
        raise BundleError(
            f"{bundle.place}: refused: {budget.rows} rows need {whole:,} bytes and one {one:,}: a graph whose memory "
            "grows faster than its rows; export the bundle again"
        )
    limits: dict[str, int] = {} if budget.bytes is None else {"memory_budget": budget.bytes}
    if budget.bytes is not None and whole > budget.bytes:
        raise OptionError(
            f"memory_budget: calls of max_batch={budget.rows} rows need about {whole:,} bytes, got {budget.bytes:,}; "
            "lower max_batch or raise the budget"
        )
    if on_host:
        limits["three quarters of the memory"] = limit = int(_SHARE * machine_memory())
        rows, need = (1, one) if budget.bytes is None else (budget.rows, whole)
        if need > limit:
            raise DeviceUnavailable(
                f"device: {bundle.place} needs about {need:,} bytes for {rows} rows, this process may have {limit:,}"
            )
    if not limits:
        return {}
    limit, told = min((limit, told) for told, limit in limits.items())
    sure = bundle.manifest.input.factors is None and whole <= limit
    return {
        role: Room(
            walk,
            {name: dtype for name, (dtype, _) in inputs[role].items()},
            held=held,
            limit=limit,
            told=told,
            sure=sure,
        )
        for role, walk in walks.items()
    }


def _inputs(manifest: Manifest, role: Role) -> dict[str, tuple[int, Shape]]:
    """Data type and row shape of a graph's inputs."""
    shapes = manifest.encoder_inputs if role == "encoder" else {"z": manifest.latent.shape}
    return {name: (_DTYPES[manifest.dtype(name)], shape) for name, shape in shapes.items()}


def _need(
    bundle: Bundle,
    precision: Precision,
    walks: Mapping[Role, Walk],
    inputs: Mapping[Role, Mapping[str, tuple[int, Shape]]],
    rows: int,
) -> tuple[int, int]:
    """Bytes of both sessions, and of them with the larger of both runs; of what is on no list, the weights alone."""
    held = widest = 0
    for role, walk in walks.items():
        try:
            memory = walk.measure({name: (dtype, (rows, *row)) for name, (dtype, row) in inputs[role].items()})
        except ValueError as error:
            entry = bundle.manifest.graph(role, precision)
            where = f"{bundle.place}/{entry.file if entry else role}"
            raise BundleError(f"{where}: refused: {error}; export the bundle again") from None
        if memory is None:
            held += 2 * len(bundle.graph(role, precision).data)
        else:
            held += memory.weights + memory.constants
            widest = max(widest, memory.values)
    return held, held + widest


def machine_memory(root: Path = CGROUP, group: str | None = None) -> int:
    """Bytes that this process may have: the machine's, or less where a control group (v2, else v1) says so.

    Args:
        root: where the control groups are mounted.
        group: one below it, None for this process's own; a limit of any group above it holds too.
    """
    second, first = _limit_files(root, group)
    limits = [*filter(None, map(_limit, second))] or [*filter(None, [_limit(first)])]
    return min([_machine(), *limits])


@functools.cache  # a process stays in its group
def _limit_files(root: Path, group: str | None) -> tuple[list[Path], Path]:
    """Where the limits of a group and those above it stand in v2, and where v1 has it."""
    if group is None:
        group = own_group() if root == CGROUP else "/"
    folders = [root.joinpath(*part.parts[1:]) for part in (PurePosixPath(group), *PurePosixPath(group).parents)]
    return [folder / "memory.max" for folder in folders], root / "memory" / "memory.limit_in_bytes"


def _limit(file: Path) -> int | None:
    """The number of bytes in a file; None where there is no file, or none in it, such as "max"."""
    try:
        found = int(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found if found > 0 else None


def _machine() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return 2**63 - 1
