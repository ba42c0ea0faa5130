"""Batcher: every caller gets its own rows, as the model would give them."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import OptionError
from reparam.testing import tiny_bundle

LONG = 60.0  # seconds that no test needs
Start = Callable[..., list[Future[Any]]]


@pytest.mark.parametrize("max_batch", [1, 7, 64])
@pytest.mark.parametrize("model", ["tiny", "digits"])
def test_mixed_calls_of_16_threads_are_answered_as_by_the_model_to_the_bit(
    tiny_folder: Path, bundle: Path, model: str, max_batch: int
) -> None:
    with reparam.load(tiny_folder if model == "tiny" else bundle, device="cpu", threads=1) as vae:
        rows = vae.generate(64, seed=7)
        latents = vae.sample(rows, seed=7)
        eps = reparam.noise("normal", 9, range(64), vae.manifest.latent.shape)

        ops: list[Callable[[Any, Any, Any, int], Any]] = [
            lambda target, x, _, __: target.encode(x),
            lambda target, x, _, k: target.sample(x, seed=k, first_row=3),
            lambda target, x, _, __: target.sample(x, eps=eps[: len(x)]),
            lambda target, _, z, __: target.decode(z),
            lambda target, x, _, __: target.reconstruct(x),
            lambda target, x, _, k: target.reconstruct(x, seed=5, first_row=k),
        ]

        def calls(target: Any, thread: int) -> Iterator[tuple[Any, ...]]:
            order = np.random.default_rng(thread)
            for _ in range(25):
                first, n, op, form = (int(order.integers(most)) for most in (40, 11, len(ops), 4))
                x, z = rows[first : first + n], latents[first : first + n]
                answer = ops[op](target, x.astype(["<f8", ">f4", "<f4", "<f4"][form]), z, first)
                yield (answer.mean, answer.logvar) if op == 0 else (answer,)

        wanted = [list(calls(vae, thread)) for thread in range(16)]
        with reparam.Batcher(vae, max_batch=max_batch, max_queue=1000) as batcher, ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda thread: list(calls(batcher, thread)), range(16)))
        for expected, answer in zip(itertools.chain(*wanted), itertools.chain(*found), strict=True):
            assert all(map(np.array_equal, expected, answer))
            assert [array.dtype for array in expected] == [array.dtype for array in answer]


def test_a_plain_autoencoder_has_its_own_calls(tmp_path: Path) -> None:
    with (
        reparam.load(tiny_bundle(tmp_path / "b", deterministic=True), device="cpu", threads=1) as vae,
        reparam.Batcher(vae) as batcher,
    ):
        rows = vae.generate(5, seed=7)
        assert np.array_equal(batcher.sample(rows), vae.sample(rows))
        assert np.array_equal(batcher.reconstruct(rows), vae.reconstruct(rows))
        with pytest.raises(OptionError, match="no posterior"):
            batcher.encode(rows)


def test_calls_that_wait_become_one_batch(
    vae: reparam.VAE, gate: Any, x: Any, pool: ThreadPoolExecutor, start: Start
) -> None:
    with reparam.Batcher(vae) as batcher:
        first = pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        rest = start(batcher, *(lambda i=i: batcher.encode(x[i : i + 2]) for i in range(10)))
        gate.opened.set()
        for i, call in enumerate(rest):
            assert np.array_equal(call.result(LONG).mean, vae.encode(x[i : i + 2]).mean)
        first.result(LONG)
        assert gate.batches[:2] == [1, 20]
        stats = batcher.stats()
        assert (stats.calls, stats.rows, stats.batches, stats.waiting) == (11, 21, 2, 0)


def test_a_batch_has_at_most_max_batch_rows_but_for_a_single_call_of_more(
    vae: reparam.VAE, gate: Any, x: Any, pool: ThreadPoolExecutor, start: Start
) -> None:
    with reparam.Batcher(vae, max_batch=4) as batcher:
        first = pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        sizes = [3, 1, 1, 9, 2, 2, 1]
        rest = start(batcher, *(lambda n=n: batcher.encode(x[:n]) for n in sizes))
        gate.opened.set()
        assert [len(call.result(LONG).mean) for call in rest] == sizes
        first.result(LONG)
        assert gate.batches == [1, 4, 1, 9, 4, 1]


def test_answers_are_arrays_of_the_callers_own(
    vae: reparam.VAE, gate: Any, x: Any, pool: ThreadPoolExecutor, start: Start
) -> None:
    with reparam.Batcher(vae) as batcher:
        pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        calls = start(batcher, lambda: batcher.encode(x[:2]), lambda: batcher.encode(x[:2]))
        gate.opened.set()
        one, other = (call.result(LONG).mean for call in calls)
        assert not np.may_share_memory(one, other)
        assert one.flags.writeable
        assert one.base is None


def test_a_lone_caller_is_answered_though_nobody_joins_it(
    vae: reparam.VAE, gate: Any, x: Any, pool: ThreadPoolExecutor, start: Start
) -> None:
    gate.opened.set()
    with reparam.Batcher(vae, max_delay=3600) as batcher:  # one wait would be longer than this test may take
        for i in range(20):
            batcher.encode(x[i : i + 1])
    with reparam.Batcher(vae, max_delay=0.05) as batcher:
        gate.opened.clear()
        gate.busy.clear()
        crowd = [pool.submit(batcher.encode, x[:1])]
        assert gate.busy.wait(LONG)
        crowd += start(batcher, *(lambda: batcher.encode(x[:1]) for _ in range(9)))
        gate.opened.set()
        for call in crowd:
            call.result(LONG)
        assert len(batcher.encode(x[:1], timeout=LONG).mean) == 1  # ten were here; they are not waited for
