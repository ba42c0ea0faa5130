"""`reparam info`: what a bundle is, without running it."""

from pathlib import Path
from typing import Literal

import click

from reparam.cli.common import bundle_argument, print_json, table, trust_option


@click.command(short_help="What a bundle is.")
@bundle_argument
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole manifest as JSON.")
def info(bundle: Path, *, trust: Literal["strict", "exporter"], as_json: bool) -> None:
    """Print what a bundle holds, after its files were hashed and its graphs checked.

    \b
    reparam info models/digits
    """
    import msgspec

    from reparam.bundle.reader import read_bundle

    manifest = read_bundle(bundle, golden=True, trust=trust).manifest
    if as_json:
        print_json(msgspec.to_builtins(manifest))
        return
    metrics = manifest.training.metrics if manifest.training else {}
    rows = [
        ("name", manifest.name),
        ("id", manifest.id),
        ("x", f"[batch, {', '.join(map(str, manifest.input_axes))}] {manifest.input.dtype} {manifest.input.layout}"),
        ("values of x", f"{manifest.input.low} to {manifest.input.high}"),
        ("z", f"[batch, {', '.join(map(str, manifest.latent_axes))}]"),
        ("law of eps", str(manifest.latent.noise)),
        ("likelihood", str(msgspec.to_builtins(manifest.likelihood))),
        *((f"{graph.role}, {graph.precision}", f"{graph.file}, {graph.bytes:,} bytes") for graph in manifest.graphs),
        *((("needs", f"--trust {manifest.trust}"),) if manifest.trust else ()),
        *((key.replace("_", " "), f"{value:.6g}") for key, value in metrics.items()),
    ]
    click.echo(table(rows))
