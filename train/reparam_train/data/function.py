"""Data that a function of the caller's own makes, named as `module:function`."""

import importlib
from collections.abc import Callable
from typing import cast

from reparam.errors import InputError, InputNotFound, InputTypeError, ReparamError
from reparam_train.data.arrays import Arrays, as_array, as_data
from reparam_train.data.reading import Reading
from reparam_train.data.split import Data
from reparam_train.functions import current_folder


def read(source: str, reading: Reading) -> Data:
    """What the function returns: `Data`, which is read already, an array, or a pair of arrays (train, test).

    The module is imported as `python -m` would, from the current folder first; the function is called with no argument.

    Raises:
        InputNotFound: no such module, or no such function in it.
        InputError: importing or calling raised, or the arrays are refused.
        InputTypeError: it is no function, or returned something else.
    """
    found = _call(source, _find(source))
    if isinstance(found, Data):
        return found
    arrays = cast("tuple[object, ...]", found) if isinstance(found, tuple) else (found,)
    if len(arrays) not in (1, 2) or not all(hasattr(array, "__array__") for array in arrays):
        told = ", ".join(type(array).__qualname__ for array in arrays)
        raise InputTypeError(f"{source}: must return Data, an array, or (train, test) arrays, got {told}")
    rows = [as_array(source, array) for array in arrays]
    return as_data(Arrays(*rows), name=source, source=source, reading=reading)


def _find(source: str) -> Callable[[], object]:
    module, _, name = source.partition(":")
    try:
        with current_folder():
            found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part, None)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise InputNotFound(f"{source}: no module {error.name} here; run where it can be imported") from None
        raise InputError(f"{source}: cannot be imported, it needs {error.name}; install that") from error
    except (Exception, SystemExit) as error:  # of a script that ends by itself
        raise InputError(f"{source}: cannot be imported, {type(error).__name__}: {error}; mend the module") from error
    if found is None:
        raise InputNotFound(f"{source}: no {name} in module {module}; check the name")
    if not callable(found):
        raise InputTypeError(f"{source}: must be a function without arguments, got {type(found).__qualname__}")
    return found


def _call(source: str, function: Callable[[], object]) -> object:
    try:
        return function()
    except ReparamError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{source}: raised {type(error).__name__}: {error}; mend the function") from error
