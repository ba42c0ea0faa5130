"""A card's memory: halved batches where it ends, given back when asked, bounded for tiles, flat over many calls."""

import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import OutOfMemory

pytestmark = pytest.mark.gpu

MIB = 2**20


@pytest.fixture
def nearly_full() -> Iterator[Callable[[int], None]]:
    """Takes all of the card's memory but so many bytes, until the test's end."""
    import torch

    held: list[Any] = []

    def take(left: int) -> None:
        torch.cuda.synchronize()
        room = torch.cuda.mem_get_info()[0] - left
        held.append(torch.empty(max(0, room), dtype=torch.uint8, device="cuda"))

    yield take
    held.clear()
    torch.cuda.empty_cache()


def test_what_does_not_fit_runs_in_halves_and_gives_the_same(
    bundles: Callable[[str], Path], loaded: Any, rows: Any, nearly_full: Callable[[int], None]
) -> None:
    with loaded(bundles("conv"), max_batch=8192) as vae:
        x, _ = rows(vae, 64)
        many = np.concatenate([x] * 128)  # 8,192 rows: some 3 GiB of values between layers
        wanted = vae.encode(x)
        vae.trim()
        nearly_full(768 * MIB)  # some for kernels that CUDA's libraries have yet to load
        with pytest.warns(RuntimeWarning, match="do not fit into the card's memory; runs go on with at most") as seen:
            found = vae.encode(many)
        assert len(seen) == 1
        for place in range(0, len(many), 64):
            np.testing.assert_allclose(found.mean[place : place + 64], wanted.mean, rtol=0, atol=1e-4)


def test_one_row_that_does_not_fit_is_an_error_and_the_model_lives_on(
    bundles: Callable[[str], Path], loaded: Any, rows: Any, nearly_full: Callable[[int], None]
) -> None:
    with loaded(bundles("kl")) as vae:
        x, _ = rows(vae, 1)
        wanted = vae.encode(x).mean
        vae.trim()
        nearly_full(256 * MIB)
        with pytest.raises(OutOfMemory, match="no memory left on the card"):
            vae.encode(np.zeros((1, 3, 4096, 4096), np.float32))
        np.testing.assert_allclose(vae.encode(x).mean, wanted, rtol=0, atol=1e-4)


def test_memory_comes_back_after_trim(bundles: Callable[[str], Path], loaded: Any, rows: Any, free: Any) -> None:
    with loaded(bundles("conv"), max_batch=4096) as vae:
        x, _ = rows(vae, 4096)
        vae.encode(x[:1])
        vae.trim()
        before = free()
        vae.encode(x)
        taken = before - free()
        vae.trim()
        kept = before - free()
        assert taken > 256 * MIB
        assert kept < taken / 4


def test_a_closed_model_gives_back_what_it_took(
    bundles: Callable[[str], Path], loaded: Any, rows: Any, free: Any
) -> None:
    lost = []
    for _ in range(4):
        with loaded(bundles("conv")) as vae, vae.pinned(64) as fast:
            fast.encode(rows(vae, 64)[0])
        lost.append(free())
    assert max(lost[1:]) - min(lost[1:]) < 16 * MIB  # the first one loads CUDA's libraries


def test_an_image_of_2048_is_decoded_in_tiles_within_a_bound(
    bundles: Callable[[str], Path], loaded: Any, free: Any
) -> None:
    with loaded(bundles("kl"), precision="fp16") as vae:
        z = reparam.noise("normal", 3, range(1), (4, 256, 256))
        small = vae.decode(z[:, :, :64, :64])
        before = free()
        whole = vae.decode(z, tile=(512, 512), overlap=64)
        taken = before - free()
        assert whole.shape == (1, 3, 2048, 2048)
        assert small.shape == (1, 3, 512, 512)
        assert np.isfinite(whole).all()
        # a tile's values between layers, several times over; the image at once would be 16 times as much
        assert taken < 1024 * MIB


def test_memory_is_flat_over_ten_thousand_calls_of_any_batch(
    bundles: Callable[[str], Path], loaded: Any, rows: Any, free: Any
) -> None:
    sizes = np.random.default_rng(0).integers(1, 257, 10_000)
    with loaded(bundles("mnist")) as vae:
        x, _ = rows(vae, 256)
        vae.encode(x)
        for size in range(1, 257):  # each once: the arena's parts are those of the largest
            vae.decode(vae.encode(x[:size]).mean)
        before = free()
        for size in sizes:
            vae.encode(x[:size])
        assert before - free() < 8 * MIB


def test_two_sessions_in_two_threads_give_what_each_gives_alone(
    bundles: Callable[[str], Path], loaded: Any, rows: Any
) -> None:
    with loaded(bundles("conv")) as one, loaded(bundles("mnist")) as other:
        wanted, failed = {}, list[str]()
        for name, vae in (("one", one), ("other", other)):
            x, eps = rows(vae, 96)
            wanted[name] = x, eps, vae.sample(x, eps=eps)

        def work(name: str, vae: reparam.VAE) -> None:
            x, eps, z = wanted[name]
            with vae.pinned(96) as fast:
                for turn in range(200):
                    call = fast.sample if turn % 2 else vae.sample
                    if not np.allclose(call(x, eps=eps), z, rtol=0, atol=1e-5):
                        failed.append(f"{name}, turn {turn}")

        threads = [
            threading.Thread(target=work, args=each)
            for each in (("one", one), ("other", other), ("one", one), ("other", other))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []


def test_a_run_that_ends_for_want_of_memory_spares_the_next_one(
    bundles: Callable[[str], Path], loaded: Any, rows: Any, nearly_full: Callable[[int], None]
) -> None:
    with loaded(bundles("conv"), max_batch=8192) as vae:
        x, _ = rows(vae, 64)
        vae.trim()
        nearly_full(768 * MIB)  # some for kernels that CUDA's libraries have yet to load
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            vae.encode(np.concatenate([x] * 128))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what fitted is known by now
            vae.encode(np.concatenate([x] * 128))
