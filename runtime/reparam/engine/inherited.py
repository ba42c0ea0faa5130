"""What a child process got through fork and must never touch: a session whose threads stayed in the parent."""

import ctypes


def leave_alone(thing: object) -> None:
    """Keeps an object for ever: onnxruntime would wait for threads that are not there if its session were destroyed.

    Memory of the parent is shared with it page by page, so what is kept costs nothing.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
