"""CUDA graphs are captured while nothing else of this process asks a card for anything.

onnxruntime captures in cudaStreamCaptureModeGlobal: meanwhile an allocation, a copy or a wait of any other thread fails
with error 900, and so does the capture. Work on a card therefore goes side by side, and a capture alone.
"""

import os
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


class _Turns:
    """Many at a time, or one alone; who waits to be alone comes next. A thread that is inside may enter again."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Nobody is inside."""
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0  # threads
        self._alone: int | None = None  # the thread that is, or is about to be
        self._mine = threading.local()  # how many times over this thread is inside

    @property
    def _depth(self) -> int:
        depth: int = getattr(self._mine, "depth", 0)
        return depth

    def enter(self) -> None:
        """Waits until no other thread is alone."""
        if not self._depth:
            with self._changed:
                while self._alone not in (None, threading.get_ident()):
                    self._changed.wait()
                self._inside += 1
        self._mine.depth = self._depth + 1

    def leave(self) -> None:
        """Ends what `enter` began."""
        self._mine.depth = self._depth - 1
        if not self._depth:
            with self._changed:
                self._inside -= 1
                if not self._inside:
                    self._changed.notify_all()

    @contextmanager
    def alone(self) -> Generator[None]:
        """Waits until all others are out, and lets none in."""
        with self._changed:
            while self._alone is not None:
                self._changed.wait()
            self._alone = threading.get_ident()
        try:
            with self._changed:
                while self._inside:
                    self._changed.wait()
            yield
        finally:
            with self._changed:
                self._alone = None
                self._changed.notify_all()

    def guards(self) -> bool:
        """Whether a capture of another thread would have to wait; for tests."""
        return self._inside > 0 or self._alone == threading.get_ident()


_TURNS: Final = _Turns()
capturing: Final[Callable[[], AbstractContextManager[None]]] = _TURNS.alone
guarded: Final[Callable[[], bool]] = _TURNS.guards
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_TURNS.begin)  # the parent's threads are not there to end their turns


def beside_captures(call: Callable[_Given, _Found], *, card: bool = True) -> Callable[_Given, _Found]:
    """The call, which waits for captures of other threads: whatever asks a card for something; as it is for a CPU."""
    if not card:
        return call

    def waiting(*args: _Given.args, **kwargs: _Given.kwargs) -> _Found:
        _TURNS.enter()
        try:
            return call(*args, **kwargs)
        finally:
            _TURNS.leave()

    return waiting
