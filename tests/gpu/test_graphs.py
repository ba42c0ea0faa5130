"""CUDA graphs replay what a plain run gives, and arrays of the card go in and out where they lie."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.engine.card import CardSession
from reparam.engine.card_binding import CardBinding, CardSlot
from reparam.engine.device import Device
from reparam.engine.pair import session_of
from reparam.face.base import rows_of

pytestmark = pytest.mark.gpu

FAMILIES = ["digits", "mnist", "conv", "kl"]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_replay_equals_the_plain_run_of_the_same_session_to_the_bit(
    bundles: Callable[[str], Path], loaded: Any, rows: Any, family: str, precision: str
) -> None:
    if precision == "fp16" and family in ("digits", "mnist"):
        pytest.skip("this bundle ships without fp16")
    with loaded(bundles(family), precision=precision) as vae:
        session = session_of(rows_of(vae).pair.decoder)
        assert isinstance(session, CardSession)
        twin, device = session.capturing(), Device("cuda")
        (_, eps), size = rows(vae, 12), 3
        slot = CardSlot(((size, *eps.shape[1:]), np.float32), device)
        outputs = {"x_hat": ((size, *vae.manifest.input.shape), np.float32)}
        plain, replay = (CardBinding(twin, {"z": slot}, outputs, device=device, graph=number) for number in (-1, 1))
        for start in range(0, len(eps), size):
            slot.put(eps[start : start + size])
            plain.run()
            replay.run()
            assert np.array_equal(replay.outputs[0].copy(), plain.outputs[0].copy())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pinned_model_captures_its_graphs_and_gives_what_the_model_gives(
    bundles: Callable[[str], Path], loaded: Any, rows: Any, family: str
) -> None:
    with loaded(bundles(family)) as vae, vae.pinned(4, cuda_graph=True) as fast:
        assert fast.cuda_graph
        x, eps = rows(vae, 12)
        for start in (0, 4, 8):
            some, noise = x[start : start + 4], eps[start : start + 4]
            z = fast.sample(some, eps=noise)
            q = fast.encode(some)  # after a sample, whose noise must be gone
            np.testing.assert_allclose(z, vae.sample(some, eps=noise), rtol=0, atol=1e-5)
            np.testing.assert_allclose(q.mean, vae.encode(some).mean, rtol=0, atol=1e-5)
            np.testing.assert_allclose(fast.decode(z), vae.decode(z), rtol=0, atol=1e-5)


def test_plain_bindings_equal_captured_ones(bundles: Callable[[str], Path], loaded: Any, rows: Any) -> None:
    with (
        loaded(bundles("conv")) as vae,
        vae.pinned(3, cuda_graph=True) as captured,
        vae.pinned(3, cuda_graph=False) as plain,
    ):
        assert (captured.cuda_graph, plain.cuda_graph) == (True, False)
        x, _ = rows(vae, 3)
        assert np.array_equal(captured.encode(x).mean, plain.encode(x).mean)


def test_pinned_models_of_other_batches_live_side_by_side(
    bundles: Callable[[str], Path], loaded: Any, rows: Any
) -> None:
    with loaded(bundles("mnist")) as vae, vae.pinned(1) as one, vae.pinned(64) as many:
        x, _ = rows(vae, 64)
        wanted = vae.encode(x).mean
        for place in range(64):
            np.testing.assert_allclose(one.encode(x[place : place + 1]).mean[0], wanted[place], rtol=0, atol=1e-5)
            np.testing.assert_allclose(many.encode(x).mean, wanted, rtol=0, atol=1e-5)


def test_tensors_of_the_card_are_read_and_given_where_they_lie(
    bundles: Callable[[str], Path], loaded: Any, rows: Any
) -> None:
    import torch

    with loaded(bundles("conv")) as vae:
        door, (x, _) = vae.device_arrays(), rows(vae, 5)
        there = torch.from_numpy(x).cuda()
        mean, _ = door.encode(there)
        tensor = torch.from_dlpack(mean)
        assert tensor.device.type == "cuda"
        assert tensor.data_ptr() == mean.data_ptr()
        value = door._import(there, "x", rows_of(vae))
        assert value.data_ptr() == there.data_ptr()
        before = tensor.clone()
        there.mul_(0.5)  # in place: the same tensor, other values
        torch.cuda.synchronize()
        assert (torch.from_dlpack(door.encode(there)[0]) != before).any()
        np.testing.assert_allclose(before.cpu().numpy(), vae.encode(x).mean, rtol=0, atol=1e-5)


def test_a_tensor_of_the_host_is_refused_by_the_cards_door(bundles: Callable[[str], Path], loaded: Any) -> None:
    import torch

    with loaded(bundles("digits")) as vae, pytest.raises(reparam.errors.InputTypeError, match="must lie on the model"):
        vae.device_arrays().encode(torch.zeros(1, 1, 8, 8))


def test_a_model_built_to_overflow_is_right_in_fp16_on_the_card_and_wrong_without_the_range_check(
    loaded: Any, tmp_path: Path
) -> None:
    import onnx
    import onnxruntime
    import torch
    from onnxruntime.transformers.float16 import convert_float_to_float16

    import reparam_export
    from reparam_train.model import VAE
    from reparam_train.options import VAEConfig

    config = VAEConfig(net="mlp", input_shape=(16,), latent=4, hidden=(8,), activation="relu", likelihood="gaussian")
    model = VAE.build(config, seed=7)
    first, last = model.decoder.layers[0], model.decoder.last
    with torch.no_grad():
        for parameter in (first.weight, first.bias):
            parameter.mul_(1e7)
        last.weight.mul_(1e-7)
    folder = tmp_path / "b"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its speed
        manifest = reparam_export.export(model, folder, precision=("fp32", "fp16"), keep_slower=True)
    assert manifest.variants[0].fp32_nodes > 0
    z = reparam.noise("normal", 1, range(64), (4,))
    with loaded(folder) as whole, loaded(folder, precision="fp16") as half:
        wanted = whole.decode(z)
        np.testing.assert_allclose(half.decode(z), wanted, rtol=0, atol=1e-3 + 1e-2 * float(np.abs(wanted).max()))
    unchecked = convert_float_to_float16(onnx.load(folder / "decoder.onnx"), keep_io_types=True)
    session = onnxruntime.InferenceSession(unchecked.SerializeToString(), providers=["CUDAExecutionProvider"])
    (found,) = session.run(["x_hat"], {"z": z})
    assert not np.allclose(found, wanted, rtol=0, atol=0.1)
