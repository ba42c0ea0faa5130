"""What may be wrong with a training run, when it is begun, gone on with, or read."""

import atexit
import contextlib
import functools
import hashlib
import io
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from catalogue.row import Place, Row

# the smallest run: four steps
SMALL = "--epochs 2 --limit 64 --batch-size 32 --net mlp --hidden 8 --latent 2 --threads 1 --device cpu --no-preflight"
TRAIN = f"reparam train digits --out AT/run {SMALL}"
RESUME = "reparam train digits --out AT/run --resume"
EVALUATE = "reparam evaluate AT/run digits --device cpu"


@functools.cache
def finished() -> Path:
    """A run of two epochs, made once."""
    from reparam_train.data import load
    from reparam_train.loop import fit
    from reparam_train.options import Options, config_for

    digits = load("digits")
    config = config_for(digits, net="mlp", hidden=(8,), latent=2)
    made = tempfile.mkdtemp(prefix="reparam-catalogue-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    folder = Path(made) / "run"
    fit(
        digits,
        config,
        Options(epochs=2, validate_every=1, limit=64, batch_size=32, threads=1, device="cpu"),
        out=folder,
    )
    return folder


def run(place: Place) -> Path:
    """That run in the folder of a row."""
    shutil.copytree(finished(), place.at / "run")
    return place.at / "run"


def changed(*changes: tuple[str, Callable[[bytes], bytes]]) -> object:
    def make(place: Place) -> None:
        folder = run(place)
        for name, change in changes:
            (folder / name).write_bytes(change((folder / name).read_bytes()))

    return make


def removed(*names: str) -> object:
    def make(place: Place) -> None:
        folder = run(place)
        for name in names:
            (folder / name).unlink()

    return make


def piped(name: str) -> object:
    def make(place: Place) -> None:
        removed(name)(place)  # type: ignore[operator]
        os.mkfifo(place.at / "run" / name)

    return make


def rehashed(payload: Callable[[], bytes]) -> object:
    """A checkpoint of somebody else's bytes, with a hash that matches."""

    def make(place: Place) -> None:
        folder, data = run(place), payload()
        (folder / "checkpoint.pt").write_bytes(data)
        (folder / "checkpoint.pt.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  checkpoint.pt\n")

    return make


def saved(value: Any) -> Callable[[], bytes]:
    def payload() -> bytes:
        import torch

        buffer = io.BytesIO()
        torch.save(value, buffer)
        return buffer.getvalue()

    return payload


class Code:
    """A pickle that would run something."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@contextlib.contextmanager
def terminated(_: Place) -> Iterator[None]:
    """SIGTERM comes in the third step."""
    from reparam_train import step

    real, calls = step.take, [0]

    def take(*arguments: Any, **options: Any) -> None:
        calls[0] += 1
        if calls[0] == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        real(*arguments, **options)

    with mock.patch.object(step, "take", take):
        yield


def _row(key: str, fault: str, way: str, message: str, make: object, code: int = 3, **more: Any) -> Row:
    return Row(key=f"run-{key}", fault=fault, way=way, message=message, code=code, make=make, **more)  # type: ignore[arg-type]


ROWS = [
    _row(
        "nowhere",
        "no run to go on with",
        RESUME,
        "AT/run: not a training run (run.json: No such file or directory); make one with `reparam train`",
        lambda _: None,
    ),
    _row(
        "exists",
        "a new run in a folder that holds one",
        TRAIN,
        "out: AT/run exists already; continue it with --resume, or choose another --out",
        run,
        2,
    ),
    _row(
        "record",
        "a run.json that is no JSON",
        RESUME,
        "AT/run/run.json: not a valid record (<reason>); restore the file or train again",
        changed(("run.json", lambda _: b"{")),
    ),
    _row(
        "record-key",
        "a run.json with a key that the format does not have",
        RESUME,
        "AT/run/run.json: not a valid record (Object contains unknown field `colour`); restore the file or train again",
        changed(("run.json", lambda data: data.replace(b'"data":', b'"colour": 1, "data":', 1))),
    ),
    _row(
        "record-format",
        "a run of a format that is to come",
        RESUME,
        "AT/run/run.json: unknown format 'reparam-run/9', this version reads reparam-run/1; update reparam",
        changed(("run.json", lambda data: data.replace(b"reparam-run/1", b"reparam-run/9"))),
    ),
    _row(
        "record-pipe",
        "a pipe in place of run.json",
        RESUME,
        "AT/run: not a training run (run.json: not a regular file); make one with `reparam train`",
        piped("run.json"),
    ),
    _row(
        "damaged",
        "both checkpoints damaged",
        EVALUATE,
        "AT/run/checkpoint.pt: damaged, its sha256 differs, and so is checkpoint.previous.pt; train again",
        changed(("checkpoint.pt", flipped), ("checkpoint.previous.pt", flipped)),
    ),
    _row(
        "none",
        "a run without a checkpoint yet",
        EVALUATE,
        "AT/run: no checkpoint yet, the run ended before its first validation; continue it with --resume",
        removed("checkpoint.pt", "checkpoint.previous.pt"),
    ),
    _row(
        "pickle",
        "a checkpoint, rightly hashed, that would run code",
        EVALUATE,
        "AT/run/checkpoint.pt: not a checkpoint of this program (<reason>); train again",
        rehashed(saved(Code())),
    ),
    _row(
        "other-file",
        "a checkpoint, rightly hashed, that is something else",
        EVALUATE,
        "AT/run/checkpoint.pt: not a checkpoint of this program (<reason>); train again",
        rehashed(lambda: b"weights"),
    ),
    _row(
        "other-format",
        "a checkpoint of a format that is to come",
        EVALUATE,
        "AT/run/checkpoint.pt: unknown format, this version reads 1; update reparam",
        rehashed(saved({"format": 9})),
    ),
    _row(
        "weights",
        "weights of another model",
        EVALUATE,
        "AT/run: the weights do not fit the model of run.json (<reason>)",
        changed(("run.json", lambda data: data.replace(b'"latent": 2', b'"latent": 3'))),
    ),
    _row(
        "metrics",
        "metrics that are no JSON lines",
        f"{RESUME} --epochs 3",
        "AT/run/metrics.jsonl: not JSON lines (<reason>); move the file away",
        changed(("metrics.jsonl", lambda _: b"elbo 3\n")),
    ),
    _row(
        "other-option",
        "a resume with another option",
        f"{RESUME} --lr 0.5",
        "lr: AT/run was started with 0.002, got 0.5; leave it, or use another --out",
        run,
        2,
    ),
    _row(
        "other-rows",
        "a resume with other rows",
        f"{RESUME} --limit 63",
        "limit: AT/run was started with 64, got 63; leave it, or use another --out",
        run,
        2,
    ),
    _row(
        "epochs",
        "a resume with fewer epochs than are done",
        f"{RESUME} --epochs 1",
        "epochs: AT/run has begun epoch 2, got 1; give more",
        run,
        2,
    ),
    _row(
        "diverged",
        "a loss that becomes infinite",
        f"{TRAIN} --lr 1e30",
        "<what>: must <reason>; <advice>",
        lambda _: None,
        6,
        leaves=("run", "run/run.json"),
    ),
    _row(
        "terminate",
        "SIGTERM in the middle of an epoch",
        TRAIN,
        "AT/run: stopped by SIGTERM after 3 steps; a checkpoint is there; go on with: reparam train digits --out "
        "<run> --resume",
        lambda _: None,
        143,
        during=terminated,
        leaves=("run", "run/run.json", "run/checkpoint.pt", "run/checkpoint.pt.sha256"),
    ),
    _row(
        "pin",
        "a pin of a run, which is no bundle",
        f"{EVALUATE} --expect-sha256 {'0' * 64}",
        "--expect-sha256: pins a bundle, and AT/run is none; leave it out",
        run,
        2,
    ),
]
