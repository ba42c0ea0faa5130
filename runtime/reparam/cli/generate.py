"""`reparam generate`: draws from the prior, decoded."""

from pathlib import Path

import click

from reparam.cli.common import (
    bundle_argument,
    collect,
    opened,
    out_option,
    report_rows,
    run_options,
    seed_options,
)


@click.command(short_help="Draws from the prior, decoded.")
@bundle_argument
@click.argument("n", type=click.IntRange(min=0, max=2**48))
@out_option("Where to write x_hat, .npy [n, *input].")
@click.option("--size", type=(int, int), metavar="HEIGHT WIDTH", help="Of images, where the bundle leaves it open.")
@seed_options
@run_options
def generate(
    bundle: Path,
    n: int,
    out: Path,
    size: tuple[int, int] | None,
    *,
    seed: int | None,
    first_row: int,
    device: str,
    threads: int | None,
    max_batch: int,
    as_json: bool,
) -> None:
    """Write N draws from the prior, decoded. The same seed gives the same rows.

    \b
    reparam generate models/digits 16 --seed 7 --out x.npy
    """
    from reparam.files import npy
    from reparam.files.atomic import check_place

    if seed is None:
        raise click.UsageError("give --seed, for example --seed 7: the same seed gives the same rows")
    check_place(out)
    with opened(bundle, device=device, threads=threads, max_batch=max_batch) as vae:
        parts = (
            (vae.generate(min(max_batch, n - first), seed=seed, first_row=first_row + first, size=size),)
            for first in range(0, n, max_batch)
        )
        empty = vae.generate(0, seed=seed, size=size)  # the shape of rows of that size, or what is wrong with it
        (x_hat,), seconds = collect(parts, n, empty, label="generate")
    npy.write(out, x_hat)
    report_rows(rows=n, seconds=seconds, files={"x_hat": out}, as_json=as_json)
