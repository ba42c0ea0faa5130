"""What a child process got through fork and must never touch: a session whose threads stayed in the parent."""

import ctypes
import os

forks: int = 0  # between this process and the one that imported the module; cheaper to ask on each call than the pid


def _forked() -> None:
    global forks  # noqa: PLW0603  a fact of the process
    forks += 1


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_forked)


def leave_alone(thing: object) -> None:
    """Keeps an object for ever: onnxruntime would wait for threads that are not there if its session were destroyed.

    Memory of the parent is shared with it page by page, so what is kept costs nothing.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
