"""The command `reparam train`: parses, calls, prints. torch is imported when the command runs, not before."""

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from reparam.errors import OptionError
from reparam_train.data.reading_options import reading_options
from reparam_train.options import (
    ACTIVATIONS,
    AMPS,
    BINARIZE,
    DEVICES,
    HIDDEN,
    LATENT,
    LIKELIHOODS,
    NETS,
    OBJECTIVES,
    POSTERIORS,
    SCALES,
    SCHEDULES,
    Options,
    VAEConfig,
    config_for,
)

if TYPE_CHECKING:
    from reparam_train.data.split import Data
    from reparam_train.loop import Result

_Command = TypeVar("_Command", bound=Callable[..., object])
_DEFAULTS: Final = Options()


def _sizes(_: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """A tuple of integers, from "200,200"."""
    try:
        return None if value is None else tuple(int(part) for part in value.split(","))
    except ValueError:
        rule = "must be whole numbers with commas between them, such as 200,200"
        raise click.BadParameter(f"{rule}; got {value!r}", param=param) from None


def _option(
    name: str, kind: Any, meaning: str, *, default: object = None, **more: Any
) -> Callable[[_Command], _Command]:
    """An option that is None where it is not given, so that a resumed run keeps what it was started with."""
    shown = getattr(_DEFAULTS, name[2:].replace("-", "_")) if default is None else default
    return click.option(name, type=kind, default=None, **more, help=f"{meaning}  [default: {shown}]")


@click.command(short_help="Data to a trained variational autoencoder.")
@click.argument("data", metavar="DATA")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="RUN", help="Folder of the run.")
@_option("--net", click.Choice(NETS), "Layers.", default="conv for images, mlp for features")
@_option(
    "--hidden",
    str,
    "Widths of the mlp's layers, or channels of the stride-2 convolutions.",
    default="; ".join(f"{net} {','.join(map(str, sizes))}" for net, sizes in HIDDEN.items()),
    metavar="N,N...",
    callback=_sizes,
)
@_option("--activation", click.Choice(ACTIVATIONS), "Between the layers.", default="relu")
@_option("--latent", int, "Width of z.", default=LATENT)
@_option(
    "--posterior",
    click.Choice(POSTERIORS),
    "Law of the noise eps in z = mean + std eps.",
    default="normal; none for objective autoencoder",
)
@_option(
    "--likelihood",
    click.Choice(LIKELIHOODS),
    "Law of x given z. bernoulli needs values in [0, 1].",
    default="bernoulli for digits, idx and uint8, else gaussian",
)
@_option(
    "--std",
    float,
    "Fixed standard deviation of gaussian or laplace, in the data's units.",
    default="found, as --scale says",
)
@_option(
    "--scale",
    click.Choice(SCALES),
    "Scale of gaussian or laplace: one learned, one for each dimension as an output of the decoder, or the best one.",
    default="shared",
)
@_option(
    "--binarize",
    click.Choice(BINARIZE),
    "bernoulli: grey values as draws of 0 or 1, once a row or anew each step. Test rows once.",
)
@_option("--objective", click.Choice(OBJECTIVES), "What training makes smaller. The test ELBO is plain for each.")
@_option("--beta", float, "elbo: weight of the KL.")
@_option("--warmup", float, "elbo: epochs in which that weight rises linearly from 0.", metavar="EPOCHS")
@_option("--free-bits", float, "elbo: free nats of each latent dimension's KL, mean over the batch.", metavar="NATS")
@_option("--samples", int, "iwae: draws of z a row.", metavar="K")
@_option("--mean-penalty", float, "moments: alpha of alpha |mean|^2 + beta |std - 1|^2.", metavar="ALPHA")
@_option("--std-penalty", float, "moments: beta of it.", metavar="BETA")
@_option("--epochs", int, "Passes over the training rows.")
@_option("--batch-size", int, "Rows a step.")
@_option("--lr", float, "Step size of Adam.")
@_option("--adam-eps", float, "Added to the denominator of Adam.")
@_option("--seed", int, "Of first weights, order and noise, 0 to 2^64 - 1.")
@_option("--device", click.Choice(DEVICES), "Where to train; auto takes CUDA where there is a card.")
@_option("--validate-every", int, "Epochs between validations; each leaves a checkpoint.", metavar="EPOCHS")
@_option("--checkpoint-every", int, "Steps between checkpoints besides these.", default="none", metavar="STEPS")
@_option("--patience", int, "Stop after so many validations without a better test ELBO.", default="never", metavar="N")
@_option("--schedule", click.Choice(SCHEDULES), "Of the step size: cosine falls to 0 over all epochs.")
@_option("--lr-decay", float, "step: factor of the step size.")
@_option("--lr-decay-every", int, "step: epochs between two factors.", metavar="EPOCHS")
@_option("--clip-norm", float, "Largest norm of the whole gradient.", default="none")
@_option("--amp", click.Choice(AMPS), "bf16 computes the layers in bfloat16; weights and losses stay float32.")
@_option("--compile/--no-compile", None, "Compile the loss with torch.compile.", default="no-compile")
@_option("--threads", int, "CPU threads.", default="torch's choice")
@_option("--limit", int, "Use only the first ROWS of each split, for trials.", default="all", metavar="ROWS")
@reading_options
@click.option("--dry-run", is_flag=True, help="Print the resolved options, shapes, steps and memory; write nothing.")
@click.option("--resume", is_flag=True, help="Continue RUN; options left out keep the values it was started with.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a summary.")
def train(data: str, out: Path, *, dry_run: bool, resume: bool, as_json: bool, **given: Any) -> None:
    """Train a variational autoencoder on DATA and leave it in the folder RUN.

    DATA is one of: "digits" (built in); a .npy file of rows, or a .npz with x_train and x_test, or x; a .csv (with a
    header) or .parquet table; a folder of idx files such as MNIST's; a folder of images (or with folders train and test
    of them); or module:function, which returns rows. uint8 is divided by 255.

    \b
    A model of handwritten digits, in under a minute on two cores:
        reparam train digits --out digits-run
    The same with other layers, noise and order:
        reparam train digits --out other-run --net mlp --hidden 200,200 --seed 1
    Rows of your own, [n, features], float32; every tenth row is kept for testing:
        reparam train rows.npy --out rows-run --latent 4 --likelihood gaussian
    A table, one law for each column; numbers keep their units:
        reparam train people.csv --out people-run --latent 4 --column zip=categorical --column id=drop
    Signals, [n, channels, length]:
        reparam train ecg.npy --out ecg-run --layout signal
    Images of one size in a folder, every fifth kept for testing:
        reparam train photos/ --out photos-run --test-every 5
    What that would be, without training it:
        reparam train rows.npy --out rows-run --latent 4 --likelihood gaussian --dry-run
    A hundred more epochs of a run, or the rest of one that was stopped:
        reparam train digits --out digits-run --resume --epochs 200

    The test ELBO is in nats per row: higher is better. The run is a function of its options: on one machine, two runs
    with the same options end in the same number to the last digit.
    """
    from reparam_train.extras import need

    need()
    from reparam_train import loop
    from reparam_train.data import sources
    from reparam_train.signals import Interrupted

    chosen = {name: value for name, value in given.items() if value is not None}
    for_config = {name: chosen.pop(name) for name in VAEConfig.__struct_fields__ if name in chosen}
    how = {name: chosen.pop(name) for name in ("test_every", "layout", "column") if name in chosen}
    columns = how.pop("column")
    if resume:
        from reparam_train import record

        before = record.read(out)
        if columns:
            raise OptionError(f"column: {out} was started with its columns; leave column out")
        for name, value in how.items():
            was = getattr(before.reading, name)
            if value != was:
                raise OptionError(f"{name}: {out} was started with {was!r}, got {value!r}; leave it out")
        rows = sources.load_as(data, before.reading, before.columns)
        config = msgspec.structs.replace(before.config, **for_config)
        options = msgspec.structs.replace(before.options, **chosen)
    else:
        rows = sources.load(data, columns=columns, **how)
        options = Options(**chosen)
        if options.objective == "autoencoder":
            for_config.setdefault("posterior", "none")
        config = config_for(rows, **for_config)
    if dry_run:
        click.echo(_planned(rows, config, options, as_json=as_json))
        return
    try:
        result = loop.fit(rows, config, options, out=out, resume=resume, progress=sys.stderr.isatty())
    except Interrupted as stop:
        click.echo(f"{stop}; go on with: reparam train {shlex.join([data, '--out', str(out)])} --resume", err=True)
        click.get_current_context().exit(128 + stop.signal)
    click.echo(_as_json(result) if as_json else _summary(result))


def _planned(rows: "Data", config: VAEConfig, options: Options, *, as_json: bool) -> str:
    """The plan of a run, as one JSON document or as a table."""
    from reparam_train import plan

    found = plan.plan(rows, config, options)
    if as_json:
        return msgspec.json.encode(found).decode()
    lines = plan.told(found)
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def _as_json(result: "Result") -> str:
    """One line; metrics without epoch and step, which are there already; null for what the model does not have."""
    values = {name: value for name, value in asdict(result).items() if name != "metrics"} | {"run": str(result.run)}
    return json.dumps(
        values | {name: result.metrics.get(name) for name in ("test_elbo", "test_rate", "test_distortion")}
    )


def _summary(result: "Result") -> str:
    """Two lines for people."""
    metrics = result.metrics
    found = f"test distortion {metrics['test_distortion']:.3f} nats a row (a plain autoencoder has no ELBO)"
    if "test_elbo" in metrics:
        found = (
            f"test ELBO {metrics['test_elbo']:.3f} nats a row "
            f"(rate {metrics['test_rate']:.3f}, distortion {metrics['test_distortion']:.3f})"
        )
    early = " (stopped early)" if result.stopped_early else ""
    return (
        f"{result.run}: {result.epochs} epochs{early}, {result.steps} steps in {result.seconds:.1f} s "
        f"({result.rows_per_second:,.0f} rows/s)\n"
        f"{found}"
    )
