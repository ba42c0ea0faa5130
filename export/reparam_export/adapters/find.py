"""Whose model is it? The adapters of the entry-point group `reparam.adapters` are asked; the first to know it answers.

An adapter is a function of a model, a name for its bundle and the shape of one row of x (None: read it from the model).
It gives a `Source`, or None for a model that is not of its kind, and imports its library only once it is. A package of
anyone's joins by an entry point.
"""

import os
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Final, Protocol, cast

from reparam.errors import CheckpointError, ExportError, OptionError
from reparam.integers import whole
from reparam_export.adapters.paths import as_path
from reparam_export.source import Source

GROUP: Final = "reparam.adapters"
_LAST: Final = "modules"  # it takes whatever has the right attributes, so everyone else is asked first


class Adapter(Protocol):
    """What an entry point of the group names."""

    def __call__(self, model: object, *, name: str, input_shape: tuple[int, ...] | None) -> Source | None:
        """The model seen through the adapter; None where it is of another kind."""
        ...


def find_source(model: object, *, name: str, input_shape: tuple[int, ...] | None) -> Source:
    """The source that the first fitting adapter makes of a model.

    Raises:
        CheckpointError: a folder or file of a known kind that cannot be read.
        OptionError: an input_shape that is none, or that the model cannot take.
        ExportError: no adapter knows the model, or the one that does cannot use it.
    """
    input_shape = _row_shape(input_shape)
    found = sorted(entry_points(group=GROUP), key=lambda entry: (entry.name == _LAST, entry.name))
    for entry in found:
        adapter: Adapter = entry.load()
        source = adapter(model, name=name, input_shape=input_shape)
        if source is not None:
            return source
    kinds = ", ".join(entry.name for entry in found)
    folder = as_path(model)
    if folder is None:
        told = type(model).__qualname__
        raise ExportError(
            f"model: no adapter ({kinds}) knows a {told}; pass a run folder, a model or (encoder, decoder)"
        )
    if not os.path.lexists(folder):
        raise CheckpointError(f"{folder}: no such folder; give that of a trained model")
    raise CheckpointError(
        f"{folder}: not a training run, nor a model that an adapter ({kinds}) knows; see `reparam train`"
    )


def _row_shape(shape: object) -> tuple[int, ...] | None:
    """The shape of one row as whole numbers, 1 to 7 of them; None as it is."""
    if shape is None:
        return None
    if isinstance(shape, str) or not isinstance(shape, Sequence) or not 1 <= len(cast("Sequence[object]", shape)) <= 7:
        raise OptionError(f"input_shape: must be the sizes of one row, such as (3, 64, 64), got {shape!r:.80}")
    sizes = cast("Sequence[object]", shape)
    return tuple(whole(f"input_shape[{place}]", size, low=1, high=2**31 - 1) for place, size in enumerate(sizes))
