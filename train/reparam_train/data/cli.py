"""The command `reparam data`: writes a split of a source as .npy, for the commands that take arrays."""

from pathlib import Path
from typing import Literal

import click
import numpy as np

from reparam.errors import OptionError
from reparam.files import npy
from reparam.files.atomic import atomic_file
from reparam_train.data.sources import load
from reparam_train.data.split import Split


@click.command(short_help="The rows of a data set as .npy.")
@click.argument("source", metavar="DATA")
@click.option(
    "--split", type=click.Choice(["train", "test"]), default="test", show_default=True, help="Which rows to write."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="X.npy",
    help="File for the rows, float32 [n, ...].",
)
@click.option("--labels", type=click.Path(path_type=Path), metavar="Y.npy", help="File for the labels, uint8 [n].")
def data(source: str, split: Literal["train", "test"], out: Path, labels: Path | None) -> None:
    """Write the rows of DATA that training or testing sees, in the units that a model sees.

    DATA is what `reparam train` takes: "digits", a folder of idx files, or a .npy file.

    \b
    The 299 test digits, and what they show:
        reparam data digits --split test --out x.npy --labels y.npy
    """
    found = load(source)
    rows = found.train if split == "train" else found.test
    if labels is not None and rows.labels is None:
        raise OptionError(f"labels: {source} has none; leave --labels out")
    write_rows(out, rows)
    if labels is not None and rows.labels is not None:
        npy.write(labels, rows.labels)
    click.echo(f"{out}: {split} rows of {found.name}, float32 {[len(rows), *rows.shape]}")


def write_rows(path: Path, rows: Split) -> None:
    """Writes a split as float32 .npy, whole or not at all, piece by piece; `OutputError` where that fails."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), *rows.shape)}
    with atomic_file(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in rows.pieces():
            file.write(rows.batch(piece).astype("<f4", copy=False).tobytes())
