"""Batcher for asyncio: as for threads, with cancellation, and the loop never held."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import DeadlineExceeded, InputError, QueueFull

LONG = 60.0  # seconds that no test needs


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.001)


def test_mixed_calls_of_100_tasks_in_two_loops_are_answered_as_by_the_model_to_the_bit(
    vae: reparam.VAE, x: Any
) -> None:
    z = vae.sample(x, seed=7)

    ops: list[Callable[[Any, Any, Any, int], Any]] = [
        lambda prefix, x, _, __: call(prefix + "encode")(x),
        lambda prefix, x, _, i: call(prefix + "sample")(x, seed=i),
        lambda prefix, _, z, __: call(prefix + "decode")(z),
        lambda prefix, x, _, __: call(prefix + "reconstruct")(x),
        lambda prefix, x, _, i: call(prefix + "reconstruct")(x, seed=i, first_row=i),
    ]

    def call(name: str) -> Any:
        return getattr(batcher if name.startswith("a") else vae, name)

    def answer_of(prefix: str, i: int) -> Any:
        rows = slice(i % 50, i % 50 + i % 4)
        return ops[i % 5](prefix, x[rows], z[rows], i)

    def plain(answer: Any) -> Any:
        return (answer.mean, answer.logvar) if isinstance(answer, reparam.Posterior) else answer

    async def task(i: int) -> list[Any]:
        return [plain(await answer_of("a", i + k)) for k in range(10)]

    async def main(first: int) -> list[list[Any]]:
        return await asyncio.gather(*(task(first + i) for i in range(100)))

    with reparam.Batcher(vae, max_batch=16, max_queue=2000) as batcher, ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda first: asyncio.run(main(first)), (0, 1000)))
        assert batcher.stats().batches < batcher.stats().calls  # they really were joined
    for first, found in zip((0, 1000), both, strict=True):
        for i, k in itertools.product(range(100), range(10)):
            assert np.array_equal(found[i][k], plain(answer_of("", first + i + k)))


def test_the_rows_of_a_cancelled_task_are_dropped_and_nobody_gets_anothers_answer(
    vae: reparam.VAE, x: Any, gate: Any
) -> None:
    opened, batches = gate.opened, gate.batches

    async def main() -> None:
        first = asyncio.create_task(batcher.aencode(x[:1]))
        await until(lambda: batches == [1])
        tasks = [asyncio.create_task(batcher.aencode(x[i : i + 1])) for i in range(20)]
        await until(lambda: batcher.stats().waiting == 20)
        for task in tasks[::2]:
            task.cancel()
        ended = await asyncio.gather(*tasks[::2], return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)
        assert batcher.stats().waiting == 10
        opened.set()
        for i, task in enumerate(tasks):
            if i % 2:
                assert np.array_equal((await task).mean, vae.encode(x[i : i + 1]).mean)
        await first
        assert batches[:2] == [1, 10]

    with reparam.Batcher(vae) as batcher:
        asyncio.run(main())


def test_a_task_may_be_cancelled_while_its_batch_runs(vae: reparam.VAE, x: Any, gate: Any) -> None:
    opened, batches = gate.opened, gate.batches

    async def main() -> None:
        task = asyncio.create_task(batcher.aencode(x[:1]))
        await until(lambda: batches == [1])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        opened.set()
        assert np.array_equal((await batcher.aencode(x[1:2])).mean, vae.encode(x[1:2]).mean)

    with reparam.Batcher(vae) as batcher:
        asyncio.run(main())


def test_a_loop_that_ends_before_its_answer_harms_nobody(vae: reparam.VAE, x: Any, gate: Any) -> None:
    opened, batches = gate.opened, gate.batches

    async def leave() -> None:
        task = asyncio.create_task(batcher.aencode(x[:1]))
        await until(lambda: batches == [1])
        task.cancel()

    with reparam.Batcher(vae) as batcher:
        asyncio.run(leave())
        opened.set()
        assert np.array_equal(batcher.encode(x[1:2]).mean, vae.encode(x[1:2]).mean)


def test_a_deadline_is_kept_and_the_rows_do_not_run(vae: reparam.VAE, x: Any, gate: Any) -> None:
    opened, batches = gate.opened, gate.batches

    async def main() -> None:
        first = asyncio.create_task(batcher.aencode(x[:1]))
        await until(lambda: batches == [1])
        with pytest.raises(DeadlineExceeded, match=r"^timeout: no answer within 0\.02 s"):
            await batcher.aencode(x[:40], timeout=0.02)
        assert batcher.stats().waiting == 0
        opened.set()
        await first
        assert len((await batcher.aencode(x[:3], timeout=LONG)).mean) == 3

    with reparam.Batcher(vae) as batcher:
        asyncio.run(main())
    assert batches == [1, 3]


def test_an_outer_timeout_is_a_cancellation(vae: reparam.VAE, x: Any, gate: Any) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            await asyncio.wait_for(batcher.aencode(x[:1]), 0.02)
        assert not isinstance(caught.value, DeadlineExceeded)
        gate.opened.set()

    with reparam.Batcher(vae) as batcher:
        asyncio.run(main())


def test_errors_go_to_the_task_that_made_them(vae: reparam.VAE, x: Any, gate: Any) -> None:
    opened, batches = gate.opened, gate.batches
    bad = np.full_like(x[:1], np.nan)

    async def main() -> None:
        first = asyncio.create_task(batcher.aencode(x[:1]))
        await until(lambda: batches == [1])
        calls: list[Awaitable[Any]] = [batcher.aencode(x[1:3]), batcher.aencode(bad), batcher.aencode(x[3:4])]
        tasks = [asyncio.create_task(call) for call in calls]  # type: ignore[arg-type]
        await until(lambda: batcher.stats().waiting == 4)
        with pytest.raises(QueueFull):
            await batcher.aencode(x[:1])
        opened.set()
        one, error, other = await asyncio.gather(*tasks, return_exceptions=True)
        assert np.array_equal(one.mean, vae.encode(x[1:3]).mean)
        assert np.array_equal(other.mean, vae.encode(x[3:4]).mean)
        assert isinstance(error, InputError)
        assert str(error).startswith("x: must be finite, got nan at row 0,")
        with pytest.raises(InputError, match="shape must be"):
            await batcher.aencode(x[0])
        await first

    with reparam.Batcher(vae, max_batch=4, max_queue=4) as batcher:
        asyncio.run(main())
