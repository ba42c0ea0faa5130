"""The commands `reparam compare` and `reparam sweep`: parse, call, print. torch is imported when they run."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click
import msgspec

from reparam.errors import printable
from reparam_train.cli_options import model_options, option, parted, together, training_options
from reparam_train.data.reading_options import read_data, reading_options

if TYPE_CHECKING:
    from reparam_train.data.split import Data
    from reparam_train.study.compare import Comparison
    from reparam_train.study.numbers import Measured
    from reparam_train.study.runs import Study
    from reparam_train.study.sweep import Sweep

SEEDS: Final = (0, 1, 2)
PENALTIES: Final = ((0.05, 0.1), (0.5, 1.0), (5.0, 10.0))
BETAS: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
DRAWS: Final = 100


def _listed(kind: Callable[[str], Any], rule: str) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A callback that reads values with commas between them."""

    def read(_: click.Context, param: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
        try:
            return None if value is None else tuple(kind(part) for part in value.split(","))
        except ValueError:
            raise click.BadParameter(f"must be {rule}; got {value!r}", param=param) from None

    return read


def _pair(text: str) -> tuple[float, float]:
    alpha, _, beta = text.partition(":")
    return float(alpha), float(beta)


_study_options = together(
    click.argument("data", metavar="DATA"),
    click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder of the study."),
    option(
        "--seeds",
        str,
        "Each model is trained with each of them.",
        default=",".join(map(str, SEEDS)),
        metavar="N,N...",
        callback=_listed(int, "whole numbers with commas between them, such as 0,1,2"),
    ),
    option("--samples", int, "Importance samples a row for the log-likelihood; 0 for none.", default=DRAWS),
)
_end_options = together(
    click.option(
        "--resume", is_flag=True, help="Go on in DIR; options left out keep their values, runs their results."
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table."),
)


@click.command(short_help="The autoencoder, penalised moments and the VAE beside each other.")
@_study_options
@option(
    "--penalties",
    str,
    "alpha:beta of each model trained on -log p(x|z) + alpha |mean|^2 + beta |std - 1|^2.",
    default=",".join(f"{alpha:g}:{beta:g}" for alpha, beta in PENALTIES),
    metavar="A:B,A:B...",
    callback=_listed(_pair, "pairs of numbers with commas between them, such as 0.5:1,5:10"),
)
@model_options
@training_options
@reading_options
@_end_options
def compare(data: str, out: Path, *, resume: bool, as_json: bool, **given: Any) -> None:
    """Train a plain autoencoder, moment-penalised ones and a VAE with the same net on DATA, and compare them.

    DATA is what `reparam train` takes.

    Leaves compare.png (reconstructions, samples from the prior, codes, numbers), compare.json, and each run in
    DIR/runs. Numbers are means over the seeds: log-likelihood and ELBO of held-out rows in nats, and the squared
    Frechet distance of samples from the prior to the held-out rows, in the leading 32 principal components of the
    training rows; that of the training rows is printed as its floor.

    \b
    The story on handwritten digits, in a few minutes:
        reparam compare digits --out story --likelihood gaussian --latent 16
    The same with another seed, whose runs alone are trained:
        reparam compare digits --out story --resume --seeds 0,1,2,3
    """
    from reparam_train.extras import need

    need()
    from reparam_train.study.compare import FILE, PICTURE
    from reparam_train.study.compare import compare as run

    found: Comparison = _carried_out("compare", run, data, out, resume=resume, given=given)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    factor = found.autoencoder_over_vae
    click.echo(_table([(arm.name, arm) for arm in found.arms], floor=found.space.floor))
    click.echo(
        f"frechet of the autoencoder over the VAE's: {factor.mean:.2f} ({factor.lowest:.2f} to {factor.highest:.2f} "
        f"over the seeds)\n{out / PICTURE}, {out / FILE}"
    )


@click.command(short_help="The rate-distortion front over the weight of the KL.")
@_study_options
@option(
    "--beta",
    str,
    "Weights of the KL.",
    default=",".join(f"{beta:g}" for beta in BETAS),
    metavar="B,B...",
    callback=_listed(float, "numbers with commas between them, such as 0.1,1,10"),
)
@model_options
@training_options
@reading_options
@_end_options
def sweep(data: str, out: Path, *, resume: bool, as_json: bool, **given: Any) -> None:
    """Train a VAE on DATA for each weight beta of the KL, and draw rate against distortion.

    DATA is what `reparam train` takes.

    Leaves sweep.png, sweep.json, and each run in DIR/runs. The ELBO in it is the plain one, minus the sum of rate and
    distortion of held-out rows in nats, whatever beta trained.

    \b
    reparam sweep digits --beta 0.1,0.3,1,3,10 --out front --likelihood gaussian
    """
    from reparam_train.extras import need

    need()
    from reparam_train.study.sweep import FILE, PICTURE
    from reparam_train.study.sweep import sweep as run

    found: Sweep = _carried_out("sweep", run, data, out, resume=resume, given=given)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    click.echo(_table([(f"beta {point.beta:g}", point.arm) for point in found.points], floor=found.space.floor))
    click.echo(f"{out / PICTURE}, {out / FILE}")


def _carried_out(
    kind: Literal["compare", "sweep"],
    run: Callable[..., Any],
    data: str,
    out: Path,
    *,
    resume: bool,
    given: dict[str, Any],
) -> Any:
    """The study's result; where a signal stopped it, the line that goes on."""
    from reparam_train.signals import Interrupted
    from reparam_train.study.runs import read

    before = read(out, kind) if resume else None
    rows = read_data(data, given, out=out, before=before)
    study = _planned(kind, rows, before, given)
    terminal = sys.stderr.isatty()

    def tell(line: str) -> None:
        if terminal:
            click.echo(line, err=True)

    try:
        return run(rows, study, out=out, resume=resume, progress=terminal, tell=tell)
    except Interrupted as stop:
        line = shlex.join(["reparam", kind, data, "--out", str(out), "--resume"])
        click.echo(printable(f"error: {stop}; go on with: {line}"), err=True)
        click.get_current_context().exit(128 + stop.signal)


def _planned(kind: Literal["compare", "sweep"], rows: "Data", before: "Study | None", given: dict[str, Any]) -> "Study":
    """The study that was asked for; what is left out is what DIR was started with, or the default."""
    from reparam_train.options import Options, config_for
    from reparam_train.study.runs import Study

    names = {"seeds": "seeds", "samples": "draws", "penalties": "penalties", "beta": "betas"}
    asked = {names[name]: given.pop(name) for name in tuple(given) if name in names}
    asked = {name: value for name, value in asked.items() if value is not None}
    for_config, chosen = parted(given)
    if before is not None:
        config = msgspec.structs.replace(before.config, **for_config)
        options = msgspec.structs.replace(before.options, **chosen)
    else:
        own = {"penalties": PENALTIES} if kind == "compare" else {"betas": BETAS}
        config, options = config_for(rows, **for_config), Options(**chosen)
        asked = {"seeds": SEEDS, "draws": DRAWS} | own | asked
    sha256 = rows.head(options.limit).sha256
    known: dict[str, Any] = {"config": config, "options": options, "data": rows.name, "data_sha256": sha256} | asked
    known |= {"reading": rows.reading, "columns": rows.columns}
    return Study(kind=kind, **known) if before is None else msgspec.structs.replace(before, **known)


def _table(rows: "list[tuple[str, Measured]]", *, floor: float) -> str:
    """A line for each model: means over the seeds."""
    columns = {
        "frechet": ".3f", "elbo": ".2f", "rate": ".2f", "distortion": ".2f", "nll": ".2f", "active_units": ".1f"
    }  # fmt: skip
    width = max(len("training rows"), *(len(name) for name, _ in rows))
    lines = [f"{'':<{width}}" + "".join(f"  {column.replace('_', ' '):>12}" for column in columns)]
    for name, arm in rows:
        values = ((arm.mean[column], form) for column, form in columns.items())
        told = ("-" if value is None else format(value, form) for value, form in values)
        lines.append(f"{name:<{width}}" + "".join(f"  {text:>12}" for text in told))
    return "\n".join([*lines, f"{'training rows':<{width}}  {floor:>12.3f}"])
