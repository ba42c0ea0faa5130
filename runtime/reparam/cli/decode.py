"""`reparam decode`: latents to data."""

from pathlib import Path

import click

from reparam.cli.common import PATH, bundle_argument, out_option, run_options, write_rows


@click.command(short_help="Latents to data.")
@bundle_argument
@click.argument("z", type=PATH)
@out_option("Where to write x_hat, .npy [n, *input].")
@run_options
def decode(
    bundle: Path, z: Path, out: Path, *, device: str, threads: int | None, max_batch: int, as_json: bool
) -> None:
    """Write x_hat, the mean of p(x given z), for each row of Z, a .npy file [n, latent].

    \b
    reparam decode models/digits z.npy --out x_hat.npy
    """
    write_rows(
        z,
        out,
        op="decode",
        result="x_hat",
        bundle=bundle,
        device=device,
        threads=threads,
        max_batch=max_batch,
        as_json=as_json,
    )
