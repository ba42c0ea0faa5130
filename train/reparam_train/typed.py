"""The fields of a struct in the types that it declares, so that what run.json is given can be read back from it."""

from typing import Any, Literal, cast, get_args, get_origin

import msgspec
import numpy as np

from reparam.errors import OptionError


def settle(struct: msgspec.Struct) -> None:
    """Puts the fields of a new struct into their types: numpy's numbers become Python's, and lists tuples.

    Fields of one name out of several (`Literal`) are left to the checks that list the names.

    Raises:
        OptionError: a value of another type, such as 1.5 for an int.
    """
    for field in msgspec.structs.fields(struct):
        if _of_names(field.type):
            continue
        value = getattr(struct, field.name)
        try:
            found = msgspec.convert(_plain(value), field.type)
        except msgspec.ValidationError:
            wanted = field.type.__name__ if isinstance(field.type, type) else field.type
            raise OptionError(f"{field.name}: must be {wanted}, got {value!r:.80}") from None
        msgspec.structs.force_setattr(struct, field.name, found)


def _of_names(kind: object) -> bool:
    return get_origin(kind) is Literal or any(map(_of_names, get_args(kind)))


def _plain(value: object) -> object:
    """The value without numpy's types and without lists."""
    if isinstance(value, np.generic | np.ndarray):
        value = cast("Any", value).tolist()
    if isinstance(value, list | tuple):
        return tuple(map(_plain, cast("tuple[object, ...]", value)))
    return value
