"""CUDA graphs are captured while nothing else of the process asks the card for anything; see `stand_in_card`."""

import gc
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reparam
from reparam.engine import captures
from reparam.engine.captures import beside_captures
from stand_in_card import Card, installed


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> type[Card]:
    """An onnxruntime that has a card."""
    return installed(monkeypatch)


def images(n: int) -> np.ndarray:
    return np.random.default_rng(n).uniform(0, 1, (n, 1, 8, 8)).astype(np.float32)


@pytest.mark.usefixtures("card")
def test_a_capture_meets_no_other_work_of_the_process_on_the_card(bundle: Path) -> None:
    wanted: list[Any] = []
    failed: list[BaseException] = []

    def run(vae: reparam.VAE, over: threading.Event) -> None:
        try:
            while not over.is_set():
                assert np.array_equal(vae.encode(images(4)).mean, wanted[0])
        except BaseException as error:
            failed.append(error)

    def pin(vae: reparam.VAE) -> None:
        try:
            for _ in range(8):
                with vae.pinned(4, cuda_graph=True) as fast:
                    assert np.array_equal(fast.encode(images(4)).mean, wanted[0])
        except BaseException as error:
            failed.append(error)

    with reparam.load(bundle, device="cuda") as vae, reparam.load(bundle, device="cuda") as other:
        wanted.append(vae.encode(images(4)).mean)
        over = threading.Event()
        runs = [threading.Thread(target=run, args=(each, over)) for each in (vae, other)]
        pins = [threading.Thread(target=pin, args=(each,)) for each in (vae, other)]
        for thread in (*runs, *pins):
            thread.start()
        for thread in pins:
            thread.join()
        over.set()
        for thread in runs:
            thread.join()
    assert failed == []


def test_closing_gives_memory_back_while_no_capture_can_be(bundle: Path, card: type[Card]) -> None:
    with reparam.load(bundle, device="cuda") as vae, vae.pinned(2, cuda_graph=True) as fast:
        fast.encode(images(2))
        card.made.clear()
        gc.collect()
        card.dropped.clear()
    assert card.dropped == [True] * 4  # those of the model, and those that capture


def test_ctrl_c_while_a_capture_waits_for_its_turn_leaves_the_card_to_others() -> None:
    entered, over, waiting = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        over.wait()

    class Interrupting(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is None
            waiting.set()
            raise KeyboardInterrupt

    thread = threading.Thread(target=beside_captures(hold))
    thread.start()
    entered.wait()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captures._TURNS, "_changed", Interrupting(captures._TURNS._changed._lock))
        with pytest.raises(KeyboardInterrupt), captures.capturing():
            raise AssertionError("another thread is not out yet")
    assert waiting.is_set()
    assert beside_captures(lambda: 3)() == 3
    over.set()
    thread.join()
    with captures.capturing():
        assert beside_captures(lambda: 4)() == 4


def test_what_enters_again_while_a_capture_waits_does_not_wait_for_it() -> None:
    begun, over = threading.Event(), threading.Event()

    def capture() -> None:
        begun.set()
        with captures.capturing():
            over.set()

    thread = threading.Thread(target=capture)

    def inner() -> int:  # as of a model that a finalizer closes in the middle of a call
        thread.start()
        begun.wait()
        time.sleep(0.05)
        return beside_captures(lambda: 5)()

    assert beside_captures(inner)() == 5
    assert over.wait(10)
    thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_waits_for_no_thread_of_its_parent() -> None:
    entered, over = threading.Event(), threading.Event()

    def hold() -> None:
        with captures.capturing():
            entered.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(beside_captures(lambda: 7)())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    over.set()
    thread.join()


def test_a_session_whose_capture_failed_is_not_used_again(
    bundle: Path, card: type[Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = Card.run_with_iobinding, list[Card]()

    def failing_once(self: Card, *given: Any) -> None:
        if "enable_cuda_graph" in self.options:
            asked.append(self)
            if len(asked) == 1:
                raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")
        real(self, *given)

    monkeypatch.setattr(card, "run_with_iobinding", failing_once)
    with reparam.load(bundle, device="cuda") as vae, vae.pinned(2) as fast:
        assert np.array_equal(fast.encode(images(2)).mean, vae.encode(images(2)).mean)
        assert np.array_equal(fast.sample(images(2), seed=1), vae.sample(images(2), seed=1))
        assert not fast.cuda_graph
    assert asked.count(asked[0]) == 1
    assert len(set(asked)) == 3  # and one of the encoder that captured, and the decoder's
