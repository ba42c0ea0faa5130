"""`reparam evaluate`: what the field reports of a VAE, of a run or of a bundle."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import click

from reparam.cli.common import PATH, opened, pin_option, print_json, progress, run_options, table, workers_option
from reparam.errors import OptionError


@click.command(short_help="ELBO, rate, distortion, nll of a run or bundle.")
@click.argument("target", metavar="RUN_OR_BUNDLE", type=PATH)
@click.argument("data", metavar="DATA")
@click.option("--split", type=click.Choice(["train", "test", "all"]), default="test", show_default=True, help="Rows.")
@click.option("--samples", type=click.IntRange(min=0), default=0, show_default=True, help="Draws a row for the nll.")
@click.option("--seed", type=click.IntRange(min=0, max=2**64 - 1), default=0, show_default=True, help="Of the noise.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only so many first rows.  [default: all]")
@workers_option("Processes that share the rows of a bundle.")
@pin_option
@run_options
def evaluate(
    target: Path,
    data: str,
    *,
    split: str,
    samples: int,
    seed: int,
    limit: int | None,
    workers: int,
    device: str,
    threads: int | None,
    max_batch: int,
    trust: Literal["strict", "exporter"],
    expect_sha256: str | None,
    as_json: bool,
) -> None:
    """Print ELBO, rate and distortion of DATA in nats per row; with --samples the importance-sampled nll too.

    DATA is what `reparam train` takes. A bundle runs in onnxruntime, without torch; a run runs in torch.

    \b
    reparam evaluate models/digits digits --samples 100
    reparam evaluate run MNIST_DIR --split test --samples 500 --json
    """
    import msgspec

    from reparam.bundle.manifest import MANIFEST_NAME
    from reparam.bundle.reader import read_bundle
    from reparam.engine.threads import threads_each
    from reparam.face.base import rows_of
    from reparam.jobs.scoring import Scoring, evaluator, score

    bundle = (target / MANIFEST_NAME).exists() or not target.exists()
    if expect_sha256 is not None:
        if not bundle:
            raise OptionError(f"--expect-sha256: pins a bundle, and {target} is none; leave it out")
        read_bundle(target, precisions=(), expect_sha256=expect_sha256)  # before its word is taken for how to read DATA
    if workers > 1 and not bundle:
        raise OptionError(f"--workers: share the rows of a bundle, and {target} is a run; export it, or leave it out")
    rows: Any = evaluator("pieces")(data, split=split, limit=limit, target=target)
    with progress(len(rows) if samples or workers > 1 else 0, "nll" if samples else "rows") as advance:
        if bundle:
            with opened(
                target,
                device=device,
                threads=threads or (threads_each(workers) if workers > 1 else None),
                max_batch=max_batch,
                trust=trust,
                expect_sha256=expect_sha256,
            ) as vae:
                if workers == 1:
                    found = vae.evaluate(iter(rows), seed=seed, samples=samples, progress=advance)
                else:
                    path, options = vae.__reduce__()[1]  # the recipe of this very model
                    options = dataclasses.replace(options, device=vae.info().device)
                    task = Scoring(path, options, data, split, limit, seed, samples)
                    found = score(task, rows_of(vae), len(rows), workers=workers, advance=advance)
        else:
            found = evaluator("run")(
                target, iter(rows), seed=seed, samples=samples, device=device, threads=threads, progress=advance
            )
    document = msgspec.to_builtins(found)
    if as_json:
        print_json(document)
        return
    click.echo(table([(key.replace("_", " "), _told(value)) for key, value in document.items() if value is not None]))


def _told(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
