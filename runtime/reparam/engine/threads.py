"""How many threads this process may really use: affinity and the container's quota, not the machine's cores."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


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


def cgroup_quota(root: Path = _CGROUP) -> float | None:
    """Processors' worth of time that the control group allows (v2, then v1), or None where it sets no limit."""
    limit = _numbers(root / "cpu.max")
    if len(limit) != 2:
        limit = _numbers(root / "cpu/cpu.cfs_quota_us") + _numbers(root / "cpu/cpu.cfs_period_us")
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
