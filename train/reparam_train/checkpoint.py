"""Checkpoints of a run: the weights, the optimiser and the step, each file with its sha256 beside it.

A run folder holds run.json (see record.py), checkpoint.pt and checkpoint.previous.pt, each with a .sha256, and the
validations as metrics.jsonl and metrics.csv. A save first copies the last good checkpoint to checkpoint.previous.pt
with its hash, and only then replaces checkpoint.pt, so a kill at any moment leaves at least one file that matches its
hash.
"""

import hashlib
import io
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import torch

from reparam.errors import CheckpointError
from reparam.files.atomic import write_bytes
from reparam.files.regular import read_regular
from reparam_train import record
from reparam_train.model import VAE
from reparam_train.record import RunRecord

CURRENT: Final = "checkpoint.pt"
PREVIOUS: Final = "checkpoint.previous.pt"
METRICS: Final = "metrics.jsonl"
TABLE: Final = "metrics.csv"
FORMAT: Final = 1
_MOST_METRICS: Final = 2**28  # bytes: a line of 200 for each of a million validations


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a checkpoint file holds."""

    format: int = FORMAT
    model: dict[str, Any]
    """state_dict of the model."""
    optimizer: dict[str, Any]
    """state_dict of the optimiser."""
    epoch: int
    """Epochs that are done."""
    step: int
    """Steps that are done, over the whole run; step - epoch * steps an epoch is the place within the epoch."""
    metrics: dict[str, float]
    """Of the last validation, with its epoch and step; empty before the first."""
    losses: float = 0.0
    """Sum of the losses over the rows of this epoch so far, nats."""
    best: float | None = None
    """The best score of a validation so far: the test ELBO, or minus the distortion where there is none."""
    stale: int = 0
    """Validations since then."""


class _Head(msgspec.Struct):
    """The one key that every format has."""

    format: int


@dataclass(frozen=True)
class Run:
    """A training run that was read back."""

    model: VAE
    """In eval mode, on the CPU."""
    record: RunRecord
    metrics: dict[str, float]
    """Of these weights, in nats per row: test_elbo, test_rate, test_distortion (alone for a plain autoencoder); and
    epoch and step. Epoch and step alone where the run stopped between two validations."""


def read_run(path: Path) -> Run:
    """The model of a run folder, with its record and the metrics of its validation.

    Args:
        path: the folder that `reparam train --out` wrote.

    Returns:
        The run; where checkpoint.pt is damaged, that of checkpoint.previous.pt, with a Python warning.

    Raises:
        CheckpointError: no run there, no checkpoint yet, no good checkpoint left, or an unknown format.
        OptionError: the net is someone's own, and cannot be imported here. Nothing else in a run is code.
    """
    path = Path(path)
    found = record.read(path)
    state = read_state(path)
    if state is None:
        raise CheckpointError(
            f"{path}: no checkpoint yet, the run ended before its first validation; continue it with --resume"
        )
    model = VAE.build(found.config, seed=0)  # leaves torch's global generator alone; the weights are replaced
    load_model(path, model, state)
    metrics = state.metrics
    if metrics.get("step") != state.step:  # those of older weights
        metrics = {"epoch": float(state.epoch), "step": float(state.step)}
    return Run(model.eval(), found, metrics)


def load_model(path: Path, model: VAE, state: State) -> None:
    """Puts a checkpoint's weights into a model; `CheckpointError` where they are another model's."""
    try:
        model.load_state_dict(state.model)
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path}: the weights do not fit the model of {record.FILE} ({reason})") from None


def read_state(path: Path) -> State | None:
    """The last good checkpoint of a run folder, on the CPU, or None where there is none yet.

    Raises:
        CheckpointError: neither file matches its sha256, or an unknown format.
    """
    if not (path / CURRENT).exists() and not (path / PREVIOUS).exists():
        return None
    data = good_bytes(path / CURRENT)
    if data is None:
        data = good_bytes(path / PREVIOUS)
        if data is None:
            raise CheckpointError(f"{path / CURRENT}: damaged, its sha256 differs, and so is {PREVIOUS}; train again")
        warnings.warn(
            f"{path / CURRENT}: damaged, or a save was cut short: its sha256 differs; {PREVIOUS} is used", stacklevel=3
        )
    try:
        payload: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if msgspec.convert(payload, _Head).format != FORMAT:
            raise CheckpointError(f"{path / CURRENT}: unknown format, this version reads {FORMAT}; update reparam")
        return msgspec.convert(payload, State)
    except (pickle.UnpicklingError, RuntimeError, EOFError, msgspec.ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path / CURRENT}: not a checkpoint of this program ({reason}); train again") from None


def good_bytes(file: Path) -> bytes | None:
    """The file's bytes where they match the sha256 beside it, else None. These bytes are the ones that get loaded."""
    try:
        data = read_regular(file)
        expected = read_regular(_hash_file(file), most=record.MOST).decode("ascii").split()[0]
    except (OSError, ValueError, IndexError):
        return None
    return data if hashlib.sha256(data).hexdigest() == expected else None


def save(path: Path, state: State) -> None:
    """Writes a checkpoint and its line of the metrics, keeping the last good one; `OutputError` where that fails."""
    last = good_bytes(path / CURRENT)
    if last is not None:  # a damaged file never replaces a good one
        _write_hashed(path / PREVIOUS, last)
    buffer = io.BytesIO()
    torch.save({name: getattr(state, name) for name in state.__struct_fields__}, buffer)
    _write_hashed(path / CURRENT, buffer.getvalue())
    write_metrics(path, state)


def write_metrics(path: Path, state: State) -> None:
    """The validations up to this state, once more where a kill came between a checkpoint and its line."""
    if not state.metrics:
        return
    last_step = state.metrics.get("step", state.step)
    lines = [line for line in _metrics(path) if line.get("step", 0) < last_step]  # a fallback forgets later ones
    _write_metrics(path, [*lines, state.metrics])


def _write_metrics(path: Path, lines: list[dict[str, float]]) -> None:
    """The validations as JSON lines, and as a table for spreadsheets."""
    write_bytes(path / METRICS, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    names = list(dict.fromkeys(name for line in lines for name in line))
    rows = [names, *([repr(line[name]) if name in line else "" for name in names] for line in lines)]
    write_bytes(path / TABLE, "".join(",".join(row) + "\n" for row in rows).encode("ascii"))


def _write_hashed(file: Path, data: bytes) -> None:
    """Writes a hash, as `sha256sum -c` reads it, and then its file: a first save that is cut short leaves no file."""
    write_bytes(_hash_file(file), f"{hashlib.sha256(data).hexdigest()}  {file.name}\n".encode("ascii"))
    write_bytes(file, data)


def _hash_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _metrics(path: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl; none where it is not there."""
    try:
        data = read_regular(path / METRICS, most=_MOST_METRICS)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path / METRICS}: cannot be read ({reason}); check the disk") from None
    try:
        return [msgspec.json.decode(line, type=dict[str, float]) for line in data.splitlines()]
    except msgspec.DecodeError as error:
        raise CheckpointError(f"{path / METRICS}: not JSON lines ({error}); move the file away") from None
