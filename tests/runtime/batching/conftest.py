"""What the tests of the Batcher share: a tiny model, a gate that makes it slow, and calls that wait in line."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import reparam
from reparam.testing import tiny_bundle

LONG = 60.0  # seconds that no test needs


def wait_until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(int(LONG / 0.002)):
        if condition():
            return
        tick.wait(0.002)
    raise AssertionError("it never came to that")


class Gate:
    """A model whose encode waits to be let through, as a slow one would; it notes the rows of each batch."""

    until = staticmethod(wait_until)

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


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], bool]], None]:
    return wait_until


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
def gate(vae: reparam.VAE, x: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:  # noqa: ARG001  x comes first
    made = Gate(vae, monkeypatch)
    yield made
    made.opened.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as threads:
        yield threads


@pytest.fixture
def start(pool: ThreadPoolExecutor) -> Callable[..., list[Future[Any]]]:
    """Calls that wait in the queue, in this order."""

    def begin(batcher: reparam.Batcher, *calls: Callable[[], Any]) -> list[Future[Any]]:
        started = []
        for call in calls:
            before = batcher.stats().waiting
            started.append(pool.submit(call))
            wait_until(lambda before=before: batcher.stats().waiting > before)
        return started

    return begin
