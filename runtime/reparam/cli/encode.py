"""`reparam encode`: rows to their posteriors."""

from pathlib import Path
from typing import Literal

import click

from reparam.cli.common import PATH, bundle_argument, job_options, run


@click.command(short_help="Rows to their posteriors.")
@bundle_argument
@click.argument("x", type=PATH)
@click.option("--mean", type=PATH, help="Where to write the means, .npy [n, latent].")
@click.option("--logvar", type=PATH, help="Where to write the logarithms of the variances, .npy [n, latent].")
@job_options
def encode(
    bundle: Path,
    x: Path,
    mean: Path | None,
    logvar: Path | None,
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
    """Write the posterior of each row of X, a .npy file [n, *input].

    \b
    reparam data digits --split test --out x.npy
    reparam encode models/digits x.npy --mean mean.npy --logvar logvar.npy
    """
    from reparam.jobs.job import Job

    files = {name: path for name, path in (("mean", mean), ("logvar", logvar)) if path is not None}
    if not files:
        raise click.UsageError("give --mean, --logvar or both: where to write")
    if len({path.resolve() for path in files.values()}) < len(files):
        raise click.UsageError("--mean and --logvar name one file; give two")
    job = Job(
        op="encode",
        bundle=bundle,
        outs=files,
        source=x,
        device=device,
        threads=threads,
        max_batch=max_batch,
        trust=trust,
        workers=workers,
        expect_sha256=expect_sha256,
    )
    run(job, resume=resume, as_json=as_json)
