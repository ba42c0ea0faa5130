"""The command `reparam train`: parses, calls, prints. torch is imported when the command runs, not before."""

import contextlib
import json
import shlex
import sys
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from reparam.errors import printable
from reparam_train.cli_options import model_options, objective_options, parted, seed_option, training_options
from reparam_train.data.reading_options import read_data, reading_options
from reparam_train.options import Options, VAEConfig, config_for

if TYPE_CHECKING:
    from reparam_train.data.split import Data
    from reparam_train.loop import Result
    from reparam_train.observers import Observer


@click.command(short_help="Data to a trained variational autoencoder.")
@click.argument("data", metavar="DATA")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="RUN", help="Folder of the run.")
@model_options
@objective_options
@training_options
@seed_option
@click.option(
    "--pictures/--no-pictures",
    default=True,
    help="Leave RUN/pictures/epoch-N.png at each validation, of images and where the extra report is installed.  "
    "[default: pictures]",
)
@click.option(
    "--tensorboard", is_flag=True, help="Log each validation to RUN/tensorboard; needs the extra tensorboard."
)
@click.option(
    "--preflight/--no-preflight",
    default=True,
    help="Prove by a trial export, before step 1, that the model can be exported.  [default: preflight]",
)
@reading_options
@click.option("--dry-run", is_flag=True, help="Print the resolved options, shapes, steps and memory; write nothing.")
@click.option("--resume", is_flag=True, help="Continue RUN; options left out keep the values it was started with.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a summary.")
def train(
    data: str,
    out: Path,
    *,
    pictures: bool,
    tensorboard: bool,
    preflight: bool,
    dry_run: bool,
    resume: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a variational autoencoder on DATA and leave it in the folder RUN.

    DATA is one of: "digits" (built in); a .npy file of rows, or a .npz with x_train and x_test, or x; a .csv (with a
    header) or .parquet table; a folder of idx files such as MNIST's; a folder of images (or with folders train and test
    of them); or module:function, which returns rows. uint8 is divided by 255.

    \b
    A model of handwritten digits, in under a minute on two cores:
        reparam train digits --out digits-run
    The same with other layers, noise and order:
        reparam train digits --out other-run --net mlp --hidden 200,200 --seed 1
    A fully convolutional one whose z is a map, and one of your own, build(config) in mynets.py:
        reparam train digits --out resnet-run --net resnet --latent 4 --attention
        reparam train digits --out own-run --net mynets:build
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
    The same run, to rounding, in two processes, on two cards where there are two:
        torchrun --nproc-per-node 2 --no-python reparam train digits --out digits-run

    The test ELBO is in nats per row: higher is better. The run is a function of its options: on one machine, two runs
    with the same options end in the same number to the last digit.
    """
    from reparam_train.extras import need

    need()
    from reparam_train import loop, record
    from reparam_train.distributed import is_first
    from reparam_train.signals import Interrupted

    before = record.read(out) if resume else None
    rows = read_data(data, given, out=out, before=before)
    for_config, chosen = parted(given)
    if before is not None:
        config = msgspec.structs.replace(before.config, **for_config)
        options = msgspec.structs.replace(before.options, **chosen)
    else:
        options = Options(**chosen)
        if options.objective == "autoencoder":
            for_config.setdefault("posterior", "none")
        config = config_for(rows, **for_config)
    if dry_run and is_first():
        click.echo(_planned(rows, config, options, as_json=as_json))
    if dry_run:
        return
    try:
        with _observers(config, options, pictures=pictures, tensorboard=tensorboard) as observers:
            result = loop.fit(
                rows,
                config,
                options,
                out=out,
                resume=resume,
                progress=sys.stderr.isatty(),
                preflight=preflight,
                observers=observers,
            )
    except Interrupted as stop:
        if is_first():  # these two are not in run.json
            unrecorded = ["--no-pictures"] * (not pictures) + ["--tensorboard"] * tensorboard
            line = shlex.join(["reparam", "train", data, "--out", str(out), "--resume", *unrecorded])
            click.echo(printable(f"error: {stop}; go on with: {line}"), err=True)
        click.get_current_context().exit(128 + stop.signal)
    if is_first():
        click.echo(_as_json(result) if as_json else _summary(result))


@contextlib.contextmanager
def _observers(
    config: VAEConfig, options: Options, *, pictures: bool, tensorboard: bool
) -> Generator["Sequence[Observer]"]:
    """Who looks at each validation."""
    from reparam_train.pictures import Pictures, available
    from reparam_train.tensorboard import TensorBoard

    found: list[Observer] = []
    with contextlib.ExitStack() as stack:
        if pictures and available(config.input_shape):
            found.append(Pictures(every=options.validate_every))
        if tensorboard:
            found.append(stack.enter_context(TensorBoard()))
        yield found


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
