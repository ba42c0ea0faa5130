"""Small models with random weights, their bundles, and how a bundle is held against someone else's model."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

import reparam
import reparam_export
from reparam.errors import ReparamError
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

CONFIGS = {
    "mlp-bernoulli": VAEConfig(net="mlp", input_shape=(24,), latent=3, hidden=(16, 8)),
    "mlp-gaussian": VAEConfig(net="mlp", input_shape=(2, 5), latent=4, hidden=(16,), likelihood="gaussian", std=0.3),
    "conv-bernoulli": VAEConfig(net="conv", input_shape=(1, 8, 8), latent=5, hidden=(8, 16), activation="silu"),
    "mlp-uniform": VAEConfig(net="mlp", input_shape=(7,), latent=3, hidden=(8,), posterior="uniform"),
    "conv-laplace": VAEConfig(net="conv", input_shape=(1, 5, 6), latent=2, hidden=(4,), posterior="laplace"),
    "mlp-laplace": VAEConfig(net="mlp", input_shape=(6,), latent=2, hidden=(8,), likelihood="laplace"),
    "conv-gaussian-scaled": VAEConfig(
        net="conv", input_shape=(2, 6, 5), latent=2, hidden=(4,), likelihood="gaussian", scale="per-dimension"
    ),
    "conv-gaussian": VAEConfig(net="conv", input_shape=(3, 9, 7), latent=2, hidden=(4, 8), likelihood="gaussian"),
}


SHIPPED = Path(__file__).resolve().parents[2] / "models" / "digits"


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[VAE, Path]]:
    """A model of each net and likelihood, and the folder of its bundle."""
    made: dict[str, tuple[VAE, Path]] = {}
    for name, config in CONFIGS.items():
        model = VAE.build(config, seed=7)
        folder = tmp_path_factory.mktemp("bundles") / name
        reparam_export.export(model, folder)
        made[name] = model, folder
    return made


@pytest.fixture(params=list(CONFIGS))
def exported(request: pytest.FixtureRequest, bundles: dict[str, tuple[VAE, Path]]) -> tuple[VAE, Path]:
    """Each model and the folder of its bundle."""
    return bundles[request.param]


@pytest.fixture(params=[*CONFIGS, "shipped"])
def bundle(request: pytest.FixtureRequest, bundles: dict[str, tuple[VAE, Path]]) -> Path:
    """Each bundle that the tests export, and the one that ships."""
    return SHIPPED if request.param == "shipped" else bundles[request.param][1]


@pytest.fixture
def model() -> VAE:
    """The smallest model."""
    return VAE.build(CONFIGS["mlp-bernoulli"], seed=7)


class Peer:
    """Folders such as optimum writes, of one convolution each way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def config(**changes: object) -> dict[str, object]:
        """config.json of a VAE of two levels, as diffusers writes it; None leaves a key out."""
        config = {
            "_class_name": "AutoencoderKL",
            "_diffusers_version": "0.36.0",
            "block_out_channels": [8, 8],
            "in_channels": 3,
            "latent_channels": 2,
            "sample_size": 16,
            "scaling_factor": 0.5,
            "shift_factor": 0.25,
        }
        return {key: value for key, value in {**config, **changes}.items() if value is not None}

    @staticmethod
    def graph(role: str, opset: int = 17) -> onnx.ModelProto:
        """An encoder or decoder; some of its inner names are those that the contract gives to something else."""
        encodes = role == "encoder"
        values = np.random.default_rng(7).normal(size=(4 if encodes else 2, 3, 2, 2)).astype(np.float32)
        weight = numpy_helper.from_array(values, "eps" if encodes else "x_hat")
        given, made = ("sample", "latent_parameters") if encodes else ("latent_sample", "sample")
        nodes = [
            helper.make_node("Conv" if encodes else "ConvTranspose", [given, weight.name], ["x"], strides=[2, 2]),
            helper.make_node("Identity", ["x"], [made]),
        ]
        axes = {
            "sample": ["batch_size", 3, "sample_height", "sample_width"],
            "latent_parameters": ["batch_size", 4, "sample_height / 2", "sample_width / 2"],
            "latent_sample": ["batch_size", 2, "latent_height", "latent_width"],
        }
        ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, axes[name])] for name in (given, made)]
        graph = helper.make_graph(nodes, "main_graph", *ends, [weight])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

    def write(
        self,
        *,
        encoder: onnx.ModelProto | bytes | None = None,
        decoder: onnx.ModelProto | bytes | None = None,
        config: dict[str, object] | None = None,
    ) -> Path:
        """The folder; what is left out is good."""
        for role, given in (("encoder", encoder), ("decoder", decoder)):
            model = self.graph(role) if given is None else given
            place = self.folder / f"vae_{role}"
            place.mkdir(parents=True, exist_ok=True)
            (place / "model.onnx").write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
            (place / "config.json").write_text(json.dumps(self.config() if config is None else config))
        return self.folder


@pytest.fixture(scope="session")
def peers() -> type[Peer]:
    """What writes such folders, at any place."""
    return Peer


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    """Writes `tmp_path / "peer"`."""
    return Peer(tmp_path / "peer")


@pytest.fixture(scope="session")
def optimum_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What optimum_run.py leaves: optimum's own folder, our bundle and layout of it, and what each of them gives."""
    if not all(find_spec(name) for name in ("optimum", "diffusers", "transformers")):
        pytest.skip("optimum, diffusers or transformers is not installed (the extra peers)")
    out = tmp_path_factory.mktemp("optimum")
    script = Path(__file__).with_name("optimum_run.py")
    done = subprocess.run([sys.executable, script, out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


Encode = Callable[[Tensor], Mapping[str, Tensor]]
Decode = Callable[[Tensor], Tensor]
Agree = Callable[..., None]
Refused = Callable[..., str]


@pytest.fixture(scope="session")
def agree() -> Agree:
    """Holds a bundle against functions of PyTorch to 1e-4 and 1e-3 of the value, at batches 1, 3, 5 and given shapes.

    encode gives mean and logvar, or z alone; decode x_hat. Both are the model's own interface.
    """

    def check(folder: Path, encode: Encode, decode: Decode, shapes: Iterable[tuple[int, ...]]) -> None:
        with reparam.load(folder, device="cpu", threads=1) as vae:
            low, high = vae.manifest.input.low, vae.manifest.input.high
            for shape in shapes:
                for batch in (1, 3, 5):
                    x = reparam.noise("uniform", 9, range(batch), shape, stream="data")
                    if low is not None and high is not None:
                        x = (low + (high - low) * (x / np.sqrt(12) + 0.5)).clip(low, high).astype(np.float32)
                    check_rows(vae, encode, decode, x)
        assert reparam.verify(folder, device="cpu")

    def check_rows(vae: reparam.VAE, encode: Encode, decode: Decode, x: np.ndarray) -> None:
        with torch.no_grad():
            wanted = {name: value.numpy() for name, value in encode(torch.from_numpy(x)).items()}
            if "z" in wanted:
                found = {"z": vae.sample(x)}
            else:
                q = vae.encode(x)
                eps = reparam.noise("normal", 9, range(len(x)), wanted["mean"].shape[1:])
                wanted["z"] = wanted["mean"] + np.exp(wanted["logvar"] / 2) * eps
                found = {"mean": q.mean, "logvar": q.logvar, "z": vae.sample(x, eps=eps)}
            wanted["x_hat"] = decode(torch.from_numpy(wanted["z"])).numpy()
        found["x_hat"] = vae.decode(wanted["z"])
        for name, value in wanted.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4, err_msg=name)

    return check


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Exports over an old bundle, which must stay as it was to the byte; gives the one line that says why."""

    def check(model: Any, error: type[ReparamError], **options: Any) -> str:
        shutil.copytree(SHIPPED, tmp_path / "old")
        before = {file.name: file.read_bytes() for file in SHIPPED.iterdir()}
        with pytest.raises(error) as caught:
            reparam_export.export(model, tmp_path / "old", **options)
        assert {file.name: file.read_bytes() for file in (tmp_path / "old").iterdir()} == before
        assert "\n" not in str(caught.value)
        shutil.rmtree(tmp_path / "old")
        return str(caught.value)

    return check
