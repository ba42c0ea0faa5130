"""The command `reparam data`: writes a split of a source as .npy, for the commands that take arrays."""

import math
from pathlib import Path
from typing import Literal

import click
import numpy as np

from reparam.errors import OptionError
from reparam.files import npy
from reparam.files.atomic import atomic_file, check_place
from reparam_train.data.columns import Choice
from reparam_train.data.reading import RowLayout
from reparam_train.data.reading_options import reading_options
from reparam_train.data.sources import load
from reparam_train.data.split import Split


@click.command(short_help="The rows of a data set as .npy.")
@click.argument("source", metavar="DATA")
@click.option(
    "--split",
    type=click.Choice(["train", "test", "all"]),
    default="test",
    show_default=True,
    help="Which rows to write; all is train, then test.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="X.npy",
    help="File for the rows, float32 [n, ...].",
)
@click.option("--labels", type=click.Path(path_type=Path), metavar="Y.npy", help="File for the labels, uint8 [n].")
@reading_options
def data(
    source: str,
    split: Literal["train", "test", "all"],
    out: Path,
    labels: Path | None,
    *,
    test_every: int | None,
    layout: RowLayout | None,
    column: dict[str, Choice],
) -> None:
    """Write the rows of DATA that training or testing sees, in the units that a model sees.

    DATA is what `reparam train` takes: "digits"; a .npy, .npz, .csv or .parquet file; a folder of idx files or of
    images; or module:function.

    \b
    The 299 test digits, and what they show:
        reparam data digits --split test --out x.npy --labels y.npy
    All rows of a table, as a model sees them:
        reparam data table.csv --split all --column id=drop --out x.npy
    """
    for place in (out, labels):
        if place is not None:
            check_place(place)  # before a large source is read
    found = load(source, test_every=test_every, layout=layout, columns=column)
    parts = {"train": [found.train], "test": [found.test], "all": [found.train, found.test]}[split]
    classes = [part.labels for part in parts if part.labels is not None]
    if labels is not None and len(classes) < len(parts):
        raise OptionError(f"labels: {source} has none; leave --labels out")
    if labels is not None and labels.resolve() == out.resolve():
        raise OptionError(f"labels: must be another file than --out, got {labels} for both; name another")
    write_rows(out, *parts)
    if labels is not None:
        npy.write(labels, np.concatenate(classes))
    click.echo(f"{out}: {split} rows of {found.name}, float32 {[sum(map(len, parts)), *found.shape]}")


def write_rows(path: Path, *parts: Split) -> None:
    """Writes splits as one float32 .npy, whole or not at all, piece by piece; `OutputError` where that fails."""
    shape = (sum(map(len, parts)), *parts[0].shape)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with atomic_file(path, nbytes=4 * math.prod(shape)) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for rows in parts:
            for piece in rows.pieces():
                file.write(rows.batch(piece).astype("<f4", copy=False).tobytes())
