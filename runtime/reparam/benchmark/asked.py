"""What was asked for by name and can be seen not to be had is refused before minutes are spent on the rest."""

import importlib.metadata
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from reparam.benchmark.opened import GROUP
from reparam.benchmark.plan import OWN_PATHS, Spec, Wish, arms_of
from reparam.benchmark.report import OPERATIONS
from reparam.bundle.manifest import PRECISIONS, Manifest
from reparam.engine.device import resolve
from reparam.engine.probe import probe
from reparam.errors import CheckpointError, DeviceUnavailable, OptionError

_DEVICE: Final = re.compile(r"cpu|cuda(:[0-9]{1,3})?")


def check(wish: Wish) -> None:
    """A wish that no machine could grant, or that this one cannot and that was made by name.

    Raises:
        OptionError: what there is nowhere, and libraries that no package gives.
        CheckpointError: no folder where the run should be.
        DeviceUnavailable: a device that was named and does not start.
    """
    _check_names(wish)
    _check_numbers(wish)
    _check_others(wish)
    _check_devices(wish.devices)


def _check_names(wish: Wish) -> None:
    for name, given, known in (
        ("--precisions", wish.precisions, PRECISIONS),
        ("--paths", wish.paths, OWN_PATHS),
        ("--operations", wish.operations, OPERATIONS),
    ):
        _refuse(name, [each for each in given if each not in known], known)
    if "auto" in wish.devices:
        raise OptionError("--devices: auto is whatever is there; name what shall be measured, such as cpu,cuda")
    _refuse("--devices", [each for each in wish.devices if not _DEVICE.fullmatch(each)], ("cpu", "cuda", "cuda:N"))


def _refuse(name: str, others: list[str], known: Iterable[str]) -> None:
    if others:
        raise OptionError(f"{name}: must be of {', '.join(known)}, got {', '.join(others)}")


def _check_numbers(wish: Wish) -> None:
    for name, given, most, told in (
        ("--batches", wish.batches, 2**20, "2^20"),
        ("--threads", wish.threads, 1024, "1024"),
    ):
        if other := [str(each) for each in given if not 1 <= each <= most]:
            raise OptionError(f"{name}: must be whole numbers from 1 to {told}, got {', '.join(other)}")
    for name, number, least in (("--seconds", wish.seconds, 1.0), ("--bound-ms", wish.bound_ms, 1e-6)):
        if number is not None and not least <= number <= 86400:
            raise OptionError(f"{name}: must be from {least:g} to 86400, got {number:g}")


def _check_others(wish: Wish) -> None:
    """Other libraries by the names that packages registered, and the run that they may read."""
    offered = sorted({entry.name for entry in importlib.metadata.entry_points(group=GROUP)} - {*OWN_PATHS})
    if other := [each for each in wish.against if each not in offered]:
        have = f"registered are {', '.join(offered)}" if offered else "none is registered; pip install 'reparam[train]'"
        raise OptionError(f"--against: no package gives the arm {', '.join(map(repr, other))}; {have}")
    if wish.against and wish.precisions and "fp32" not in wish.precisions:
        raise OptionError(f"--against: other libraries run fp32 alone, got {', '.join(wish.precisions)}; add fp32")
    if wish.run is None:
        return
    if not wish.against:
        raise OptionError("--run: is where the arms of --against take their model from; name one, such as torch")
    if not Path(wish.run).is_dir():
        raise CheckpointError(f"--run: {wish.run} is no folder; give the one that reparam train wrote")


def _check_devices(devices: Iterable[str]) -> None:
    """Starts each that was named, on a graph of one node."""
    for name in devices:
        if (reason := probe(resolve(name))) is not None:
            raise DeviceUnavailable(f"--devices: {name} was asked for and does not start: {reason}")


def check_plan(wish: Wish, manifest: Manifest, *, named: bool) -> None:
    """That a filled wish holds something which exists, on each device where devices were named, else on one of them.

    A precision that the bundle lacks, or a path that a device lacks, is merely a line of the report beside others.

    Raises:
        OptionError: nothing of it exists.
    """
    there = {spec.device for spec in arms_of(wish) if _exists(spec, manifest)}
    if there and (not named or there >= {*wish.devices}):
        return
    if not set(wish.precisions) & set(manifest.precisions):
        have, got = ", ".join(manifest.precisions), ", ".join(wish.precisions)
        raise OptionError(f"--precisions: {manifest.name} has {have}, got {got}; name one that it has")
    raise OptionError(f"--paths: {', '.join(wish.paths)} is of cards alone, got no other for cpu; add numpy")


def _exists(spec: Spec, manifest: Manifest) -> bool:
    if spec.path not in OWN_PATHS:
        return True
    return spec.precision in manifest.precisions and (spec.path, spec.device) != ("cuda-graph", "cpu")
