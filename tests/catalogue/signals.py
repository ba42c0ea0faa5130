"""Signals in the middle of a command: real ones, sent to this process."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any
from unittest import mock

from catalogue.disks import KEPT
from catalogue.row import Place, Row
from reparam.jobs import run, work

SAMPLE = "reparam sample AT/bundle AT/x.npy --seed 7 --out AT/out.npy --device cpu --max-batch 2"


@contextlib.contextmanager
def after(number: int, rows: int) -> Iterator[None]:
    """The signal comes when so many rows are written, and those before them on the disk."""
    real = work._Saver.wrote

    def wrote(self: Any, span: tuple[int, int], row_bytes: int) -> None:
        real(self, span, row_bytes)
        if span[1] >= rows:
            self.finish()
            os.kill(os.getpid(), number)

    with mock.patch.object(work._Saver, "wrote", wrote), mock.patch.object(work, "SYNC_SECONDS", 0.0):
        yield


@contextlib.contextmanager
def at_once(number: int) -> Iterator[None]:
    """The signal comes before anything is written."""
    with mock.patch.object(run, "identity_of", side_effect=lambda *_: os.kill(os.getpid(), number)):
        yield


def _row(key: str, fault: str, message: str, code: int, during: Any, **more: Any) -> Row:
    return Row(
        key=f"signal-{key}",
        fault=fault,
        way=SAMPLE,
        message=message,
        code=code,
        make=Place.both,
        during=during,
        **more,
    )


KEEPS = "4 of 5 rows are kept, and --resume goes on from them"
ROWS = [
    _row("interrupt", "Ctrl-C", f"interrupted; {KEEPS}", 130, lambda _: after(signal.SIGINT, 4), leaves=KEPT),
    _row("terminate", "SIGTERM", f"terminated; {KEEPS}", 143, lambda _: after(signal.SIGTERM, 4), leaves=KEPT),
    _row("interrupt-early", "Ctrl-C before a row is done", "interrupted", 130, lambda _: at_once(signal.SIGINT)),
    _row("terminate-early", "SIGTERM before a row is done", "terminated", 143, lambda _: at_once(signal.SIGTERM)),
]
