"""`reparam decode`: latents to data."""

from pathlib import Path
from typing import Literal

import click

from reparam.cli.common import PATH, bundle_argument, job_options, out_option, run


@click.command(short_help="Latents to data.")
@bundle_argument
@click.argument("z", type=PATH)
@out_option("Where to write x_hat, .npy [n, *input].")
@job_options
def decode(
    bundle: Path,
    z: Path,
    out: Path,
    *,
    device: str,
    threads: int | None,
    max_batch: int,
    trust: Literal["strict", "exporter"],
    workers: int,
    resume: bool,
    expect_sha256: str | None,
    as_json: bool,
) -> None:
    """Write x_hat, the mean of p(x given z), for each row of Z, a .npy file [n, latent].

    \b
    reparam decode models/digits z.npy --out x_hat.npy
    """
    from reparam.jobs.job import Job

    job = Job(
        op="decode",
        bundle=bundle,
        outs={"x_hat": out},
        source=z,
        device=device,
        threads=threads,
        max_batch=max_batch,
        trust=trust,
        workers=workers,
        expect_sha256=expect_sha256,
    )
    run(job, resume=resume, as_json=as_json)
