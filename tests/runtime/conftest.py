"""What the runtime's tests share: the bundle that ships, tiny bundles made by hand, the command, fresh processes.

Nothing here needs torch or onnx. Helpers are fixtures, because pytest's importlib mode gives no module names to import.
"""

import dataclasses
import functools
import hashlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import reparam
from reparam.cli.main import main
from reparam.testing import messages, tiny_bundle

settings.register_profile("reparam", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("reparam")

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"


class Onnx:
    """Graphs of the tests' tiny bundles, and the messages that they are made of."""

    varint = staticmethod(messages.varint)
    field = staticmethod(messages.field)
    message = staticmethod(messages.message)
    value = staticmethod(messages.value)
    node = staticmethod(messages.node)
    integers = staticmethod(messages.integers)
    graph = staticmethod(messages.graph)
    model = staticmethod(messages.model)

    @classmethod
    def encoder(cls, *nodes: bytes, width: int = 2, **options: Any) -> bytes:
        """By default mean = x, logvar = 0, z = x + eps; nodes given take the place of these."""
        usual = [cls.node("Identity", "x", "mean"), cls.node("Sub", "x x", "logvar"), cls.node("Add", "mean eps", "z")]
        inputs = [cls.value(name, "batch", width) for name in ("x", "eps")]
        outputs = [cls.value(name, "batch", width) for name in ("mean", "logvar", "z")]
        return cls.model(cls.graph(list(nodes) or usual, inputs, outputs), **options)

    @classmethod
    def decoder(cls, *nodes: bytes, initializers: tuple[bytes, ...] = ()) -> bytes:
        """By default x_hat = z."""
        value = cls.value("z", "batch", 2), cls.value("x_hat", "batch", 2)
        more = [(5, tensor) for tensor in initializers]
        return cls.model(cls.graph(list(nodes) or [cls.node("Identity", "z", "x_hat")], [value[0]], [value[1]], *more))


def rehash(folder: Path, **changes: Any) -> Path:
    """Brings the sizes and hashes in a manifest in line with its files, and changes top-level entries."""
    manifest = json.loads((folder / "manifest.json").read_bytes()) | changes
    for entry in [*manifest["graphs"], manifest["golden"]]:
        data = (folder / entry["file"]).read_bytes()
        entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_tiny(
    folder: Path, *, encoder: bytes | None = None, decoder: bytes | None = None, golden: bytes = b"none", **changes: Any
) -> Path:
    """A bundle of hand-made graphs, x and z both [2], written into a folder that may exist."""
    folder.mkdir(exist_ok=True)
    (folder / "encoder.onnx").write_bytes(Onnx.encoder() if encoder is None else encoder)
    (folder / "decoder.onnx").write_bytes(Onnx.decoder() if decoder is None else decoder)
    (folder / "golden.npz").write_bytes(golden)
    graph = {"precision": "fp32", "opset": 18, "ir_version": 9, "bytes": 1, "sha256": ""}
    manifest = {
        "name": "tiny",
        "id": "0" * 32,
        "deterministic": False,
        "input": {"shape": [2], "layout": "features"},
        "latent": {"shape": [2]},
        "likelihood": {"kind": "gaussian", "std": 1.0},
        "graphs": [graph | {"role": role, "file": f"{role}.onnx"} for role in ("encoder", "decoder")],
        "golden": {"file": "golden.npz", "bytes": 1, "sha256": "", "source": "onnx", "batches": [1]},
        "verification": [],
        "versions": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return rehash(folder, **changes)


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command or process ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def onnx() -> type[Onnx]:
    return Onnx


@pytest.fixture(scope="session")
def bundle() -> Path:
    return DIGITS


@pytest.fixture(scope="session")
def load_at(bundle: Path) -> Callable[..., reparam.VAE]:
    """The bundle loaded with other options, once for each."""

    @functools.cache
    def load(max_batch: int = 256, threads: int = 1) -> reparam.VAE:
        return reparam.load(bundle, device="cpu", threads=threads, max_batch=max_batch)

    return load


@pytest.fixture(scope="session")
def vae(load_at: Callable[..., reparam.VAE]) -> reparam.VAE:
    return load_at()


@pytest.fixture(scope="session")
def rows_of(vae: reparam.VAE) -> Callable[[int], Any]:
    """The first n rows of one data set in the model's range of values."""
    limits = vae.manifest.input
    low, high = limits.low or 0.0, 1.0 if limits.high is None else limits.high
    every = np.random.default_rng(0).uniform(low, high, (1000, *limits.shape)).astype(np.float32)
    return lambda n: every[:n].copy()


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to be damaged."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for file in bundle.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A new empty folder at each call, for tests that run a body many times."""
    return lambda: tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session", name="rehash")
def rehash_fixture() -> Callable[..., Path]:
    return rehash


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Path]:
    return write_tiny


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """The command in this process; what it does not expect comes out as the exception it is."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["reparam", *map(str, arguments)])
        monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # else click names pytest in its hints
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        seen = capsys.readouterr()
        return Ended(int(stop.value.code or 0), seen.out, seen.err)

    return run


@pytest.fixture
def with_variant(tmp_path: Path, rehash: Callable[..., Path]) -> Callable[[int], Path]:
    """A bundle whose fp16 graphs are those of another seed: the same weights, or others, in files with right hashes."""

    def make(seed: int) -> Path:
        folder, other = tiny_bundle(tmp_path / "b", seed=0), tiny_bundle(tmp_path / "other", seed=seed)
        manifest = json.loads((folder / "manifest.json").read_bytes())
        for entry in list(manifest["graphs"]):
            file = f"{entry['role']}.fp16.onnx"
            (folder / file).write_bytes((other / f"{entry['role']}.onnx").read_bytes())
            manifest["graphs"].append(entry | {"file": file, "precision": "fp16"})
        return rehash(folder, graphs=manifest["graphs"])

    return make


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[..., Ended]:
    """Python code in a process of its own, away from the repository."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}

    def run(code: str, *arguments: object) -> Ended:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        return Ended(done.returncode, done.stdout, done.stderr)

    return run
