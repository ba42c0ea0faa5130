"""All rows by the folder of tests that runs them: what the runtime alone can do, and what train and export bring."""

from catalogue import (
    arrays,
    checkpoints,
    devices,
    disks,
    exports,
    files,
    graphs,
    manifests,
    npy,
    options,
    signals,
    sources,
)
from catalogue.row import Row

RUNTIME: list[Row] = [
    row for group in (manifests, files, graphs, npy, arrays, devices, disks, signals, options) for row in group.ROWS
]
TRAIN: list[Row] = [*sources.ROWS, *checkpoints.ROWS]
EXPORT: list[Row] = [*exports.ROWS]
ALL: dict[str, list[Row]] = {"runtime": RUNTIME, "train": TRAIN, "export": EXPORT}
