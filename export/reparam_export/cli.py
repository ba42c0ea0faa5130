"""`reparam export`: a trained run to a bundle. Imports without torch, so that `reparam --help` stays quick."""

from pathlib import Path

import click

from reparam.cli.common import PATH, print_json, progress
from reparam.errors import MissingExtra


@click.command(short_help="A trained run to a bundle of two ONNX graphs.")
@click.argument("run", type=PATH)
@click.argument("bundle", type=PATH)
@click.option("--name", help="Name of the bundle.  [default: that of BUNDLE's folder]")
@click.option("--raw", is_flag=True, help="Graphs that take and give uint8 images, channels last.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export(run: Path, bundle: Path, name: str | None, *, raw: bool, as_json: bool) -> None:
    """Write the model of RUN, a folder of `reparam train`, as two ONNX graphs in the folder BUNDLE.

    The graphs are held against PyTorch first; where they differ nothing is written and the exit code is 6. A bundle
    that stands at BUNDLE is replaced in one step.

    \b
    reparam train digits --out run
    reparam export run bundle
    """
    try:
        from reparam_export.pipeline import STAGES
        from reparam_export.pipeline import export as export_bundle
    except ModuleNotFoundError as error:
        raise MissingExtra(f"export needs {error.name}; pip install 'reparam[export]'") from None

    with progress(len(STAGES), "export") as advance:
        begun: list[str] = []

        def step(stage: str) -> None:
            if begun:  # a stage is done when the next begins
                advance(1)
            begun.append(stage)

        manifest = export_bundle(run, bundle, raw=raw, name=name, progress=step)
        advance(1)
    done = manifest.verification[0]
    worst = max(error.absolute for error in done.worst.values())
    if as_json:
        print_json({"bundle": str(bundle), "id": manifest.id, "worst_absolute_error": worst})
        return
    click.echo(f"{bundle}: id {manifest.id}, worst absolute error {worst:.2e} against PyTorch")
