"""Arrays of other libraries, through DLPack: torch tensors in and out without a copy, on the CPU and on the device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import reparam
from reparam.errors import ClosedError, InputError, InputTypeError, MissingExtra, OptionError

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"
has_dlpack = pytest.mark.skipif(
    not hasattr(onnxruntime.OrtValue, "from_dlpack"), reason="this onnxruntime has no OrtValue.from_dlpack"
)


@pytest.fixture(scope="module")
def vae() -> reparam.VAE:
    return reparam.load(DIGITS, device="cpu", threads=1, max_batch=4)


def rows(n: int) -> torch.Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(n))


def test_a_tensor_gives_what_its_numpy_array_gives_to_the_bit(vae: reparam.VAE) -> None:
    x, eps = rows(9), torch.from_numpy(reparam.noise("normal", 1, range(9), (8,)))
    q, z = vae.encode(x), vae.sample(x, eps=eps)
    np.testing.assert_array_equal(q.mean, vae.encode(x.numpy()).mean)
    np.testing.assert_array_equal(z, vae.sample(x.numpy(), eps=eps.numpy()))
    np.testing.assert_array_equal(vae.decode(torch.from_numpy(z)), vae.decode(z))
    np.testing.assert_array_equal(vae.encode(x.double()).mean, q.mean)
    np.testing.assert_array_equal(vae.interpolate(x, x.flip(0)), vae.interpolate(x.numpy(), x.flip(0).numpy()))
    np.testing.assert_array_equal(vae.elbo(x, seed=1), vae.elbo(x.numpy(), seed=1))


def test_a_tensor_is_read_where_it_lies(vae: reparam.VAE) -> None:
    x = rows(8)
    parts = vae.stream(x, op="encode")  # four rows at a time, each read when its part is asked for
    next(parts)
    x[4:] = 0.5
    np.testing.assert_array_equal(next(parts)[0], vae.encode(x[4:]).mean)


def test_a_result_becomes_a_tensor_over_the_same_memory(vae: reparam.VAE) -> None:
    for n in (3, 9):  # one batch, and several
        found = vae.decode(np.zeros((n, 8), np.float32))
        tensor = torch.from_dlpack(found)
        assert np.shares_memory(tensor.numpy(), found)
        tensor[0] = 7
        assert (found[0] == 7).all()


REFUSED: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "integers": (lambda x: x.int(), "dtype must be float32 .* got int32"),
    "bfloat16": (lambda x: x.bfloat16(), r"this torch\.Tensor cannot be read through DLPack"),
    "a gradient": (lambda x: x.requires_grad_(), r"this torch\.Tensor cannot be read through DLPack: .*detach"),
    "no memory": (lambda x: x.to("meta"), r"this torch\.Tensor cannot be read through DLPack"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_tensor_that_cannot_be_read_is_refused_by_name(vae: reparam.VAE, name: str) -> None:
    change, message = REFUSED[name]
    with pytest.raises(InputTypeError, match=f"^x: {message}"):
        vae.encode(change(rows(3)))
    with pytest.raises(InputError, match=r"^x: shape must be \[n, 1, 8, 8\], got \[3, 64\]"):
        vae.encode(rows(3).flatten(1))


class Elsewhere:
    """An array that says it lies on a CUDA device."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, **_: Any) -> object:
        raise AssertionError("what lies elsewhere is not asked for")


def test_an_array_on_another_device_is_refused_with_the_way_to_go(vae: reparam.VAE) -> None:
    with pytest.raises(InputTypeError, match=r"^x: must be in the CPU's memory, got a .*Elsewhere .*device_arrays"):
        vae.encode(Elsewhere())  # type: ignore[arg-type]


@has_dlpack
def test_the_door_for_device_arrays_refuses_an_array_of_another_device(vae: reparam.VAE) -> None:
    with pytest.raises(InputTypeError, match=r"^x: must lie on the model's device cpu, .* got \[2, 0\]"):
        vae.device_arrays().encode(Elsewhere())


# -- the door for device arrays, on whatever device there is -----------------------------------------------------------


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@has_dlpack
def test_device_arrays_give_what_the_model_gives_and_stay_where_they_are(device: str) -> None:
    with reparam.load(DIGITS, device=device, threads=1) as vae:
        door, x = vae.device_arrays(), rows(9).to(device)
        eps = torch.from_numpy(reparam.noise("normal", 7, range(3, 12), (8,))).to(device)
        mean, logvar = map(torch.from_dlpack, door.encode(x))
        z = door.sample(x, seed=7, first_row=3)
        x_hat = torch.from_dlpack(door.decode(z))  # an OrtValue goes in as it came out
        host = x.cpu().numpy()
        pairs = [
            (mean, vae.encode(host).mean),
            (logvar, vae.encode(host).logvar),
            (torch.from_dlpack(z), vae.sample(host, seed=7, first_row=3)),
            (torch.from_dlpack(door.sample(x, eps=eps)), vae.sample(host, seed=7, first_row=3)),
            (x_hat, vae.reconstruct(host, seed=7, first_row=3)),
        ]
        for found, wanted in pairs:
            assert found.device.type == device
            np.testing.assert_allclose(found.cpu().numpy(), wanted, rtol=1e-5, atol=1e-5)


@has_dlpack
def test_device_arrays_share_their_memory(vae: reparam.VAE) -> None:
    door, x = vae.device_arrays(), rows(3)
    value = door.decode(torch.zeros(3, 8))
    assert torch.from_dlpack(value).data_ptr() == value.data_ptr()
    before = torch.from_dlpack(door.encode(x)[0]).clone()
    x += 1  # in place: the same tensor, other values
    assert (torch.from_dlpack(door.encode(x)[0]) != before).any()


@has_dlpack
@pytest.mark.gpu
def test_device_arrays_see_what_another_stream_has_only_just_been_asked_to_write() -> None:
    with reparam.load(DIGITS, device="cuda") as vae:
        door, wanted = vae.device_arrays(), rows(64)
        found, big = torch.zeros(64, 1, 8, 8, device="cuda"), torch.rand(4096, 4096, device="cuda")
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(20):
                big = (big @ big).tanh()  # keeps the stream busy
            found.copy_(wanted, non_blocking=True)
            mean = torch.from_dlpack(door.encode(found)[0])
        np.testing.assert_allclose(mean.cpu().numpy(), vae.encode(wanted.numpy()).mean, rtol=1e-5, atol=1e-5)


@has_dlpack
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x: x.double(), InputTypeError, r"^x: must be float32, .* got tensor\(double\)"),
        (lambda x: x.transpose(2, 3), InputTypeError, "^x: .* cannot be shared through DLPack: it is not C-contiguous"),
        (lambda x: x.requires_grad_(), InputTypeError, "^x: .* cannot be shared through DLPack: .*detach"),
        (lambda x: x.flatten(1), InputError, r"^x: shape must be \[n, 1, 8, 8\] with at least one row, got \[3, 64\]"),
        (lambda x: x[:0], InputError, "^x: shape must be .* with at least one row"),
        (lambda x: x.tolist(), InputTypeError, r"^x: must be an array with __dlpack__ on cpu, got builtins\.list"),
    ],
)
def test_a_device_array_that_does_not_fit_is_refused_by_name(
    vae: reparam.VAE, change: Callable[[torch.Tensor], Any], error: type[InputError], message: str
) -> None:
    door, x = vae.device_arrays(), change(rows(3))
    for call in (door.encode, lambda x: door.sample(x, seed=1)):
        with pytest.raises(error, match=message):
            call(x)


@has_dlpack
def test_the_noise_of_device_arrays_keeps_the_rules_of_sample(vae: reparam.VAE) -> None:
    door, eps = vae.device_arrays(), torch.zeros(3, 8)
    for options in ({}, {"eps": eps, "seed": 1}, {"eps": eps, "first_row": 1}, {"seed": -1}):
        with pytest.raises(OptionError):
            door.sample(rows(3), **options)
    with pytest.raises(InputError, match=r"^eps: shape must be \[3, 8\]"):
        door.sample(rows(3), eps=torch.zeros(1, 8))


@has_dlpack
def test_device_arrays_of_a_closed_model_are_refused() -> None:
    vae = reparam.load(DIGITS, device="cpu")
    door = vae.device_arrays()
    vae.close()
    with pytest.raises(ClosedError):
        door.encode(rows(1))


def test_an_onnxruntime_without_dlpack_is_named(vae: reparam.VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "OrtValue", object)
    with pytest.raises(MissingExtra, match="device arrays need an onnxruntime whose OrtValue has from_dlpack, got "):
        vae.device_arrays()
