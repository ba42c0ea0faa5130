"""`reparam reconstruct`: rows through encoder and decoder."""

from pathlib import Path
from typing import Literal

import click

from reparam.cli.common import PATH, bundle_argument, job_options, noise_options, out_option, run


@click.command(short_help="Rows through encoder and decoder.")
@bundle_argument
@click.argument("x", type=PATH)
@out_option("Where to write x_hat, .npy [n, *input].")
@noise_options
@job_options
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
    trust: Literal["strict", "exporter"],
    workers: int,
    resume: bool,
    expect_sha256: str | None,
    as_json: bool,
) -> None:
    """Write x_hat of each row of X, a .npy file [n, *input]: from the posterior's mean, or a sample with --seed.

    \b
    reparam reconstruct models/digits x.npy --out x_hat.npy
    """
    from reparam.jobs.job import Job

    job = Job(
        op="reconstruct",
        bundle=bundle,
        outs={"x_hat": out},
        source=x,
        eps=eps,
        seed=seed,
        first_row=first_row,
        device=device,
        threads=threads,
        max_batch=max_batch,
        trust=trust,
        workers=workers,
        expect_sha256=expect_sha256,
    )
    run(job, resume=resume, as_json=as_json)
