"""How many threads this process may really use: affinity and the container's quota, not the machine's cores."""

import math
import os
from pathlib import Path, PurePosixPath
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup")
_OWN_GROUP: Final = Path("/proc/self/cgroup")


def affinity() -> int:
    """Processors that this process may be scheduled on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _numbers(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return []


def own_group(proc: Path = _OWN_GROUP) -> str:
    """This process's control group below the root (v2), "/" where it is not known."""
    try:
        lines = proc.read_bytes().decode().splitlines()
    except OSError:  # not Linux
        return "/"
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::/")), "/")


def cgroup_quota(root: Path = CGROUP, group: str | None = None) -> float | None:
    """Processors' worth of time that the control groups allow (v2, else v1), or None where they set no limit.

    Args:
        root: where the control groups are mounted.
        group: one below it, None for this process's own; a limit of any group above it holds too.
    """
    if group is None:
        group = own_group() if root == CGROUP else "/"
    folders = [root.joinpath(*part.parts[1:]) for part in (PurePosixPath(group), *PurePosixPath(group).parents)]
    limits = [_quota(_numbers(folder / "cpu.max")) for folder in folders]
    found = [limit for limit in limits if limit is not None]
    if found:
        return min(found)
    return _quota(_numbers(root / "cpu/cpu.cfs_quota_us") + _numbers(root / "cpu/cpu.cfs_period_us"))


def _quota(limit: list[str]) -> float | None:
    if len(limit) != 2 or limit[0] in ("max", "-1"):
        return None
    try:
        return int(limit[0]) / int(limit[1])
    except (ValueError, ZeroDivisionError):  # a form of some other system
        return None


def available_threads() -> int:
    """At least 1: the smaller of the affinity mask and the control group's quota, rounded up."""
    quota = cgroup_quota()
    allowed = affinity()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def threads_each(processes: int) -> int:
    """Threads of each of so many processes that share what this one may use; at least 1."""
    return max(1, available_threads() // processes)
