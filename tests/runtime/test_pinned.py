"""A pinned model gives what the model gives, to the bit, and belongs to one thread."""

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import ClosedError, InputError, InputTypeError, OptionError, ReparamError, ThreadError


def images(n: int) -> np.ndarray:
    return (reparam.noise("uniform", 1, range(n), (1, 8, 8), stream="data") / np.float32(3.5) + np.float32(0.5)).clip(
        0, 1
    )


@pytest.mark.parametrize("batch", [1, 5, 300])
def test_every_call_equals_the_models_own_in_any_order(vae: reparam.VAE, batch: int) -> None:
    eps = reparam.noise("normal", 2, range(batch), vae.manifest.latent.shape)
    with vae.pinned(batch) as fast:
        for turn in range(3):
            x = images(batch + turn)[turn:]
            assert np.array_equal(fast.sample(x, eps=eps), vae.sample(x, eps=eps))
            q, wanted = fast.encode(x), vae.encode(x)  # after a sample, whose noise must be gone
            assert np.array_equal(q.mean, wanted.mean)
            assert np.array_equal(q.logvar, wanted.logvar)
            assert np.array_equal(fast.decode(q.mean), vae.decode(q.mean))
            z = fast.sample(x, seed=7, first_row=turn)
            assert np.array_equal(z, vae.sample(x, seed=7, first_row=turn))


def test_what_a_run_reads_lives_as_long_as_the_pinned_model(tiny: Any, onnx: Any, tmp_path: Path) -> None:
    nodes = onnx.node("Add", "x eps", "mean"), onnx.node("Sub", "x x", "logvar"), onnx.node("Identity", "eps", "z")
    folder = tiny(tmp_path / "b", encoder=onnx.encoder(*nodes))  # whose mean follows eps, which encode leaves at zero
    rows = np.ones((8192, 2), np.float32)
    with reparam.load(folder, device="cpu") as vae, vae.pinned(8192) as fast:
        gc.collect()
        taken = [np.full((8192, 2), 7.0, np.float32) for _ in range(16)]  # memory that nobody else may hold
        assert np.array_equal(fast.encode(rows).mean, rows)
        assert len(taken) == 16


def test_results_are_the_callers_and_no_buffer(vae: reparam.VAE) -> None:
    x = images(2)
    with vae.pinned(1) as fast:
        first = fast.encode(x[:1])
        kept = first.mean.copy()
        fast.encode(x[1:])
        assert np.array_equal(first.mean, kept)


def test_results_go_into_the_callers_arrays(vae: reparam.VAE) -> None:
    x, latent = images(2), vae.manifest.latent.shape
    mean, logvar, z, x_hat = (np.empty((2, *s), np.float32) for s in (latent, latent, latent, (1, 8, 8)))
    with vae.pinned(2) as fast:
        q = fast.encode(x, out=(mean, logvar))
        assert q.mean is mean
        assert np.array_equal(logvar, vae.encode(x).logvar)
        assert fast.sample(x, seed=1, out=z) is z
        assert fast.decode(z, out=x_hat) is x_hat
    assert np.array_equal(x_hat, vae.decode(z))


def test_another_thread_is_refused(vae: reparam.VAE) -> None:
    found: list[ReparamError] = []

    def call() -> None:
        try:
            fast.encode(images(1))
        except ReparamError as error:
            found.append(error)

    with vae.pinned(1) as fast:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    assert [type(error) for error in found] == [ThreadError]
    assert "each opens its own" in str(found[0])


def test_after_the_block_every_call_is_refused(vae: reparam.VAE) -> None:
    with vae.pinned(1) as fast:
        pass
    for call in (lambda: fast.encode(images(1)), lambda: fast.decode(np.zeros((1, *vae.manifest.latent.shape), "f4"))):
        with pytest.raises(ClosedError, match=r"open another with vae\.pinned"):
            call()


def test_a_closed_model_pins_nothing(bundle: Path) -> None:
    model = reparam.load(bundle, device="cpu")
    model.close()
    with pytest.raises(ClosedError):
        model.pinned(1)


def test_a_closed_pinned_model_is_not_entered_again(vae: reparam.VAE) -> None:
    with vae.pinned(1) as fast:
        pass
    with pytest.raises(ClosedError, match="this pinned model is closed"), fast:
        pass


def test_a_pinned_model_outlives_the_model_that_it_came_from(bundle: Path) -> None:
    x = images(1)
    with reparam.load(bundle, device="cpu") as model:
        expected, fast = model.encode(x), model.pinned(1)
    np.testing.assert_array_equal(fast.encode(x).mean, expected.mean)


def test_what_does_not_fit_is_refused_and_nothing_is_written(vae: reparam.VAE) -> None:
    latent = vae.manifest.latent.shape
    out = np.full((2, *latent), 7, np.float32), np.full((2, *latent), 7, np.float64)
    with vae.pinned(2) as fast:
        with pytest.raises(InputError, match="x: must have 2 rows, as this pinned model was made for, got 3"):
            fast.encode(images(3))
        with pytest.raises(InputTypeError, match="x: dtype"):
            fast.encode(images(2).astype(np.int32))
        with pytest.raises(InputError, match="x: must be finite"):
            fast.encode(np.full((2, 1, 8, 8), np.nan, np.float32))
        with pytest.raises(InputTypeError, match=r"out\[1\]: must be a float32"):
            fast.encode(images(2), out=out)  # type: ignore[arg-type]
        assert (out[0] == 7).all()
        with pytest.raises(OptionError, match="give exactly one"):
            fast.sample(images(2))
        with pytest.raises(InputError, match="eps: must have one row"):
            fast.sample(images(2), eps=np.zeros((1, *latent), np.float32))


@pytest.mark.parametrize("batch", [0, -1, 1.5, "1", 2**21])
def test_a_batch_that_cannot_be_is_refused(vae: reparam.VAE, batch: object) -> None:
    with pytest.raises(OptionError, match="batch"):
        vae.pinned(batch)  # type: ignore[arg-type]


def test_a_plain_autoencoder_samples_without_noise_and_encodes_nothing(tiny: Any, onnx: Any, tmp_path: Path) -> None:
    graph = onnx.graph([onnx.node("Identity", "x", "z")], [onnx.value("x", "batch", 2)], [onnx.value("z", "batch", 2)])
    latent = {"shape": [2], "noise": None}
    folder = tiny(tmp_path / "b", encoder=onnx.model(graph), deterministic=True, latent=latent)
    with reparam.load(folder, device="cpu") as plain, plain.pinned(2) as fast:
        x = np.arange(4, dtype=np.float32).reshape(2, 2)
        assert np.array_equal(fast.sample(x), plain.sample(x))
        with pytest.raises(OptionError, match="has no posterior"):
            fast.encode(x)
