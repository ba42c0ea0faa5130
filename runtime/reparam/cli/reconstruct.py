"""`reparam reconstruct`: rows through encoder and decoder."""

from pathlib import Path

import click

from reparam.cli.common import PATH, bundle_argument, noise_options, out_option, run_options, write_rows


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
    write_rows(
        x,
        out,
        op="reconstruct",
        result="x_hat",
        bundle=bundle,
        eps=eps,
        seed=seed,
        first_row=first_row,
        device=device,
        threads=threads,
        max_batch=max_batch,
        as_json=as_json,
    )
