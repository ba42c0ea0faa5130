"""Runs take the memory that there is: what does not fit at once runs in parts, and what cannot run is refused first."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import reparam
from reparam.engine import memory
from reparam.errors import OutOfMemory
from reparam.face import coding
from reparam.testing import messages, tiny_bundle

BUDGET = 3_000_000
Large = Callable[..., reparam.VAE]


def window(node: str, inputs: str, output: str) -> bytes:
    """A node over windows of 2 x 2."""
    sides = [messages.message((1, name), (20, 7), (8, 2), (8, 2)) for name in ("kernel_shape", "strides")]
    return messages.node(node, inputs, output, *((5, side) for side in sides))


@pytest.fixture
def folder(tiny: Callable[..., Path], onnx: Any, tmp_path: Path) -> Path:
    """Images of any even height and width, to latents of half the sides and back; some 20 bytes a pixel."""
    image, latent = ("batch", 1, "height", "width"), ("batch", 1, "latent_height", "latent_width")
    encoder = onnx.model(
        onnx.graph(
            [
                window("AveragePool", "x", "mean"),
                onnx.node("Sub", "mean mean", "logvar"),
                onnx.node("Add", "mean eps", "z"),
            ],
            [onnx.value("x", *image), onnx.value("eps", *latent)],
            [onnx.value(name, *latent) for name in ("mean", "logvar", "z")],
        )
    )
    nodes = [
        onnx.node("Shape", "z", "shape"),
        onnx.node("Reshape", "z flat", "line"),  # as norms over groups have it
        onnx.node("Reshape", "line shape", "again"),
        window("ConvTranspose", "again weights", "x_hat"),
    ]
    tensors = messages.floats("weights", np.full((1, 1, 2, 2), 0.5)), onnx.integers("flat", 0, 1, -1)
    ends = [onnx.value("z", *latent)], [onnx.value("x_hat", *image)]
    decoder = onnx.model(onnx.graph(nodes, *ends, *((5, tensor) for tensor in tensors)))
    return tiny(
        tmp_path / "open",
        encoder=encoder,
        decoder=decoder,
        input={"shape": [1, 8, 8], "layout": "channels_first", "factors": [2, 2]},
        latent={"shape": [1, 4, 4]},
    )


@pytest.fixture
def load(folder: Path) -> Large:
    return lambda **options: reparam.load(folder, **({"device": "cpu", "threads": 1} | options))


def images(rows: int, side: int) -> np.ndarray:
    return reparam.noise("uniform", 7, range(rows), (1, side, side))


def test_rows_that_do_not_fit_at_once_give_the_same_bits_in_parts(load: Large) -> None:
    x = images(9, 256)
    whole, tight = load(), load(memory_budget=BUDGET)
    with pytest.raises(OutOfMemory, match=r"encoder\.onnx: no memory for 9 rows in one run; give at most 4"):
        tight.pinned(9, size=(256, 256))
    for call in (
        lambda vae: vae.encode(x).mean,
        lambda vae: vae.sample(x, seed=7),
        lambda vae: vae.reconstruct(x, seed=7),
        lambda vae: vae.generate(9, seed=7, size=(256, 256)),
        lambda vae: np.concatenate([part[0] for part in vae.stream(x, op="sample", seed=7)]),
    ):
        np.testing.assert_array_equal(call(tight), call(whole))


def test_a_row_that_does_not_fit_is_refused_before_it_runs_and_the_model_goes_on(load: Large) -> None:
    vae = load(memory_budget=BUDGET)
    row = r"one row of x \[1, 1024, 1024\] and eps \[1, 512, 512\] needs about [\d,]+ bytes"
    with pytest.raises(OutOfMemory, match=row + ", and memory_budget is 3,000,000"):
        vae.encode(images(2, 1024))
    with pytest.raises(OutOfMemory, match=r"decoder\.onnx: one row of z \[1, 512, 512\] needs about"):
        vae.generate(1, seed=7, size=(1024, 1024))
    with pytest.raises(MemoryError, match=r"take smaller rows, or smaller tiles of them \(tile=\)"):
        vae.decode(images(1, 512))
    assert vae.encode(images(2, 8)).mean.shape == (2, 1, 4, 4)


def test_tiles_fit_where_the_whole_does_not(load: Large) -> None:
    x, vae = images(1, 1024), load(memory_budget=BUDGET)
    tiled = vae.encode(x, tile=(256, 256), overlap=0)
    np.testing.assert_array_equal(tiled.mean, load().encode(x).mean)


@pytest.mark.skipif(
    not hasattr(onnxruntime.OrtValue, "from_dlpack"), reason="this onnxruntime has no OrtValue.from_dlpack"
)
def test_one_run_that_is_never_taken_in_parts_is_refused(load: Large) -> None:
    vae, x = load(memory_budget=BUDGET), images(9, 256)
    arrays = vae.device_arrays()
    assert arrays.encode(x[:4])[0].numpy().shape == (4, 1, 128, 128)
    with pytest.raises(OutOfMemory, match=r"no memory for 9 rows in one run; give at most 4"):
        arrays.encode(x)


def test_a_call_of_max_batch_rows_runs_in_the_memory_that_this_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_bundle(tmp_path / "b", input_shape=(4096,))
    with reparam.load(folder, device="cpu", max_batch=2048) as vae:
        x = reparam.noise("uniform", 7, range(2048), (4096,))
        wanted, z = vae.encode(x).mean, vae.sample(x, seed=7)
    monkeypatch.setattr(memory, "machine_memory", lambda: 24_000_000)  # x alone has 33
    with reparam.load(folder, device="cpu", max_batch=2048) as vae:
        np.testing.assert_array_equal(vae.encode(x).mean, wanted)
        np.testing.assert_array_equal(vae.sample(x, seed=7), z)
        with pytest.raises(OutOfMemory, match="no memory for 2048 rows in one run; give at most 1024"):
            vae.pinned(2048)


def test_without_a_budget_three_quarters_of_the_memory_are_the_limit(
    load: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 4_000_000)
    vae = load()
    assert vae.decode(images(1, 256)).shape == (1, 1, 512, 512)
    with pytest.raises(OutOfMemory, match=r"needs about [\d,]+ bytes, and three quarters of the memory is 3,000,000"):
        vae.decode(images(1, 512))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks of memory are read from /proc")
@pytest.mark.parametrize("op", ["encode", "decode"])
def test_the_estimate_is_near_what_a_run_takes(folder: Path, load: Large, fresh: Callable[..., Any], op: str) -> None:
    side = 4096 if op == "encode" else 2048
    tight = load(memory_budget=BUDGET)
    with pytest.raises(OutOfMemory) as refused:
        getattr(tight, op)(np.zeros((1, 1, side, side), np.float32))
    found = re.search(r"needs about ([\d,]+) bytes", str(refused.value))
    assert found
    code = f"""
        import numpy, reparam
        def peak():
            with open("/proc/self/status") as status:
                return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        vae = reparam.load({str(folder)!r}, device="cpu", threads=1)
        before, rows = peak(), numpy.ones((1, 1, {side}, {side}), numpy.float32)
        vae.{op}(rows)
        print(peak() - before)
    """
    taken = int(fresh(textwrap.dedent(code)).out)
    assert 0.6 < taken / int(found[1].replace(",", "")) < 1.5


@pytest.mark.parametrize("n", [2**40, 2**50])
def test_results_that_no_memory_holds_are_refused_with_their_size(vae: reparam.VAE, n: int) -> None:
    with pytest.raises(OutOfMemory, match=rf"results of shape \[{n}, 1, 8, 8\] take [\d,]+ bytes, more than there are"):
        vae.generate(n, seed=7)


def test_an_image_without_end_is_refused_before_its_noise_is_drawn(
    load: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("noise was drawn")

    monkeypatch.setattr(coding, "noise", never)
    vae = load()
    with pytest.raises(OutOfMemory, match=r"one row of z .* needs about [\d,]+ bytes"):
        vae.generate(1, seed=7, size=(2**16, 2**16))
    with pytest.raises(OutOfMemory, match=r"one row of x .* needs about [\d,]+ bytes"):
        vae.pinned(1, size=(2**24, 2**24))
    with pytest.raises(OutOfMemory, match=r"one row of z \[1, 8388608, 8388608\] is larger than anything that runs"):
        vae.generate(1, seed=7, size=(2**24, 2**24))


def test_memory_that_runs_out_all_the_same_is_told_as_that(load: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError(
            "Non-zero status code: bfc_arena.cc Failed to allocate memory for requested buffer of size 9"
        )

    vae = load()
    monkeypatch.setattr(vae._own.pair.encoder, "_run", full)
    with pytest.raises(OutOfMemory, match=r"no memory left on this machine: .*; give fewer rows a call"):
        vae.encode(images(1, 8))
