"""PyTorch's arms of the benchmark run the bundle's own weights, and pass the gate that every arm passes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
import reparam_export
from reparam.benchmark.feeds import feeds_of
from reparam.benchmark.plan import Wish
from reparam.benchmark.run import run
from reparam.cli.common import progress
from reparam.errors import DeviceUnavailable, OptionError
from reparam.testing import tiny_bundle
from reparam_train import Options, VAEConfig, fit
from reparam_train.benchmark_arms import eager
from reparam_train.data import from_arrays
from reparam_train.rebuilt import from_bundle

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of a small MLP, and its bundle."""
    folder = tmp_path_factory.mktemp("arms")
    x = np.random.default_rng(0).random((64, 6), dtype=np.float32)
    config = VAEConfig(net="mlp", input_shape=(6,), latent=2, hidden=(8,))
    fit(from_arrays(x, x[:8], name="noise"), config, Options(epochs=1, seed=1), out=folder / "run")
    reparam_export.export(folder / "run", folder / "bundle")
    return folder / "run", folder / "bundle"


def short(bundle: Path, **wish: Any) -> Any:
    usual: dict[str, Any] = {"devices": ("cpu",), "precisions": ("fp32",), "batches": (1, 3), "threads": (1,)}
    return run(bundle, Wish(**usual, quick=True, seconds=2, against=("torch",), **wish), progress=progress)


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_the_model_of_a_shipped_bundle_is_rebuilt_from_its_graphs_to_rounding(name: str) -> None:
    vae = reparam.load(MODELS / name, device="cpu", threads=1)
    feeds = feeds_of(vae, 3)
    opened = eager(MODELS / name, device="cpu", precision="fp32", threads=1, run=None)
    found = {}
    for operation in ("encode", "decode", "reconstruct"):
        call = opened.call(operation, feeds)
        found[operation] = call.read(call.run())
    q = vae.encode(feeds.x)
    assert np.allclose(found["encode"]["mean"], q.mean, atol=1e-5, rtol=1e-5)
    assert np.allclose(found["encode"]["logvar"], q.logvar, atol=1e-5, rtol=1e-5)
    assert np.allclose(found["decode"]["x_hat"], vae.decode(feeds.z), atol=1e-5, rtol=1e-5)
    assert np.allclose(found["reconstruct"]["x_hat"], vae.reconstruct(feeds.x, eps=feeds.eps), atol=1e-5, rtol=1e-5)


def test_torch_is_an_arm_of_the_report_that_passed_the_gate(made: tuple[Path, Path]) -> None:
    arms = {arm.name: arm for arm in short(made[1]).arms}
    for operation in ("encode", "decode", "reconstruct"):
        arm = arms[f"{operation}.cpu.fp32.torch.t1"]
        assert (arm.status, arm.reason) == ("timed", None)
        assert arm.gate is not None
        assert arm.gate.passed
        assert str(arm.provider_active).startswith("torch ")
        assert [point.batch for point in arm.points if point.latency] == [1, 3]


def test_a_run_is_read_where_it_is_named_and_one_with_other_weights_is_refused(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    own = short(made[1], run=str(made[0]), operations=("decode",))
    assert {arm.status for arm in own.arms} == {"timed"}
    x = np.random.default_rng(0).random((64, 6), dtype=np.float32)
    config = VAEConfig(net="mlp", input_shape=(6,), latent=2, hidden=(8,))
    fit(from_arrays(x, x[:8], name="noise"), config, Options(epochs=1, seed=2), out=tmp_path / "other")
    other = short(made[1], run=str(tmp_path / "other"), operations=("decode",))
    assert {arm.path: arm.status for arm in other.arms} == {"numpy": "timed", "torch": "wrong"}


def test_a_model_that_its_manifest_does_not_tell_how_to_build_is_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "tiny")
    with pytest.raises(OptionError, match=r"does not tell how to build the model .* give the run with --run"):
        from_bundle(folder)
    arms = [arm for arm in short(folder, operations=("decode",)).arms if arm.path == "torch"]
    assert [arm.status for arm in arms] == ["unavailable"]
    assert "give the run with --run" in (arms[0].reason or "")


def test_no_code_is_imported_because_a_manifest_names_it(made: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for file in made[1].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["training"]["options"]["net"] = "reparam_bench_evil:build"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(OptionError, match="does not tell how to build the model"):
        from_bundle(folder)


def test_weights_of_another_shape_are_refused_by_name(made: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for file in made[1].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["training"]["options"]["hidden"] = [9]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(OptionError, match=r"encoder\.layers\.0\.weight is not among the weights of its graphs"):
        from_bundle(folder)


def test_a_card_that_torch_does_not_see_and_a_precision_that_it_has_not_are_refused(made: tuple[Path, Path]) -> None:
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(DeviceUnavailable, match="sees no card"):
            eager(made[1], device="cuda", precision="fp32", threads=1, run=None)
    with pytest.raises(OptionError, match="torch's arms run fp32, got int8"):
        eager(made[1], device="cpu", precision="int8", threads=1, run=None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")  # torch.compile's own imports
def test_the_compiled_arm_gives_the_same_numbers(made: tuple[Path, Path]) -> None:
    from reparam_train.benchmark_arms import compiled

    vae = reparam.load(made[1], device="cpu", threads=1)
    feeds = feeds_of(vae, 3)
    call = compiled(made[1], device="cpu", precision="fp32", threads=1, run=None).call("reconstruct", feeds)
    wanted = vae.reconstruct(feeds.x, eps=feeds.eps)
    assert np.allclose(call.read(call.run())["x_hat"], wanted, atol=1e-5, rtol=1e-5)


def test_the_arms_are_offered_and_import_without_torch() -> None:
    code = (
        "from importlib.metadata import entry_points as e; import sys, json;"
        "names = sorted(each.name for each in e(group='reparam.benchmark_arms') if each.load());"
        "print(json.dumps([names, 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [["torch", "torch-compile"], False]
