"""Every way to a model leads through the gate: where it refuses, nothing runs, and onnxruntime sees no byte."""

import copy
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import reparam
from reparam.bundle import gate
from reparam.errors import BundleError

Cli = Callable[..., Any]
REFUSED = "refused: by this test"


@pytest.fixture
def files(tmp_path: Path, bundle: Path) -> dict[str, Path]:
    """Rows and latents that the bundle takes."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    for name, part in (("x", "input"), ("z", "latent")):
        np.save(tmp_path / f"{name}.npy", np.zeros((3, *manifest[part]["shape"]), np.float32))
    return {name: tmp_path / f"{name}.npy" for name in ("x", "z")}


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """The gate refuses every graph; gives the sessions that were made all the same, which must be none."""
    import onnxruntime

    made: list[object] = []

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("by this test")

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            made.append(arguments)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(gate, "_read_model", refuse)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    yield made
    assert made == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"device": "cpu"},
        {"precision": "fp32"},
        {"prefer": "speed", "device": "cpu"},
        {"trust": "exporter"},
        {"follow_links": True},
        {"memory_budget": 2**40},
        {"max_batch": 1, "threads": 1},
    ],
)
@pytest.mark.usefixtures("shut")
def test_load_fails_with_any_options(bundle: Path, options: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=REFUSED):
        reparam.load(bundle, **options)


@pytest.mark.usefixtures("shut")
def test_verify_fails(bundle: Path) -> None:
    for trust in ("strict", "exporter"):
        with pytest.raises(BundleError, match=REFUSED):
            reparam.verify(bundle, device="cpu", trust=trust)  # type: ignore[arg-type]


@pytest.mark.usefixtures("shut")
def test_a_tiny_bundle_fails_too(tmp_path: Path) -> None:
    from reparam.testing import tiny_bundle

    with pytest.raises(BundleError, match=REFUSED):
        reparam.load(tiny_bundle(tmp_path / "tiny"), device="cpu")


def test_copies_and_pickles_of_a_model_fail(bundle: Path, request: pytest.FixtureRequest) -> None:
    vae = reparam.load(bundle, device="cpu")
    recipe = pickle.dumps(vae)
    request.getfixturevalue("shut")
    for way in (lambda: pickle.loads(recipe), lambda: copy.copy(vae), lambda: copy.deepcopy(vae)):
        with pytest.raises(BundleError, match=REFUSED):
            way()
    assert vae.generate(1, seed=0).shape[0] == 1  # what was past the gate before goes on


@pytest.mark.skipif(sys.platform != "linux", reason="fork is Linux's")
@pytest.mark.parametrize("way", ["encode", "generate", "pinned", "device_arrays", "stream", "batcher"])
def test_a_child_after_fork_fails(bundle: Path, request: pytest.FixtureRequest, way: str) -> None:
    if way == "device_arrays" and not hasattr(onnxruntime.OrtValue, "from_dlpack"):
        pytest.skip("this onnxruntime has no OrtValue.from_dlpack")
    vae = reparam.load(bundle, device="cpu", threads=1)
    x = np.zeros((1, *vae.manifest.input.shape), np.float32)
    request.getfixturevalue("shut")
    here, there = os.pipe()
    child = os.fork()
    if not child:
        try:
            _use(vae, way, x)
            told = b"it ran"
        except BaseException as error:
            told = f"{type(error).__name__}: {error}".encode()
        os.write(there, told)
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    assert REFUSED in told


def _use(vae: reparam.VAE, way: str, x: Any) -> None:
    match way:
        case "encode":
            vae.encode(x)
        case "generate":
            vae.generate(1, seed=0)
        case "pinned":
            with vae.pinned(1) as fast:
                fast.encode(x)
        case "device_arrays":
            vae.device_arrays().encode(x)
        case "stream":
            list(vae.stream(x, op="reconstruct"))
        case _:
            with reparam.Batcher(vae) as batcher:
                batcher.encode(x)


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "BUNDLE", "X", "--mean", "OUT"),
        ("encode", "BUNDLE", "X", "--mean", "OUT", "--workers", "2"),
        ("sample", "BUNDLE", "X", "--seed", "1", "--out", "OUT"),
        ("decode", "BUNDLE", "Z", "--out", "OUT"),
        ("reconstruct", "BUNDLE", "X", "--out", "OUT"),
        ("generate", "BUNDLE", "3", "--seed", "1", "--out", "OUT"),
        ("info", "BUNDLE"),
        ("verify", "BUNDLE"),
        ("encode", "BUNDLE", "X", "--mean", "OUT", "--trust", "exporter"),
        ("verify", "BUNDLE", "--trust", "exporter"),
    ],
)
@pytest.mark.usefixtures("shut")
def test_every_command_over_a_bundle_fails(
    cli: Cli, bundle: Path, files: dict[str, Path], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    places = {"BUNDLE": bundle, "X": files["x"], "Z": files["z"], "OUT": tmp_path / "out.npy"}
    ended = cli(*(places.get(word, word) for word in arguments))
    assert ended.code == 3
    assert REFUSED in ended.err
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.usefixtures("shut")
def test_doctor_starts_no_device(cli: Cli) -> None:
    assert REFUSED in cli("doctor").out


def test_no_public_name_is_forgotten_here() -> None:
    """A new public name is a way to a model, and has its test above, or it is none; say which."""
    ways = {"VAE", "load", "verify"}
    of_a_model = {"Batcher", "DeviceArrays", "Pinned"}
    none = {"BatcherStats", "Evaluation", "GaussianMixture", "Info", "Placement", "Posterior"}
    none |= {"errors", "noise", "p_values"}
    assert set(reparam.__all__) == ways | of_a_model | none
