"""Exported files run on onnxruntime 1.18, the oldest that they promise, and give there what they give on the newest.

onnxruntime 1.18 needs numpy 1, so it lives in an environment of its own, which `make test-onnxruntime-118` builds.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import reparam_export
from reparam.bundle.golden import decode_golden
from reparam.bundle.manifest import Manifest
from reparam.bundle.reader import Bundle, read_bundle
from reparam.engine.device import Device
from reparam.engine.instructions import has_int8
from reparam.engine.pair import Pair
from reparam.verification import BOUNDS, compare
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

ROOT = Path(__file__).resolve().parents[2]
OLD = Path(os.environ.get("REPARAM_ONNXRUNTIME_118", ROOT / ".venv-ort118" / "bin" / "python"))
SCRIPT = Path(__file__).with_name("golden_outputs.py")
BUNDLES = ["digits", "mnist", "conv", "spatial", "imported", "smaller"]
Outputs = dict[str, npt.NDArray[Any]]

pytestmark = pytest.mark.skipif(
    not OLD.exists(), reason="no environment with onnxruntime 1.18; `make test-onnxruntime-118` builds one"
)


@pytest.fixture(scope="module")
def places(bundles: dict[str, tuple[VAE, Path]], tmp_path_factory: pytest.TempPathFactory, peers: Any) -> list[Path]:
    """The bundles that ship, a convolutional one, one with open sides and attention, an imported one, and variants."""
    folder = tmp_path_factory.mktemp("old")
    config = VAEConfig(net="resnet", input_shape=(3, 8, 8), latent=2, hidden=(4, 8), blocks=1, attention=True)
    reparam_export.export(VAE.build(config, seed=3), folder / "spatial")
    small = VAEConfig(net="conv", input_shape=(3, 16, 16), latent=5, hidden=(16, 32))
    x = np.random.default_rng(3).random((32, 3, 16, 16), np.float32)
    precisions = ("fp32", "fp16", "int8") if has_int8() else ("fp32", "fp16")
    model = VAE.build(small, seed=7)
    reparam_export.export(model, folder / "smaller", precision=precisions, calibrate=x, keep_slower=True)
    reparam_export.import_optimum(peers(folder / "peer").write(), folder / "imported")
    shipped = [ROOT / "models" / name for name in BUNDLES[:2]]
    return [*shipped, bundles["conv-gaussian-scaled"][1], folder / "spatial", folder / "imported", folder / "smaller"]


def run(python: Path | str, places: list[Path], out: Path) -> tuple[str, Outputs]:
    """The version of onnxruntime there, and the outputs that it gives."""
    words = [python, SCRIPT, out, *places]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(out) as found:
        return done.stdout.strip(), dict(found)


@pytest.fixture(scope="module")
def old(places: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """What onnxruntime 1.18 gives."""
    version, found = run(OLD, places, tmp_path_factory.mktemp("old") / "outputs.npz")
    assert version.startswith("1.18.")
    return found


@pytest.fixture(scope="module")
def new(places: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """What the onnxruntime gives that is installed here."""
    version, found = run(sys.executable, places, tmp_path_factory.mktemp("new") / "outputs.npz")
    assert tuple(map(int, version.split(".")[:2])) > (1, 18)
    return found


class Recorded:
    """A graph that gives for one case what another process gave."""

    provider = "CPUExecutionProvider"

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs

    def run(self, names: list[str], feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        assert feeds
        return [self.outputs[name] for name in names]


def read(place: Path) -> tuple[Bundle, Manifest]:
    bundle = read_bundle(place, golden=True)
    return bundle, bundle.manifest


@pytest.mark.parametrize("number", range(len(BUNDLES)), ids=BUNDLES)
def test_fp32_on_both_agrees_to_a_hundred_thousandth(
    places: list[Path], old: Outputs, new: Outputs, number: int
) -> None:
    found = [name for name in old if name.startswith(f"{number}/fp32/")]
    manifest = read(places[number])[1]
    cases = len(manifest.golden.batches) * len(manifest.golden.sizes or (None,))
    assert len(found) == cases * (len(manifest.encoder_outputs) + len(manifest.decoder_outputs))
    for name in found:
        np.testing.assert_allclose(old[name], new[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("which", ["old", "new"])
@pytest.mark.parametrize("number", range(len(BUNDLES)), ids=BUNDLES)
def test_every_precision_stays_on_both_within_its_manifests_bound(
    request: pytest.FixtureRequest, places: list[Path], number: int, which: str
) -> None:
    outputs: Outputs = request.getfixturevalue(which)
    bundle, manifest = read(places[number])
    golden = decode_golden(bundle.files[manifest.golden.file], manifest, where="golden.npz")
    for precision in manifest.precisions:
        if precision == "int8" and not has_int8():  # its products saturate, as `verify` says where it leaves it out
            continue
        bound = next((done.bound for done in manifest.verification if done.precision == precision), BOUNDS["fp32"])
        for case, arrays in golden.items():
            head, tail = f"{number}/{precision}/", f"_{case}"
            of_case = {n.removeprefix(head).removesuffix(tail): a for n, a in outputs.items() if n.startswith(head)}
            graph = Recorded({name: array for name, array in of_case.items() if name in arrays})
            pair = Pair(manifest, graph, graph, Device("cpu"), precision, 1)
            assert compare(pair, {case: arrays}, bound=bound)
