"""`reparam generate`: draws from the prior, decoded."""

from pathlib import Path
from typing import Literal

import click

from reparam.cli.common import bundle_argument, job_options, out_option, run, seed_options


@click.command(short_help="Draws from the prior, decoded.")
@bundle_argument
@click.argument("n", type=click.IntRange(min=0, max=2**48))
@out_option("Where to write x_hat, .npy [n, *input].")
@click.option("--size", type=(int, int), metavar="HEIGHT WIDTH", help="Of images, where the bundle leaves it open.")
@seed_options
@job_options
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
    trust: Literal["strict", "exporter"],
    workers: int,
    resume: bool,
    expect_sha256: str | None,
    as_json: bool,
) -> None:
    """Write N draws from the prior, decoded. The same seed gives the same rows.

    \b
    reparam generate models/digits 16 --seed 7 --out x.npy
    """
    from reparam.jobs.job import Job

    if seed is None:
        raise click.UsageError("give --seed, for example --seed 7: the same seed gives the same rows")
    job = Job(
        op="generate",
        bundle=bundle,
        outs={"x_hat": out},
        rows=n,
        size=size,
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
