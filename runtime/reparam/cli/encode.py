"""`reparam encode`: rows to their posteriors."""

from pathlib import Path

import click

from reparam.cli.common import PATH, bundle_argument, collect, opened, report_rows, run_options


@click.command(short_help="Rows to their posteriors.")
@bundle_argument
@click.argument("x", type=PATH)
@click.option("--mean", type=PATH, help="Where to write the means, .npy [n, latent].")
@click.option("--logvar", type=PATH, help="Where to write the logarithms of the variances, .npy [n, latent].")
@run_options
def encode(
    bundle: Path,
    x: Path,
    mean: Path | None,
    logvar: Path | None,
    *,
    device: str,
    threads: int | None,
    max_batch: int,
    as_json: bool,
) -> None:
    """Write the posterior of each row of X, a .npy file [n, *input].

    \b
    reparam data digits --split test --out x.npy
    reparam encode models/digits x.npy --mean mean.npy --logvar logvar.npy
    """
    from reparam.files import npy
    from reparam.files.atomic import check_place

    files = {name: path for name, path in (("mean", mean), ("logvar", logvar)) if path is not None}
    if not files:
        raise click.UsageError("give --mean, --logvar or both: where to write")
    if mean == logvar:
        raise click.UsageError("--mean and --logvar name one file; give two")
    for path in files.values():
        check_place(path)
    rows = npy.read(x)
    with opened(bundle, device=device, threads=threads, max_batch=max_batch) as vae:
        parts = vae.stream(rows, op="encode")
        empty = vae.encode(rows[:0])
        moments, seconds = collect(parts, len(rows), empty.mean, empty.logvar, label="encode")
    for name, values in zip(("mean", "logvar"), moments, strict=True):
        if name in files:
            npy.write(files[name], values)
    report_rows(rows=len(rows), seconds=seconds, files=files, as_json=as_json)
