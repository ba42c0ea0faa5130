"""Ctrl-C and SIGTERM, kept until the step in progress is done, so that a run ends with a checkpoint."""

import contextlib
import signal
import threading
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop, and left a checkpoint from which `resume` goes on to the same bits.

    A KeyboardInterrupt, so that a program that trains many models stops too.

    Attributes:
        run: folder of the run.
        step: steps that are done.
        signal: which signal it was; 128 + its number is the exit code of the command.
    """

    def __init__(self, run: Path, *, step: int, signal_number: int) -> None:
        self.run, self.step, self.signal = run, step, signal.Signals(signal_number)
        super().__init__(f"{run}: stopped by {self.signal.name} after {step} steps; a checkpoint is there")


class Pending:
    """The signal that came, or None."""

    def __init__(self) -> None:
        self.signal: int | None = None


@contextlib.contextmanager
def kept() -> Generator[Pending]:
    """Keeps the first SIGINT or SIGTERM of the block; a second one does what it did before, so ends the program.

    Python lets the main thread alone handle signals: in any other thread nothing is changed.
    """
    pending = Pending()
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return
    before = {number: signal.getsignal(number) for number in STOPPING}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def keep(number: int, _: FrameType | None) -> None:
        pending.signal = number
        restore()

    for number in STOPPING:
        signal.signal(number, keep)
    try:
        yield pending
    finally:
        restore()
