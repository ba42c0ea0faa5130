"""`reparam export`: a trained model to a bundle. Imports without torch, so that `reparam --help` stays quick."""

from pathlib import Path
from typing import Literal

import click

from reparam.bundle.manifest import MANIFEST_NAME
from reparam.cli.common import PATH, print_json, progress
from reparam.errors import MissingExtra, OptionError


@click.command(short_help="A trained model to a bundle of two ONNX graphs.")
@click.argument("run", type=PATH)
@click.argument("bundle", type=PATH)
@click.option("--input-shape", help="Sizes of one row, such as 3,64,64.  [default: the model's]")
@click.option("--name", help="Name of the bundle.  [default: that of BUNDLE's folder]")
@click.option("--raw", is_flag=True, help="Graphs that take and give uint8 images, channels last.")
@click.option(
    "--layout",
    type=click.Choice(["bundle", "triton", "optimum"]),
    default="bundle",
    show_default=True,
    help="Write a bundle, a model repository of Triton, or the folder of ORT pipelines.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export(
    run: Path,
    bundle: Path,
    *,
    input_shape: str | None,
    name: str | None,
    layout: Literal["bundle", "triton", "optimum"],
    raw: bool,
    as_json: bool,
) -> None:
    """Write the model of RUN as two ONNX graphs in the folder BUNDLE.

    RUN is a folder of `reparam train`, of diffusers (save_pretrained; a pipeline's with its vae) or of pythae. The
    graphs are held against PyTorch first; where they differ nothing is written and the exit code is 6. A bundle that
    stands at BUNDLE is replaced in one step. With --layout, RUN may be a bundle too; that needs no PyTorch.

    \b
    reparam train digits --out run
    reparam export run bundle
    reparam export bundle repository --layout triton
    """
    if (run / MANIFEST_NAME).is_file() and not (run / "run.json").exists():
        if input_shape is not None:
            raise OptionError(f"{run}: is a bundle, whose rows stay as they are; leave out --input-shape")
        _lay_out(run, bundle, name, layout, raw=raw, as_json=as_json)
        return
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

        manifest = export_bundle(
            run,
            bundle,
            input_shape=_sizes(input_shape),
            raw=raw,
            layout=None if layout == "bundle" else layout,
            name=name,
            progress=step,
        )
        advance(1)
    done = manifest.verification[0]
    worst = max(error.absolute for error in done.worst.values())
    if as_json:
        print_json({"bundle": str(bundle), "id": manifest.id, "worst_absolute_error": worst})
        return
    click.echo(f"{bundle}: id {manifest.id}, worst absolute error {worst:.2e} against PyTorch")


def _lay_out(
    run: Path,
    target: Path,
    name: str | None,
    layout: Literal["bundle", "triton", "optimum"],
    *,
    raw: bool,
    as_json: bool,
) -> None:
    """A bundle that is there already, as another program's folder."""
    if layout == "bundle":
        raise OptionError(f"{run}: is a bundle already; --layout triton or optimum writes it for another program")
    if raw or name is not None:
        raise OptionError(f"{run}: is a bundle, whose name and form stay as they are; leave out --name and --raw")
    try:
        from reparam_export.layouts.writing import lay_out
    except ModuleNotFoundError as error:
        raise MissingExtra(f"export needs {error.name}; pip install 'reparam[convert]'") from None
    manifest = lay_out(run, target, layout=layout)
    if as_json:
        print_json({"layout": layout, "folder": str(target), "id": manifest.id})
        return
    click.echo(f"{target}: {layout}, of bundle {manifest.id}")


def _sizes(text: str | None) -> tuple[int, ...] | None:
    """Whole numbers with commas between them."""
    if text is None:
        return None
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise OptionError(f"--input-shape: must be whole numbers such as 3,64,64, got {text!r:.80}") from None
