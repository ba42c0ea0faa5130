"""`reparam import-optimum`: an ONNX folder to a bundle. Imports without onnx, so that `reparam --help` stays quick."""

from pathlib import Path

import click

from reparam.cli.common import PATH, print_json, progress
from reparam.errors import MissingExtra


@click.command("import-optimum", short_help="An ONNX folder of optimum to a bundle.")
@click.argument("folder", type=PATH)
@click.argument("bundle", type=PATH)
@click.option("--name", help="Name of the bundle.  [default: that of BUNDLE's folder]")
@click.option(
    "--allow-operators", is_flag=True, help="Take operators off the gate's list; needs --trust exporter later."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def import_optimum(folder: Path, bundle: Path, name: str | None, *, allow_operators: bool, as_json: bool) -> None:
    """Make a bundle in the folder BUNDLE of vae_encoder/model.onnx and vae_decoder/model.onnx in FOLDER.

    The encoder's noise becomes an input, and both graphs are held against the ones that came; where they differ nothing
    is written and the exit code is 6. An encoder that samples inside its graph is refused.

    \b
    optimum-cli export onnx --model MODEL --opset 18 FOLDER
    reparam import-optimum FOLDER BUNDLE
    """
    try:
        from reparam_export.optimum.importing import STAGES
        from reparam_export.optimum.importing import import_optimum as import_folder
    except ModuleNotFoundError as error:
        raise MissingExtra(f"import-optimum needs {error.name}; pip install 'reparam[convert]'") from None

    with progress(len(STAGES), "import") as advance:
        begun: list[str] = []

        def step(stage: str) -> None:
            if begun:  # a stage is done when the next begins
                advance(1)
            begun.append(stage)

        manifest = import_folder(folder, bundle, name=name, allow_operators=allow_operators, progress=step)
        advance(1)
    worst = max(error.absolute for error in manifest.verification[0].worst.values())
    if as_json:
        print_json({"bundle": str(bundle), "id": manifest.id, "worst_absolute_error": worst})
        return
    click.echo(f"{bundle}: id {manifest.id}, worst absolute error {worst:.2e} against the graphs in {folder}")
