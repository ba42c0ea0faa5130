"""The options of commands that read DATA: how it is split, what its axes and columns are."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reparam.errors import OptionError
from reparam_train.data.columns import CHOICES, Choice
from reparam_train.data.reading import ROW_LAYOUTS, TEST_EVERY
from reparam_train.data.sources import load, load_as
from reparam_train.data.split import Data

if TYPE_CHECKING:
    from reparam_train.record import Recorded

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _choices(_: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Choice]:
    """Columns with their kinds, from "NAME=KIND" each; the last = parts them."""
    found: dict[str, Choice] = {}
    for value in values:
        name, equals, kind = value.rpartition("=")
        if not equals or kind not in CHOICES:
            rule = f"must be NAME=KIND with KIND one of {', '.join(CHOICES)}"
            raise click.BadParameter(f"{rule}; got {value!r}", param=param)
        found[name] = kind
    return found


def read_data(source: str, given: dict[str, Any], *, out: Path, before: "Recorded | None") -> Data:
    """DATA by the options above, which are taken out of `given`.

    Args:
        source: DATA.
        given: the command's options by name.
        out: folder of the run or study, for messages.
        before: what it was started with, where it is gone on with; DATA is read in the same way again.

    Raises:
        OptionError: an option that says something else than `before`.
    """
    how = {name: given.pop(name) for name in ("test_every", "layout")}
    columns = given.pop("column")
    if before is None:
        return load(source, columns=columns, **how)
    if columns:
        raise OptionError(f"column: {out} was started with its columns; leave column out")
    for name, value in how.items():
        was = getattr(before.reading, name)
        if value not in (None, was):
            raise OptionError(f"{name}: {out} was started with {was!r}, got {value!r}; leave it out")
    return load_as(source, before.reading, before.columns)


def reading_options(command: _Command) -> _Command:
    """--test-every, --layout and --column; None, None and {} where they are left out."""
    for option in (
        click.option(
            "--column",
            multiple=True,
            callback=_choices,
            metavar="NAME=KIND",
            help=".csv, .parquet: what a column is, gaussian, bernoulli, categorical or drop; may be repeated.  "
            "[default: bernoulli where only 0 and 1, categorical where text, else gaussian]",
        ),
        click.option(
            "--layout",
            type=click.Choice(ROW_LAYOUTS),
            help="What the axes of a row are: signal is (channels, length), image (channels, height, width), features "
            "flattens.  [default: features for one axis, image for two or three]",
        ),
        click.option(
            "--test-every",
            type=int,
            metavar="N",
            help=f"Rows N, 2N, 3N ... are the test split, where DATA has none of its own.  [default: {TEST_EVERY}]",
        ),
    ):
        command = option(command)
    return command
