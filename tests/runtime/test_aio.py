"""aencode and the like: what the plain calls give, away from the event loop."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import ClosedError, InputError
from reparam.testing import tiny_bundle

Fresh = Callable[..., Any]


@pytest.fixture
def vae(tmp_path: Path) -> Iterator[reparam.VAE]:
    with reparam.load(tiny_bundle(tmp_path / "b"), device="cpu", threads=1) as model:
        yield model


def test_each_gives_what_the_plain_call_gives(vae: reparam.VAE) -> None:
    x = vae.generate(9, seed=7)
    z, eps = vae.sample(x, seed=7), reparam.noise("normal", 3, range(9), (2,))

    async def calls() -> tuple[Any, ...]:
        return await asyncio.gather(
            vae.aencode(x),
            vae.asample(x, seed=7, first_row=5),
            vae.asample(x, eps=eps),
            vae.adecode(z),
            vae.areconstruct(x),
            vae.areconstruct(x, seed=7),
            vae.agenerate(9, seed=8, first_row=3),
        )

    posterior, *found = asyncio.run(calls())
    assert np.array_equal(posterior.mean, vae.encode(x).mean)
    assert np.array_equal(posterior.logvar, vae.encode(x).logvar)
    wanted = [
        vae.sample(x, seed=7, first_row=5),
        vae.sample(x, eps=eps),
        vae.decode(z),
        vae.reconstruct(x),
        vae.reconstruct(x, seed=7),
        vae.generate(9, seed=8, first_row=3),
    ]
    assert all(map(np.array_equal, found, wanted))


@pytest.mark.parametrize("name", ["encode", "sample", "decode", "reconstruct", "generate"])
def test_each_takes_the_arguments_of_the_plain_call(name: str) -> None:
    plain, awaited = (inspect.signature(getattr(reparam.VAE, prefix + name)) for prefix in ("", "a"))
    assert awaited == plain


def test_results_go_into_the_callers_arrays(vae: reparam.VAE) -> None:
    x, out = vae.generate(9, seed=7), np.empty((9, 2), np.float32)
    assert asyncio.run(vae.asample(x, seed=7, out=out)) is out
    assert np.array_equal(out, vae.sample(x, seed=7))


def test_errors_are_those_of_the_plain_call(vae: reparam.VAE) -> None:
    with pytest.raises(InputError, match=r"^x: shape must be \[n, 1, 8, 8\], got \[3, 5\]$"):
        asyncio.run(vae.aencode(np.zeros((3, 5), np.float32)))


def test_the_loop_runs_on_and_its_default_executor_is_left_alone(
    vae: reparam.VAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, opened, where = vae.generate(1, seed=7), threading.Event(), []
    real = vae.encode

    def encode(*arguments: Any, **options: Any) -> Any:
        where.append(threading.current_thread().name)
        assert opened.wait(60)
        return real(*arguments, **options)

    monkeypatch.setattr(vae, "encode", encode)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "run_in_executor", None)  # to_thread and the default executor go through it
        call = asyncio.create_task(vae.aencode(x))
        while not where:
            await asyncio.sleep(0.001)
        opened.set()  # by the loop, which the call did not hold
        assert np.array_equal((await call).mean, real(x).mean)
        monkeypatch.undo()

    asyncio.run(main())
    assert where[0].startswith("reparam")


def test_a_call_that_is_cancelled_before_a_thread_is_free_never_runs(
    vae: reparam.VAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, opened, ran = vae.generate(1, seed=7), threading.Event(), []

    def encode(*_: Any, **__: Any) -> None:
        ran.append(1)
        assert opened.wait(60)

    monkeypatch.setattr(vae, "encode", encode)

    async def main() -> int:
        tasks = [asyncio.create_task(vae.aencode(x)) for _ in range(200)]  # more than there are threads
        while not ran:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)
        started = len(ran)
        opened.set()
        return started

    started = asyncio.run(main())
    vae.close()
    assert len(ran) <= started + 1 < 200


def test_a_closed_model_says_so(vae: reparam.VAE) -> None:
    x = vae.generate(1, seed=7)
    asyncio.run(vae.aencode(x))
    vae.close()
    with pytest.raises(ClosedError, match=r"^this model is closed; load it again$"):
        asyncio.run(vae.aencode(x))


def test_no_thread_starts_before_the_first_call_and_none_outlives_the_model(fresh: Fresh, bundle: Path) -> None:
    code = """
import asyncio, sys, threading, time, reparam
def own():
    return sum(thread.name.startswith("reparam") for thread in threading.enumerate())
vae = reparam.load(sys.argv[1], device="cpu", threads=1)
before = own()
asyncio.run(vae.agenerate(1, seed=7))
during = own()
vae.close()
end = time.monotonic() + 60
while own() and time.monotonic() < end:
    time.sleep(0.01)
print(before, during > 0, own())
"""
    done = fresh(code, bundle)
    assert (done.out, done.err) == ("0 True 0\n", "")


def test_a_child_made_by_fork_awaits_calls_of_a_model_of_its_own(fresh: Fresh, bundle: Path) -> None:
    code = """
import asyncio, os, sys, reparam
vae = reparam.load(sys.argv[1], device="cpu", threads=1)
asyncio.run(vae.agenerate(1, seed=7))
child = os.fork()
if not child:
    with reparam.load(sys.argv[1], device="cpu", threads=1) as own:
        os._exit(0 if len(asyncio.run(own.agenerate(3, seed=7))) == 3 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = fresh(code, bundle)
    assert (done.out, done.err) == ("0\n", "")
