"""`reparam export`: a trained model to a bundle. Imports without torch, so that `reparam --help` stays quick."""

import importlib.metadata
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

import click

from reparam.bundle.manifest import MANIFEST_NAME, Input, Precision
from reparam.cli.common import PATH, pin_option, print_json, progress
from reparam.errors import MissingExtra, OptionError

_ROWS: Final = 512  # a few hundred are usual


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
@click.option(
    "--precision",
    metavar="P,P...",
    default="fp32",
    show_default=True,
    help="Of fp32, fp16 (for GPUs) and int8; fp32 is always written.",
)
@click.option("--calibrate", metavar="DATA", help="Data whose training rows smaller precisions are fitted to.")
@click.option("--calibrate-rows", type=click.IntRange(min=1), help=f"How many of them.  [default: {_ROWS}]")
@click.option("--keep-slower", is_flag=True, help="Keep a precision that is not faster here than fp32.")
@click.option(
    "--allow-operators", is_flag=True, help="Take operators off the gate's list; needs --trust exporter later."
)
@pin_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export(
    run: Path,
    bundle: Path,
    *,
    input_shape: str | None,
    name: str | None,
    layout: Literal["bundle", "triton", "optimum"],
    raw: bool,
    precision: str,
    calibrate: str | None,
    calibrate_rows: int | None,
    keep_slower: bool,
    allow_operators: bool,
    expect_sha256: str | None,
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

    A smaller precision is measured against fp32 on DATA, which is what `reparam train` takes: error, ELBO, speed.

    \b
    reparam export run bundle --precision fp32,int8 --calibrate digits
    """
    precisions = _precisions(precision)
    if calibrate_rows is not None and calibrate is None:
        raise OptionError("--calibrate-rows: says how many rows of --calibrate, which is missing; give it too")
    if (run / MANIFEST_NAME).is_file() and not (run / "run.json").exists():
        _check_laid_out(run, more=precisions != ("fp32",) or calibrate is not None or keep_slower, shape=input_shape)
        trust: Literal["strict", "exporter"] = "exporter" if allow_operators else "strict"
        _lay_out(run, bundle, name, layout, raw=raw, trust=trust, pin=expect_sha256, as_json=as_json)
        return
    if expect_sha256 is not None:
        raise OptionError(f"--expect-sha256: pins a bundle, and {run} is none; leave it out")
    try:
        from reparam_export.pipeline import STAGES
        from reparam_export.pipeline import export as export_bundle
        from reparam_export.precision.told import variant_line
    except ModuleNotFoundError as error:
        raise MissingExtra(f"export needs {error.name}; pip install 'reparam[export]'") from None

    rows = None if calibrate is None else partial(_rows, calibrate, limit=calibrate_rows or _ROWS, run=run)
    with progress(len(STAGES) + len({*precisions} - {"fp32"}), "export") as advance:
        begun: list[str] = []

        def step(stage: str) -> None:
            if begun:  # a stage is done when the next begins
                advance(1)
            begun.append(stage)

        manifest = export_bundle(
            run,
            bundle,
            input_shape=_sizes(input_shape),
            precision=precisions,
            calibrate=rows,
            keep_slower=keep_slower,
            raw=raw,
            allow_operators=allow_operators,
            layout=None if layout == "bundle" else layout,
            name=name,
            progress=step,
        )
        advance(1)
    done = manifest.verification[0]
    worst = max(error.absolute for error in done.worst.values())
    if as_json:
        import msgspec

        variants = msgspec.to_builtins(manifest.variants)
        print_json({"bundle": str(bundle), "id": manifest.id, "worst_absolute_error": worst, "variants": variants})
        return
    click.echo(f"{bundle}: id {manifest.id}, worst absolute error {worst:.2e} against PyTorch")
    for variant in manifest.variants:
        click.echo(variant_line(variant))


def _precisions(text: str) -> tuple[Precision, ...]:
    known: dict[str, Precision] = {name: name for name in get_args(Precision)}
    names = [name.strip() for name in text.split(",")]
    if any(name not in known for name in names):
        raise OptionError(f"--precision: must be some of {', '.join(known)} with commas between, got {text!r:.80}")
    return tuple(known[name] for name in names)


def _rows(data: str, row: Input, *, limit: int, run: Path) -> Any:
    """Training rows of a source, read as the run read its own; for a model of others, in the range that it takes."""
    target = run if (run / "run.json").exists() else None
    span = None if target is not None or row.low is None or row.high is None else (row.low, row.high)
    for entry in importlib.metadata.entry_points(group="reparam.evaluators", name="rows"):
        return entry.load()(data, split="train", limit=limit, target=target, span=span)
    raise MissingExtra("--calibrate needs the package that reads data; pip install 'reparam[train]'")


def _check_laid_out(run: Path, *, more: bool, shape: str | None) -> None:
    """Refuses for a bundle what only the export of a model can do."""
    if shape is not None:
        raise OptionError(f"{run}: is a bundle, whose rows stay as they are; leave out --input-shape")
    if more:
        raise OptionError(f"{run}: is a bundle; precisions are added where a model is exported, leave them out")


def _lay_out(
    run: Path,
    target: Path,
    name: str | None,
    layout: Literal["bundle", "triton", "optimum"],
    *,
    raw: bool,
    trust: Literal["strict", "exporter"],
    pin: str | None,
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
    manifest = lay_out(run, target, layout=layout, trust=trust, expect_sha256=pin)
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
