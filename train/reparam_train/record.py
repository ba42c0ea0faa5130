"""What a run folder says about itself in run.json: which data, which model, which options, which versions.

Strict JSON: unknown keys are refused, and no path of any machine is in it.
"""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec

from reparam.errors import CheckpointError
from reparam.files.atomic import write_bytes
from reparam.files.regular import read_regular
from reparam_train.data.columns import Column
from reparam_train.data.reading import OWN_SPLIT, Reading
from reparam_train.data.split import Layout
from reparam_train.options import Options, VAEConfig

FORMAT: Final = "reparam-run/1"
FILE: Final = "run.json"
MOST: Final = 2**24  # bytes of it, and of what else a run or study says of itself


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contents of run.json."""

    format: Literal["reparam-run/1"] = FORMAT
    config: VAEConfig
    data: str
    """A built-in's name, or the last part of the path that was given."""
    data_sha256: str
    """Of dtype, shape and bytes of the training rows, after any limit."""
    train_rows: int
    test_rows: int
    low: float | None
    """Least value of the data's range; None where it is not known. In the units that the model sees."""
    high: float | None
    layout: Layout
    reading: Reading = OWN_SPLIT
    """How the source was read, so that its test rows are the same ones later."""
    columns: tuple[Column, ...] = ()
    """Of a table, as it was read."""
    options: Options
    versions: dict[str, str]
    """Of reparam, torch, numpy and python."""


class Recorded(Protocol):
    """What a run and a study of several runs both say of themselves; see `RunRecord`."""

    @property
    def config(self) -> VAEConfig:
        """The model."""
        ...

    @property
    def data(self) -> str:
        """What the data are called."""
        ...

    @property
    def data_sha256(self) -> str:
        """Of the training rows."""
        ...

    @property
    def reading(self) -> Reading:
        """How the source was read."""
        ...

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of a table."""
        ...

    @property
    def options(self) -> Options:
        """How it is trained."""
        ...


class _Head(msgspec.Struct):
    """The one key that every format has."""

    format: str


def versions() -> dict[str, str]:
    """What trains here: reparam, torch, numpy and python."""
    packages = {name: version(name) for name in ("reparam", "torch", "numpy")}
    return packages | {"python": platform.python_version()}


def write(folder: Path, record: RunRecord) -> None:
    """Writes run.json whole or not at all; `OutputError` where that fails."""
    write_bytes(folder / FILE, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def read(folder: Path) -> RunRecord:
    """The record of a run folder.

    Raises:
        CheckpointError: no run there, another format, or a file that does not decode.
    """
    place = folder / FILE
    try:
        data = read_regular(place, most=MOST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{folder}: not a training run ({FILE}: {reason}); make one with `reparam train`"
        ) from None
    try:
        found = msgspec.json.decode(data, type=_Head).format
        if found != FORMAT:
            raise CheckpointError(f"{place}: unknown format {found!r}, this version reads {FORMAT}; update reparam")
        return msgspec.json.decode(data, type=RunRecord)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{place}: not a valid record ({error}); restore the file or train again") from None
