"""The options of commands that read DATA: how it is split, what its axes and columns are."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from reparam_train.data.columns import CHOICES, Choice
from reparam_train.data.reading import ROW_LAYOUTS, TEST_EVERY

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
