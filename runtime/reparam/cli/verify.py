"""`reparam verify`: does a bundle give its source's numbers on this machine?"""

from pathlib import Path
from typing import Literal

import click

from reparam.cli.common import bundle_argument, print_json, trust_option


@click.command(short_help="Does a bundle give its source's numbers here?")
@bundle_argument
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:N, or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads.  [default: all this process may use]")
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(
    bundle: Path,
    *,
    device: str,
    threads: int | None,
    trust: Literal["strict", "exporter"],
    expect_sha256: str | None,
    as_json: bool,
) -> None:
    """Replay the golden vectors of a bundle here; exit code 6 where an output is outside the stated bound.

    \b
    reparam verify models/digits
    """
    import msgspec

    from reparam.verification import told
    from reparam.verification import verify as run

    results = run(bundle, device=device, threads=threads, trust=trust, expect_sha256=expect_sha256)
    if as_json:
        print_json([msgspec.to_builtins(result) for result in results])
        return
    for result in results:
        click.echo(
            f"{result.precision} on {result.provider} {result.onnxruntime}: within {told(result.bound)} "
            "of the source model"
        )
        for name, worst in result.worst.items():
            click.echo(f"  {name:<10} worst absolute error {worst.absolute:.2e}")
