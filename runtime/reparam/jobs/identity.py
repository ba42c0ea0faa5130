"""What a job's rows depend on, in words: two jobs that agree in all of it write the same bytes."""

import hashlib
import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from reparam.files.part import PartFile
from reparam.files.regular import open_regular
from reparam.jobs.job import Opened

_SAMPLES: Final = 64  # pieces of an input that are hashed
_PIECE: Final = 2**16  # bytes of each

Fingerprint = dict[str, str]  # what is known of a file, by its name in words


def identity_of(opened: Opened, parts: Sequence[PartFile], inputs: Mapping[str, Fingerprint]) -> dict[str, str]:
    """A job's identity. Threads and workers are no part of it: they change no row.

    Args:
        opened: the job, on the device that it really runs on, its bundle's sha256 known.
        parts: its files.
        inputs: the fingerprints of its inputs, by their names.
    """
    job, info = opened.job, opened.vae.info()
    found = {
        "command": job.op,
        "bundle (sha256 of its manifest)": job.expect_sha256 or "",
        "number of rows": str(opened.rows),
    }
    for name, facts in inputs.items():
        found |= {f"{label} of {name}": value for label, value in facts.items()}
    found |= {
        "seed": str(job.seed),
        "first row": str(job.first_row),
        "size": str(job.size),
        "--max-batch": str(job.max_batch),
        "device": info.device,
        "precision": info.precision,
        "onnxruntime": info.onnxruntime,
        "reparam": importlib.metadata.version("reparam"),
        "choice of results": ", ".join(job.outs),
    }
    beside = parts[0].place.parent
    for number, part in enumerate(parts[1:], 2):
        found[f"place of result {number}"] = os.path.relpath(part.place, beside)
    return found


def fingerprint(path: Path) -> Fingerprint:
    """Size, time of modification, and the sha256 of 64 pieces of 64 KiB, evenly spaced, the first and last among them.

    The whole of a file up to 4 MiB is hashed. Of a larger one, a change that keeps its size and its time and misses
    every piece is not seen.
    """
    with open_regular(path) as file:
        facts = os.fstat(file.fileno())
        digest = hashlib.sha256()
        for piece in range(_SAMPLES):
            if facts.st_size <= _SAMPLES * _PIECE:
                file.seek(piece * _PIECE)
            else:
                file.seek((facts.st_size - _PIECE) * piece // (_SAMPLES - 1))
            digest.update(file.read(_PIECE))
    return {
        "size in bytes": str(facts.st_size),
        "time of modification": str(facts.st_mtime_ns),
        "sha256 of samples": digest.hexdigest(),
    }
