"""Batcher: every caller gets its own rows or its own error, and nobody waits for ever."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import ClosedError, DeadlineExceeded, InputError, InputTypeError, OptionError, QueueFull, RunError
from reparam.testing import tiny_bundle

LONG = 60.0  # seconds that no test needs


class Gate:
    """A model whose encode waits to be let through, as a slow one would; it notes the rows of each batch."""

    def __init__(self, vae: reparam.VAE, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[int] = []
        self.busy = threading.Event()
        self.opened = threading.Event()
        self._real = vae.encode
        monkeypatch.setattr(vae, "encode", self._encode)

    def _encode(self, x: Any, **options: Any) -> Any:
        self.batches.append(len(x))
        self.busy.set()
        assert self.opened.wait(LONG)
        return self._real(x, **options)


def until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(int(LONG / 0.002)):
        if condition():
            return
        tick.wait(0.002)
    raise AssertionError("it never came to that")


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("tiny") / "b")


@pytest.fixture
def vae(tiny_folder: Path) -> Iterator[reparam.VAE]:
    with reparam.load(tiny_folder, device="cpu", threads=1) as model:
        yield model


@pytest.fixture
def x(vae: reparam.VAE) -> Any:
    return vae.generate(64, seed=7)


@pytest.fixture
def gate(vae: reparam.VAE, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(vae, monkeypatch)
    yield made
    made.opened.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as threads:
        yield threads


def start(pool: ThreadPoolExecutor, batcher: reparam.Batcher, *calls: Callable[[], Any]) -> list[Future[Any]]:
    """Calls that wait in the queue, in this order."""
    started = []
    for call in calls:
        before = batcher.stats().waiting
        started.append(pool.submit(call))
        until(lambda before=before: batcher.stats().waiting > before)
    return started


# -- answers -----------------------------------------------------------------------------------------------------


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


def test_calls_that_wait_become_one_batch(vae: reparam.VAE, gate: Gate, x: Any, pool: ThreadPoolExecutor) -> None:
    with reparam.Batcher(vae) as batcher:
        first = pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        rest = start(pool, batcher, *(lambda i=i: batcher.encode(x[i : i + 2]) for i in range(10)))
        gate.opened.set()
        for i, call in enumerate(rest):
            assert np.array_equal(call.result(LONG).mean, vae.encode(x[i : i + 2]).mean)
        first.result(LONG)
        assert gate.batches[:2] == [1, 20]
        stats = batcher.stats()
        assert (stats.calls, stats.rows, stats.batches, stats.waiting) == (11, 21, 2, 0)


def test_a_batch_has_at_most_max_batch_rows_but_for_a_single_call_of_more(
    vae: reparam.VAE, gate: Gate, x: Any, pool: ThreadPoolExecutor
) -> None:
    with reparam.Batcher(vae, max_batch=4) as batcher:
        first = pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        sizes = [3, 1, 1, 9, 2, 2, 1]
        rest = start(pool, batcher, *(lambda n=n: batcher.encode(x[:n]) for n in sizes))
        gate.opened.set()
        assert [len(call.result(LONG).mean) for call in rest] == sizes
        first.result(LONG)
        assert gate.batches == [1, 4, 1, 9, 4, 1]


def test_answers_are_arrays_of_the_callers_own(vae: reparam.VAE, gate: Gate, x: Any, pool: ThreadPoolExecutor) -> None:
    with reparam.Batcher(vae) as batcher:
        pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        calls = start(pool, batcher, lambda: batcher.encode(x[:2]), lambda: batcher.encode(x[:2]))
        gate.opened.set()
        one, other = (call.result(LONG).mean for call in calls)
        assert not np.may_share_memory(one, other)
        assert one.flags.writeable
        assert one.base is None


def test_a_lone_caller_is_answered_though_nobody_joins_it(
    vae: reparam.VAE, gate: Gate, x: Any, pool: ThreadPoolExecutor
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
        crowd += start(pool, batcher, *(lambda: batcher.encode(x[:1]) for _ in range(9)))
        gate.opened.set()
        for call in crowd:
            call.result(LONG)
        assert len(batcher.encode(x[:1], timeout=LONG).mean) == 1  # ten were here; they are not waited for


# -- errors ------------------------------------------------------------------------------------------------------


def test_an_error_goes_to_its_caller_alone(vae: reparam.VAE, gate: Gate, x: Any, pool: ThreadPoolExecutor) -> None:
    bad = x[:3].copy()
    bad[1, 0, 2, 3] = np.nan
    with reparam.Batcher(vae) as batcher:
        pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        good = [lambda i=i: batcher.encode(x[i : i + 1]) for i in range(6)]
        calls = start(pool, batcher, *good[:3], lambda: batcher.encode(bad), *good[3:])
        gate.opened.set()
        with pytest.raises(InputError) as caught:
            calls.pop(3).result(LONG)
        with pytest.raises(InputError) as wanted:
            vae.encode(bad)
        assert str(caught.value) == str(wanted.value)
        assert "row 1, column [0, 2, 3]" in str(caught.value)
        for i, call in enumerate(calls):
            assert np.array_equal(call.result(LONG).mean, vae.encode(x[i : i + 1]).mean)
        assert np.isnan(batcher.encode(bad, allow_nan=True).mean).any()


def test_a_failure_of_the_run_goes_to_the_rows_that_cause_it(
    vae: reparam.VAE, x: Any, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, opened, real = threading.Event(), threading.Event(), vae.decode

    def decode(z: Any, **options: Any) -> Any:
        busy.set()
        assert opened.wait(LONG)
        if (z == 77).any():
            raise RunError("out of memory, say")
        return real(z, **options)

    monkeypatch.setattr(vae, "decode", decode)
    z = vae.sample(x, seed=7)
    bad = np.full((1, 2), 77, np.float32)
    with reparam.Batcher(vae) as batcher:
        first = pool.submit(batcher.decode, z[:1])
        assert busy.wait(LONG)
        good = [lambda i=i: batcher.decode(z[i : i + 1]) for i in range(5)]
        calls = start(pool, batcher, good[0], lambda: batcher.decode(bad), *good[1:], lambda: batcher.decode(bad))
        opened.set()
        for place in (6, 1):
            with pytest.raises(RunError, match=r"^out of memory, say$"):
                calls.pop(place).result(LONG)
        for i, call in enumerate([*calls, first]):
            assert np.array_equal(call.result(LONG), real(z[i % 5 : i % 5 + 1]))


def test_what_does_not_fit_is_refused_as_the_model_refuses_it(vae: reparam.VAE, x: Any) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda target: target.encode(x[0]),
        lambda target: target.encode([[1.0]]),
        lambda target: target.encode(x.astype(int)),
        lambda target: target.sample(x),
        lambda target: target.sample(x, eps=np.zeros((3, 2), np.float32)),
        lambda target: target.sample(x, eps=np.full((64, 2), np.inf, np.float32)),
        lambda target: target.sample(x, seed=-1),
        lambda target: target.decode(x),
        lambda target: target.reconstruct(x, first_row=3),
    ]
    with reparam.Batcher(vae) as batcher:
        for call in calls:
            with pytest.raises((InputError, InputTypeError, OptionError)) as wanted:
                call(vae)
            with pytest.raises(type(wanted.value)) as found:
                call(batcher)
            assert str(found.value) == str(wanted.value)
        assert batcher.stats().batches == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch": 0}, "max_batch: must be an integer of at least 1, got 0"),
        ({"max_batch": 8, "max_queue": 7}, "max_queue: must be an integer of at least 8, got 7"),
        ({"max_delay": -1}, "max_delay: must be seconds, a number of at least 0, got -1"),
        ({"max_delay": float("nan")}, "max_delay: must be seconds, a number of at least 0, got nan"),
        ({"max_delay": "1"}, "max_delay: must be seconds, a number of at least 0, got '1'"),
    ],
)
def test_options_out_of_their_range_are_refused_by_name(vae: reparam.VAE, options: Any, message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        reparam.Batcher(vae, **options)


def test_only_a_loaded_model_is_taken(vae: reparam.VAE, bundle: Path) -> None:
    with pytest.raises(OptionError, match=r"^vae: must be a model that reparam\.load gave, got str$"):
        reparam.Batcher(str(bundle))  # type: ignore[arg-type]
    vae.close()
    with pytest.raises(ClosedError, match=r"^this model is closed"):
        reparam.Batcher(vae)


# -- bounds ------------------------------------------------------------------------------------------------------


def test_a_full_queue_refuses_at_once_and_takes_calls_again_when_there_is_room(
    vae: reparam.VAE, gate: Gate, x: Any, pool: ThreadPoolExecutor
) -> None:
    with reparam.Batcher(vae, max_batch=2, max_queue=4) as batcher:
        calls = [pool.submit(batcher.encode, x[:1])]
        assert gate.busy.wait(LONG)
        calls += start(pool, batcher, lambda: batcher.encode(x[:3]))
        with pytest.raises(QueueFull, match=r"^max_queue: 4 rows may wait and 3 do, no room for 2 more; try again"):
            batcher.encode(x[:2])
        calls += start(pool, batcher, lambda: batcher.encode(x[:1]))
        with pytest.raises(QueueFull, match="4 do, no room for 1 more"):
            batcher.sample(x[:1], seed=7)
        with pytest.raises(InputError, match=r"^rows: a call has at most 4 \(max_queue\), got 5; call the model"):
            batcher.encode(x[:5])
        gate.opened.set()
        for call in calls:
            call.result(LONG)
        assert len(batcher.encode(x[:4]).mean) == 4
        assert sum(gate.batches) == 9  # what was refused never ran


def test_a_call_is_given_up_at_its_deadline_and_does_not_run_any_more(
    vae: reparam.VAE, gate: Gate, x: Any, pool: ThreadPoolExecutor
) -> None:
    with reparam.Batcher(vae) as batcher:
        first = pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        other = start(pool, batcher, lambda: batcher.encode(x[:2]))[0]
        with pytest.raises(DeadlineExceeded, match=r"^timeout: no answer within 0\.02 s; allow more") as caught:
            batcher.encode(x[:40], timeout=0.02)
        assert isinstance(caught.value, TimeoutError)
        assert batcher.stats().waiting == 2
        gate.opened.set()
        assert np.array_equal(other.result(LONG).mean, vae.encode(x[:2]).mean)
        first.result(LONG)
        assert gate.batches[:2] == [1, 2]


def test_a_deadline_holds_while_the_batch_runs_and_its_answer_goes_to_nobody(
    vae: reparam.VAE, gate: Gate, x: Any
) -> None:
    with reparam.Batcher(vae) as batcher:
        with pytest.raises(DeadlineExceeded):
            batcher.encode(x[:1], timeout=0.2)
        assert gate.busy.wait(LONG)
        gate.opened.set()
        assert np.array_equal(batcher.encode(x[1:2]).mean, vae.encode(x[1:2]).mean)
        assert np.array_equal(batcher.encode(x[2:3], timeout=LONG).mean, vae.encode(x[2:3]).mean)


def test_a_timeout_that_is_no_time_is_refused(vae: reparam.VAE, x: Any) -> None:
    with reparam.Batcher(vae) as batcher, pytest.raises(OptionError, match=r"^timeout: must be seconds, .*, got -1$"):
        batcher.encode(x, timeout=-1)


# -- life --------------------------------------------------------------------------------------------------------


def test_closing_answers_what_waits_and_lets_nobody_in(
    vae: reparam.VAE, gate: Gate, x: Any, pool: ThreadPoolExecutor
) -> None:
    batcher = reparam.Batcher(vae)
    first = pool.submit(batcher.encode, x[:1])
    assert gate.busy.wait(LONG)
    calls = start(pool, batcher, *(lambda: batcher.encode(x[:1]) for _ in range(3)))
    closing = pool.submit(batcher.close)

    def refused() -> bool:
        try:
            batcher.encode(x[:1], timeout=0)
        except DeadlineExceeded:
            return False  # the other thread has not begun to close
        except ClosedError as error:
            return str(error) == "this batcher is closed; make another"

    until(refused)
    gate.opened.set()
    for call in [first, *calls]:
        assert len(call.result(LONG).mean) == 1
    closing.result(LONG)
    batcher.close()
    assert len(vae.encode(x[:1]).mean) == 1  # the model is still open


def test_closing_without_draining_refuses_what_waits(
    vae: reparam.VAE, gate: Gate, x: Any, pool: ThreadPoolExecutor
) -> None:
    batcher = reparam.Batcher(vae)
    first = pool.submit(batcher.encode, x[:1])
    assert gate.busy.wait(LONG)
    calls = start(pool, batcher, *(lambda: batcher.encode(x[:1]) for _ in range(3)))
    closing = pool.submit(batcher.close, drain=False)
    for call in calls:
        with pytest.raises(ClosedError, match=r"^this batcher was closed before the call ran"):
            call.result(LONG)
    gate.opened.set()
    closing.result(LONG)
    assert len(first.result(LONG).mean) == 1  # its batch had begun
    assert gate.batches == [1]


def test_a_model_that_is_closed_beside_it_says_so_to_each_caller(
    vae: reparam.VAE, gate: Gate, x: Any, pool: ThreadPoolExecutor
) -> None:
    with reparam.Batcher(vae) as batcher:
        pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        calls = start(pool, batcher, *(lambda: batcher.encode(x[:1]) for _ in range(3)))
        vae.close()
        gate.opened.set()
        for call in calls:
            with pytest.raises(ClosedError, match=r"^this model is closed; load it again$"):
                call.result(LONG)
        with pytest.raises(ClosedError, match=r"^this model is closed"):
            batcher.encode(x[:1])


def test_its_thread_ends_with_it(vae: reparam.VAE, x: Any) -> None:
    def own() -> int:
        return sum(thread.name == "reparam-batcher" for thread in threading.enumerate())

    with reparam.Batcher(vae) as batcher:
        batcher.encode(x)
        assert own() == 1
    assert own() == 0
    batcher = reparam.Batcher(vae)
    batcher.encode(x)
    del batcher
    until(lambda: own() == 0)


def test_a_program_that_forgets_to_close_it_ends_in_order(fresh: Callable[..., Any], tiny_folder: Path) -> None:
    code = """
import sys, threading, reparam
vae = reparam.load(sys.argv[1], device="cpu", threads=1)
x = vae.generate(256, seed=7)
batcher = reparam.Batcher(vae)
for _ in range(3):
    threading.Thread(target=batcher.encode, args=(x,), daemon=True).start()
batcher.encode(x)
print("end")
"""
    done = fresh(code, tiny_folder)
    assert (done.code, done.out, done.err) == (0, "end\n", "")


def test_a_child_made_by_fork_is_refused_and_the_parent_goes_on(fresh: Callable[..., Any], tiny_folder: Path) -> None:
    code = """
import os, sys, reparam
vae = reparam.load(sys.argv[1], device="cpu", threads=1)
x = vae.generate(1, seed=7)
with reparam.Batcher(vae) as batcher:
    batcher.encode(x)
    child = os.fork()
    if not child:
        try:
            batcher.encode(x)
        except reparam.errors.ClosedError as error:
            batcher.close()
            if not str(error).startswith("this batcher's thread is in the process that made it"):
                os._exit(2)
        with reparam.Batcher(vae) as own:
            os._exit(0 if len(own.encode(x, timeout=60).mean) == 1 else 3)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(batcher.encode(x).mean))
"""
    done = fresh(code, tiny_folder)
    assert (done.out, done.err) == ("0 1\n", "")
