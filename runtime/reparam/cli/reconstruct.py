"""`reparam reconstruct`: rows through encoder and decoder."""

from pathlib import Path

import click

from reparam.cli.common import (
    PATH,
    bundle_argument,
    collect,
    empty,
    noise_options,
    opened,
    out_option,
    report_rows,
    run_options,
)


@click.command(short_help="Rows through encoder and decoder.")
@bundle_argument
@click.argument("x", type=PATH)
@out_option("Where to write x_hat, .npy [n, *input].")
@noise_options
@run_options
def reconstruct(
    bundle: Path,
    x: Path,
    out: Path,
    *,
    eps: Path | None,
    seed: int | None,
    first_row: int,
    device: str,
    threads: int | None,
    max_batch: int,
    as_json: bool,
) -> None:
    """Write x_hat of each row of X, a .npy file [n, *input]: from the posterior's mean, or a sample with --seed.

    \b
    reparam reconstruct models/digits x.npy --out x_hat.npy
    """
    from reparam.files import npy
    from reparam.files.atomic import check_place

    check_place(out)
    rows, noise = npy.read(x), None if eps is None else npy.read(eps)
    with opened(bundle, device=device, threads=threads, max_batch=max_batch) as vae:
        parts = vae.stream(rows, op="reconstruct", eps=noise, seed=seed, first_row=first_row)
        x_hat = empty(len(rows), vae.manifest.input.shape)
        seconds = collect(parts, x_hat, label="reconstruct")
    npy.write(out, x_hat)
    report_rows(rows=len(rows), seconds=seconds, files={"x_hat": out}, as_json=as_json)
