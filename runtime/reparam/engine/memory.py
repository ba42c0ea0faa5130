"""How much memory a bundle's graphs may need, held against a budget or a share of what this machine has."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from reparam.bundle.manifest import Manifest, Precision, Role
from reparam.bundle.outline import FLOAT32
from reparam.bundle.reader import Bundle
from reparam.bundle.sizes.sized import Shape
from reparam.bundle.sizes.walk import Memory, Walk
from reparam.engine.threads import CGROUP, own_group
from reparam.errors import BundleError, DeviceUnavailable, OptionError

_UINT8: Final = 2
_SHARE: Final = 0.75  # of the machine's memory: the rest is for the program around it, and for what an estimate misses
_ROLES: Final[tuple[Role, ...]] = ("encoder", "decoder")


@dataclasses.dataclass(frozen=True)
class Budget:
    """Rows of a call, and bytes that it may need by estimate; None: one row must fit into what there is."""

    rows: int
    bytes: int | None


MACHINE: Final = Budget(1, None)


def check_memory(bundle: Bundle, precision: Precision, budget: Budget, *, on_host: bool) -> None:
    """Finds the size of every value of both graphs, and refuses what could not run, before onnxruntime loads them.

    Where height and width are open, sizes are those that the manifest names.

    Args:
        bundle: past the gate, with the graphs of `precision`.
        precision: which graphs.
        budget: what they may need.
        on_host: whether they run in this machine's own memory.

    Raises:
        BundleError: a graph whose sizes contradict each other, are not known before it runs, or grow faster than rows.
        OptionError: the graphs need more than the budget.
        DeviceUnavailable: one row needs more than this process may have.
    """
    one, whole = _needs(bundle, precision, (1, budget.rows))
    if whole > budget.rows * one:
        raise BundleError(
            f"{bundle.place}: refused: {budget.rows} rows need {whole:,} bytes and one {one:,}: a graph whose memory "
            "grows faster than its rows; export the bundle again"
        )
    rows, need = (1, one) if budget.bytes is None else (budget.rows, whole)
    if budget.bytes is not None and need > budget.bytes:
        raise OptionError(
            f"memory_budget: calls of max_batch={rows} rows need about {need:,} bytes, got {budget.bytes:,}; "
            "lower max_batch or raise the budget"
        )
    if on_host and need > (limit := int(_SHARE * machine_memory())):
        raise DeviceUnavailable(
            f"device: {bundle.place} needs about {need:,} bytes for {rows} rows, this process may have {limit:,}"
        )


def _needs(bundle: Bundle, precision: Precision, calls: Sequence[int]) -> list[int]:
    """For each number of rows, bytes of both sessions and of the larger of both runs.

    Of a graph with operators on no list, the weights alone.
    """
    found: list[list[Memory]] = []
    for role in _ROLES:
        graph = bundle.graph(role, precision)
        walk = Walk(graph)
        try:
            memory = [walk.measure(_inputs(bundle.manifest, role, rows)) for rows in calls]
        except ValueError as error:
            entry = bundle.manifest.graph(role, precision)
            where = f"{bundle.place}/{entry.file if entry else role}"
            raise BundleError(f"{where}: refused: {error}; export the bundle again") from None
        found.append([each or Memory(2 * len(graph.data), 0, 0) for each in memory])
    return [
        sum(each.weights + each.constants for each in both) + max(each.values for each in both)
        for both in zip(*found, strict=True)
    ]


def _inputs(manifest: Manifest, role: Role, rows: int) -> dict[str, tuple[int, Shape]]:
    shapes = manifest.encoder_inputs if role == "encoder" else {"z": manifest.latent.shape}
    types = {"float32": FLOAT32, "uint8": _UINT8}
    return {name: (types[manifest.dtype(name)], (rows, *shape)) for name, shape in shapes.items()}


def machine_memory(root: Path = CGROUP, group: str | None = None) -> int:
    """Bytes that this process may have: the machine's, or less where a control group (v2) says so.

    Args:
        root: where the control groups are mounted.
        group: one below it, None for this process's own; a limit of any group above it holds too.
    """
    if group is None:
        group = own_group() if root == CGROUP else "/"
    limits = [_machine()]
    for part in (PurePosixPath(group), *PurePosixPath(group).parents):
        try:
            limits.append(int(root.joinpath(*part.parts[1:], "memory.max").read_bytes()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(limits)


def _machine() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return 2**63 - 1
