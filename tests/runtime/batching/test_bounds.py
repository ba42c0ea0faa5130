"""Batcher: its queue is bounded, deadlines are kept, and its thread ends."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.errors import ClosedError, DeadlineExceeded, InputError, OptionError, QueueFull

LONG = 60.0  # seconds that no test needs
Start = Callable[..., list[Future[Any]]]
Until = Callable[[Callable[[], bool]], None]


def test_a_full_queue_refuses_at_once_and_takes_calls_again_when_there_is_room(
    vae: reparam.VAE, gate: Any, x: Any, pool: ThreadPoolExecutor, start: Start
) -> None:
    with reparam.Batcher(vae, max_batch=2, max_queue=4) as batcher:
        calls = [pool.submit(batcher.encode, x[:1])]
        assert gate.busy.wait(LONG)
        calls += start(batcher, lambda: batcher.encode(x[:3]))
        with pytest.raises(QueueFull, match=r"^max_queue: 4 rows may wait and 3 do, no room for 2 more; try again"):
            batcher.encode(x[:2])
        calls += start(batcher, lambda: batcher.encode(x[:1]))
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
    vae: reparam.VAE, gate: Any, x: Any, pool: ThreadPoolExecutor, start: Start
) -> None:
    with reparam.Batcher(vae) as batcher:
        first = pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        other = start(batcher, lambda: batcher.encode(x[:2]))[0]
        with pytest.raises(DeadlineExceeded, match=r"^timeout: no answer within 0\.02 s; allow more") as caught:
            batcher.encode(x[:40], timeout=0.02)
        assert isinstance(caught.value, TimeoutError)
        assert batcher.stats().waiting == 2
        gate.opened.set()
        assert np.array_equal(other.result(LONG).mean, vae.encode(x[:2]).mean)
        first.result(LONG)
        assert gate.batches[:2] == [1, 2]


def test_a_deadline_holds_while_the_batch_runs_and_its_answer_goes_to_nobody(
    vae: reparam.VAE, gate: Any, x: Any
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


def test_closing_answers_what_waits_and_lets_nobody_in(
    vae: reparam.VAE, gate: Any, x: Any, pool: ThreadPoolExecutor, start: Start
) -> None:
    batcher = reparam.Batcher(vae)
    first = pool.submit(batcher.encode, x[:1])
    assert gate.busy.wait(LONG)
    calls = start(batcher, *(lambda: batcher.encode(x[:1]) for _ in range(3)))
    closing = pool.submit(batcher.close)

    def refused() -> bool:
        try:
            batcher.encode(x[:1], timeout=0)
        except DeadlineExceeded:
            return False  # the other thread has not begun to close
        except ClosedError as error:
            return str(error) == "this batcher is closed; make another"

    gate.until(refused)
    gate.opened.set()
    for call in [first, *calls]:
        assert len(call.result(LONG).mean) == 1
    closing.result(LONG)
    batcher.close()
    with pytest.raises(ClosedError, match=r"^this batcher is closed; make another$"), batcher:
        pytest.fail("a closed batcher was entered")
    assert len(vae.encode(x[:1]).mean) == 1  # the model is still open


def test_closing_without_draining_refuses_what_waits(
    vae: reparam.VAE, gate: Any, x: Any, pool: ThreadPoolExecutor, start: Start
) -> None:
    batcher = reparam.Batcher(vae)
    first = pool.submit(batcher.encode, x[:1])
    assert gate.busy.wait(LONG)
    calls = start(batcher, *(lambda: batcher.encode(x[:1]) for _ in range(3)))
    closing = pool.submit(batcher.close, drain=False)
    for call in calls:
        with pytest.raises(ClosedError, match=r"^this batcher was closed before the call ran"):
            call.result(LONG)
    gate.opened.set()
    closing.result(LONG)
    assert len(first.result(LONG).mean) == 1  # its batch had begun
    assert gate.batches == [1]


def test_a_model_that_is_closed_beside_it_says_so_to_each_caller(
    vae: reparam.VAE, gate: Any, x: Any, pool: ThreadPoolExecutor, start: Start
) -> None:
    with reparam.Batcher(vae) as batcher:
        pool.submit(batcher.encode, x[:1])
        assert gate.busy.wait(LONG)
        calls = start(batcher, *(lambda: batcher.encode(x[:1]) for _ in range(3)))
        vae.close()
        gate.opened.set()
        for call in calls:
            with pytest.raises(ClosedError, match=r"^this model is closed; load it again$"):
                call.result(LONG)
        with pytest.raises(ClosedError, match=r"^this model is closed"):
            batcher.encode(x[:1])


def test_its_thread_ends_with_it(vae: reparam.VAE, x: Any, until: Until) -> None:
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
        try:
            batcher.__enter__()
            os._exit(4)
        except reparam.errors.ClosedError:
            pass
        with reparam.Batcher(vae) as own:
            os._exit(0 if len(own.encode(x, timeout=60).mean) == 1 else 3)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(batcher.encode(x).mean))
"""
    done = fresh(code, tiny_folder)
    assert (done.out, done.err) == ("0 1\n", "")
