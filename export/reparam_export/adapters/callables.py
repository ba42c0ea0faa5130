"""Functions that run modules: which modules these are, and the same function on copies of them."""

import functools
import inspect
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, Final, cast

from torch import nn

from reparam.errors import ExportError
from reparam_export.adapters.copies import as_traceable, needs_copy

Function = Callable[..., Any]

_DEPTH: Final = 6  # objects within objects that are looked into; a model's parts lie nearer


def prepared(function: Function, *, what: str, copies: dict[nn.Module, nn.Module]) -> tuple[Function, list[nn.Module]]:
    """A function that can be traced, and the modules whose weights and mode it uses.

    Args:
        function: a module, a method of one, or a plain function or object that uses modules by name.
        what: how messages call it.
        copies: of modules that were prepared before, so that two methods of one module share its copy.

    Returns:
        The function, on a copy in float32 on the CPU where its module is not so; and the modules.

    Raises:
        ExportError: a plain function uses a module that would have to be copied.
    """
    function = getattr(function, "_orig_mod", function)  # what torch.compile wraps
    owner = function if isinstance(function, nn.Module) else getattr(function, "__self__", None)
    if isinstance(owner, nn.Module):
        if owner not in copies:
            copies[owner] = as_traceable(owner, what=what)
        module = copies[owner]
        if owner is function:
            return module, [module]
        method: str = cast("Any", function).__name__
        return (function if module is owner else getattr(module, method)), [module]
    found = list(dict.fromkeys(_modules(function, set(), _DEPTH)))
    if any(needs_copy(module) for module in found):
        raise ExportError(
            f"{what}: a function must use modules in float32 on the CPU; move them there, or pass a module itself"
        )
    return function, found


def _modules(value: object, seen: set[int], depth: int) -> Iterable[nn.Module]:
    """The modules that a value is, holds or, being a function, uses by name."""
    if id(value) in seen or depth == 0:
        return
    seen.add(id(value))
    if isinstance(value, nn.Module):
        yield value
        return
    for part in _parts(value):
        yield from _modules(part, seen, depth - 1)


def _parts(value: object) -> Iterable[object]:
    """What a value is made of, where modules may be: items, names that a function uses, attributes of an object."""
    if isinstance(value, dict):
        value = tuple(cast("dict[object, object]", value).values())
    if isinstance(value, list | tuple | set):
        return cast("Iterable[object]", value)
    if isinstance(value, functools.partial):
        return (value.func, *value.args, *value.keywords.values())
    if inspect.ismethod(value):
        return (value.__self__, value.__func__)
    if inspect.isfunction(value):
        return _used(value)
    if inspect.ismodule(value) or inspect.isclass(value) or inspect.isbuiltin(value):
        return ()
    called = type(value).__dict__.get("__call__")  # of an object that is called as a function
    return (*getattr(value, "__dict__", {}).values(), *([called] if inspect.isfunction(called) else []))


def _used(function: FunctionType) -> Iterable[object]:
    """The values of the names that a function uses."""
    try:
        names = inspect.getclosurevars(function)
    except ValueError:  # a name that has no value yet
        return ()
    return (*names.nonlocals.values(), *names.globals.values(), *(function.__defaults__ or ()))
