"""Coverage-guided fuzzing of what reads hostile bytes without onnxruntime: gate and sizes, manifest, .npy files.

Needs atheris (pip install atheris) beside the runtime:

python tests/fuzz/guided.py gate -max_total_time=600
"""

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["reparam"]):
    from reparam.bundle.gate import Promised, check_graph
    from reparam.bundle.sizes.walk import Walk
    from reparam.bundle.strict import decode_manifest
    from reparam.errors import ReparamError
    from reparam.files import npy

LIMIT = 0.5  # seconds of one input
MODELS = Path(__file__).resolve().parents[2] / "models"
NAMES = Promised(18, 9, ("x", "eps"), ("mean", "logvar", "z"))
SHAPES = {"x": (1, (2, 1, 8, 8)), "eps": (1, (2, 8))}
FOLDER = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def gate(data: bytes) -> None:
    """A graph, and the size of each of its values."""
    for strict in (True, False):
        try:
            graph = check_graph(data, NAMES, where="graph", strict=strict)
        except ReparamError:
            continue
        with contextlib.suppress(ValueError):
            Walk(graph).measure(SHAPES)


def manifest(data: bytes) -> None:
    """A manifest."""
    with contextlib.suppress(ReparamError):
        decode_manifest(data, where="manifest.json")


def array(data: bytes) -> None:
    """A .npy file, its header and its values."""
    file = FOLDER / "x.npy"
    file.write_bytes(data)
    with contextlib.suppress(ReparamError):
        np.asarray(npy.read(file)).sum()


TARGETS = {"gate": gate, "manifest": manifest, "npy": array}


def timed(data: bytes) -> None:
    """One input; what is raised but our own errors, or takes too long, ends the process with that input kept."""
    begun = time.process_time()
    TARGETS[TARGET](data)
    if (spent := time.process_time() - begun) > LIMIT:
        raise TimeoutError(f"took {spent:.2f} s of processor time")


def seeds(target: str) -> Path:
    """What coverage grows from: the files that ship."""
    place = FOLDER / "seeds"
    place.mkdir()
    kinds = {"gate": "*.onnx", "manifest": "manifest.json", "npy": "none"}
    for number, file in enumerate(sorted(MODELS.glob(f"*/{kinds[target]}"))):
        data = file.read_bytes()
        if len(data) < 100_000:
            (place / str(number)).write_bytes(data)
    if target == "npy":
        import numpy as np

        for number, values in enumerate(
            (np.zeros((3, 2), "<f4"), np.zeros(5, ">f8"), np.zeros((2, 2), "u1", order="F"))
        ):
            np.save(place / f"{number}.npy", values)
    if target == "gate":
        from reparam.testing import tiny_bundle

        for file in tiny_bundle(FOLDER / "tiny", input_shape=(1, 8, 8), latent_shape=(8,)).glob("*.onnx"):
            (place / file.name).write_bytes(file.read_bytes())
    return place


if __name__ == "__main__":
    TARGET = sys.argv[1]
    os.chdir(FOLDER)
    atheris.Setup([sys.argv[0], *sys.argv[2:], "-max_len=20000", str(seeds(TARGET))], timed)
    atheris.Fuzz()
