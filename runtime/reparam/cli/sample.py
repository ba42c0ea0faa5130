"""`reparam sample`: one z of each row's posterior."""

from pathlib import Path
from typing import Literal

import click

from reparam.cli.common import PATH, bundle_argument, job_options, noise_options, out_option, run


@click.command(short_help="One draw of each row's posterior.")
@bundle_argument
@click.argument("x", type=PATH)
@out_option("Where to write z, .npy [n, latent].")
@noise_options
@job_options
def sample(
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
    """Write one draw z from the posterior of each row of X, a .npy file [n, *input].

    The same seed gives the same z for the same rows, whatever the batch size. Rows are numbered from --first-row, so
    that the parts of a data set agree with the whole.

    \b
    reparam sample models/digits x.npy --seed 7 --out z.npy
    """
    from reparam.jobs.job import Job

    job = Job(
        op="sample",
        bundle=bundle,
        outs={"z": out},
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
