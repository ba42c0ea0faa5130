"""`reparam decode`: latents to data."""

from pathlib import Path

import click

from reparam.cli.common import PATH, bundle_argument, collect, empty, opened, out_option, report_rows, run_options


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
    from reparam.files import npy
    from reparam.files.atomic import check_place

    check_place(out)
    rows = npy.read(z)
    with opened(bundle, device=device, threads=threads, max_batch=max_batch) as vae:
        parts = vae.stream(rows, op="decode")
        x_hat = empty(len(rows), vae.manifest.input.shape)
        seconds = collect(parts, x_hat, label="decode")
    npy.write(out, x_hat)
    report_rows(rows=len(rows), seconds=seconds, files={"x_hat": out}, as_json=as_json)
