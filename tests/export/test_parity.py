"""PyTorch, onnxruntime and the runtime give the same numbers."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import reparam
from reparam_train.model import VAE

Bundle = tuple[VAE, Path]


def rows(model: VAE, n: int) -> tuple[np.ndarray, np.ndarray]:
    x = reparam.noise("uniform", 3, range(n), model.config.input_shape, stream="data") / np.float32(3.5) + np.float32(
        0.5
    )
    return x, reparam.noise(model.config.posterior, 3, range(n), (model.config.latent,))


def by_torch(model: VAE, x: np.ndarray, eps: np.ndarray) -> dict[str, np.ndarray]:
    with torch.no_grad():
        mean, logvar = model.encode(torch.from_numpy(x))
        z = mean + torch.exp(logvar / 2) * torch.from_numpy(eps)
        found = {"mean": mean, "logvar": logvar, "z": z, **model.decode(z)}
    return {name: value.numpy() for name, value in found.items()}


def by_onnxruntime(folder: Path, x: np.ndarray, eps: np.ndarray) -> dict[str, np.ndarray]:
    encoder, decoder = (
        onnxruntime.InferenceSession(str(folder / f"{role}.onnx"), providers=["CPUExecutionProvider"])
        for role in ("encoder", "decoder")
    )
    found = dict(zip(("mean", "logvar", "z"), encoder.run(None, {"x": x, "eps": eps}), strict=True))
    names = [output.name for output in decoder.get_outputs()]
    return found | dict(zip(names, decoder.run(None, {"z": found["z"]}), strict=True))


@pytest.mark.parametrize("batch", [1, 3, 5, 1000])
def test_torch_onnxruntime_and_the_runtime_agree_on_every_output(exported: Bundle, batch: int) -> None:
    model, folder = exported
    x, eps = rows(model, batch)
    wanted, direct = by_torch(model, x, eps), by_onnxruntime(folder, x, eps)
    with reparam.load(folder, device="cpu") as vae:
        q = vae.encode(x)
        z = vae.sample(x, eps=eps)
        ours = {"mean": q.mean, "logvar": q.logvar, "z": z, "x_hat": vae.decode(z)}
        assert np.array_equal(vae.reconstruct(x, eps=eps), ours["x_hat"])
    assert set(direct) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(direct[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
        if name in ours:
            np.testing.assert_allclose(ours[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_with_eps_of_zeros_z_is_the_mean_to_the_bit(exported: Bundle) -> None:
    model, folder = exported
    x, eps = rows(model, 257)
    found = by_onnxruntime(folder, x, np.zeros_like(eps))
    assert np.array_equal(found["z"], found["mean"])


def test_the_same_seed_gives_torch_and_the_runtime_the_same_z(exported: Bundle) -> None:
    model, folder = exported
    x, _ = rows(model, 40)
    eps = reparam.noise(model.config.posterior, 11, range(40), (model.config.latent,))
    with reparam.load(folder, device="cpu") as vae:
        np.testing.assert_allclose(vae.sample(x, seed=11), by_torch(model, x, eps)["z"], rtol=1e-5, atol=1e-5)


def test_the_kl_of_the_runtime_is_that_of_the_training_package(exported: Bundle) -> None:
    from reparam_train import posteriors

    model, folder = exported
    x, _ = rows(model, 20)
    with reparam.load(folder, device="cpu") as vae, torch.no_grad():
        wanted = posteriors.kl(*model.encode(torch.from_numpy(x)), model.config.posterior)
        np.testing.assert_allclose(vae.encode(x).kl(), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_reparam_verify_repeats_the_proof_without_torch(exported: Bundle) -> None:
    (done,) = reparam.verify(exported[1], device="cpu")
    assert done.precision == "fp32"
    assert max(worst.absolute for worst in done.worst.values()) <= 1e-4
