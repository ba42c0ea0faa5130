"""A function by its name, as package.module:function, and back: how code of a user's own enters a run."""

import importlib
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reparam.errors import OptionError

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_name(text: str) -> bool:
    """Whether a text has the form package.module:function."""
    return _NAME.fullmatch(text) is not None


def name_of(function: Callable[..., Any], *, option: str) -> str:
    """The name by which a function is found again.

    Args:
        function: of a module.
        option: for the error.

    Raises:
        OptionError: a lambda, a local function, or one of a script or notebook, which no other program can import.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    text = f"{module}:{name}"
    if module in (None, "__main__") or not is_name(text):
        raise OptionError(
            f"{option}: must be a function at the top of a module, so that the run finds it again, got {text}; "
            "put it into a file of its own and import it"
        )
    return text


@contextmanager
def current_folder() -> Generator[None]:
    """The current folder can be imported from, as in `python -m`."""
    here, before = str(Path.cwd()), list(sys.path)
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path[:] = before


def find(name: str, *, option: str) -> Callable[..., Any]:
    """The function of that name; its module may lie in the current folder.

    Raises:
        OptionError: no such module or function, or a module whose import fails.
    """
    module, _, path = name.partition(":")
    try:
        with current_folder():
            found: Any = importlib.import_module(module)
            for part in path.split("."):
                found = getattr(found, part)
    except Exception as error:  # a module's import may raise anything
        reason = (str(error).splitlines() or [""])[0]
        raise OptionError(
            f"{option}: {name} cannot be imported ({type(error).__name__}: {reason}); "
            "go to the folder that holds it, or install its package"
        ) from error
    if not callable(found):
        raise OptionError(f"{option}: {name} must be a function, got {type(found).__name__}; name another")
    function: Callable[..., Any] = found
    return function
