"""What ran where: bundle, versions, processor, quota, load and cards, as the report states them."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from reparam.benchmark import nvml
from reparam.benchmark.report import Cost, Machine, Subject
from reparam.bundle.reader import Bundle
from reparam.engine.instructions import has_int8
from reparam.engine.threads import affinity, cgroup_quota
from reparam.engine.wheel import installed_wheels

_PACKAGES: Final = ("reparam", "numpy")
_CPUINFO: Final = Path("/proc/cpuinfo")
Load = tuple[float, float, float]


def subject_of(bundle: Bundle) -> Subject:
    """The bundle, by what pins it."""
    manifest = bundle.manifest
    costs = tuple(
        Cost(
            precision=each.precision,
            rows=each.rows,
            negative_elbo_fp32=each.negative_elbo_fp32,
            negative_elbo=each.negative_elbo,
        )
        for each in manifest.variants
        if each.negative_elbo is not None and each.negative_elbo_fp32 is not None
    )
    return Subject(
        name=manifest.name,
        id=manifest.id,
        manifest_sha256=bundle.sha256,
        input=manifest.input.shape,
        latent=manifest.latent.shape,
        likelihood=None if manifest.likelihood is None else type(manifest.likelihood).__name__.lower(),
        precisions=manifest.precisions,
        costs=costs,
    )


def versions_of(others: tuple[str, ...]) -> dict[str, str]:
    """Of Python, of what runs a bundle, and of other packages by name, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in (*_PACKAGES, *others):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | installed_wheels()


def load_average() -> Load | None:
    """Processes that ran or waited to, over 1, 5 and 15 minutes; None where the system does not tell."""
    try:
        return os.getloadavg()
    except (AttributeError, OSError):
        return None


def machine(before: Load | None) -> Machine:
    """This machine; `before` is the load average of when the benchmark began."""
    cards, unseen = nvml.cards()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=processor(),
        cores=os.cpu_count() or 1,
        affinity=affinity(),
        quota=cgroup_quota(),
        int8_instructions=has_int8(),
        memory_bytes=_memory(),
        load_before=before,
        load_after=load_average(),
        cards=cards,
        cards_unseen=unseen,
    )


def processor() -> str:
    """The processor's model, as the system names it."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
