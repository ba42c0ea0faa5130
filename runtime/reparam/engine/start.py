"""From a bundle's folder and options to running sessions: what `load` does, and a child after fork once more."""

import dataclasses
import os

from reparam.bundle.manifest import PRECISIONS, Manifest, Precision
from reparam.bundle.reader import read_bundle
from reparam.engine.device import Device, resolve
from reparam.engine.instructions import has_int8
from reparam.engine.memory import Budget
from reparam.engine.options import LoadOptions
from reparam.engine.pair import start_pair
from reparam.engine.rows import Rows
from reparam.errors import OptionError
from reparam.integers import whole

PREFERENCES = ("accuracy", "speed")


def start(path: str | os.PathLike[str], options: LoadOptions) -> tuple[LoadOptions, Rows]:
    """Reads a bundle and creates its sessions.

    Returns:
        The options, pinned to the manifest that was read, so that a pickle means these very bytes; and the sessions.

    Raises:
        What `reparam.load` raises.
    """
    max_batch = whole("max_batch", options.max_batch, low=1, high=2**20)
    if options.precision not in ("auto", *PRECISIONS):
        raise OptionError(f"precision: must be auto, {', '.join(PRECISIONS)}, got {options.precision!r}")
    if options.prefer not in PREFERENCES:
        raise OptionError(f"prefer: must be accuracy or speed, got {options.prefer!r}")
    budget = options.memory_budget
    if budget is not None:
        budget = whole("memory_budget", budget, low=1, high=2**63 - 1)
    pin, device = options.expect_sha256, options.device
    precision: Precision = "fp32" if options.precision == "auto" else options.precision
    if options.precision == "auto" and options.prefer == "speed":
        known = read_bundle(
            path, precisions=(), expect_sha256=pin, follow_links=options.follow_links, trust=options.trust
        )
        chosen, pin = resolve(device), known.sha256
        precision, device = fastest(known.manifest, chosen), str(chosen)
    bundle = read_bundle(
        path, precisions=(precision,), expect_sha256=pin, follow_links=options.follow_links, trust=options.trust
    )
    memory = Budget(max_batch, budget)
    pair = start_pair(
        bundle, device=device, precision=precision, threads=options.threads, memory=memory, tf32=options.tf32
    )
    return dataclasses.replace(options, expect_sha256=bundle.sha256), Rows(pair, max_batch=max_batch)


def fastest(manifest: Manifest, device: Device) -> Precision:
    """The precision that `prefer="speed"` means for a bundle on a device here."""
    wanted: Precision = "fp16" if device.kind != "cpu" else "int8"
    held = wanted in manifest.precisions
    return wanted if held and (wanted == "fp16" or has_int8()) else "fp32"
