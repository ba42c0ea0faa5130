"""What the commands share: options with one meaning everywhere, loading, progress, reports for people or machines."""

import contextlib
import json
import sys
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reparam.errors import printable

if TYPE_CHECKING:
    from reparam.bundle.manifest import Trust
    from reparam.jobs.job import Job
    from reparam.vae import VAE

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


def bundle_argument(command: Command) -> Command:
    """BUNDLE, the folder of a bundle, and the pin that it may be given."""
    return click.argument("bundle", type=PATH)(pin_option(command))


def pin_option(command: Command) -> Command:
    """Which bundle it has to be."""
    return click.option(
        "--expect-sha256", metavar="HEX", help="Of the bundle's manifest.json, as `info` prints it; pins every file."
    )(command)


def trust_option(command: Command) -> Command:
    """--trust, as `load` takes it."""
    return click.option(
        "--trust",
        type=click.Choice(["strict", "exporter"]),
        default="strict",
        show_default=True,
        help="Take operators off the gate's list too: exporter.",
    )(command)


def run_options(command: Command) -> Command:
    """Where and how a bundle runs."""
    for option in (
        trust_option,
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
        click.option(
            "--max-batch",
            type=click.IntRange(min=1, max=2**20),
            default=256,
            show_default=True,
            help="Rows run at a time.",
        ),
        click.option("--threads", type=click.IntRange(min=1), help="Threads.  [default: all this process may use]"),
        click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:N, or auto."),
    ):
        command = option(command)
    return command


def job_options(command: Command) -> Command:
    """How a bundle runs over files that may be larger than memory."""
    for option in (
        click.option("--resume", is_flag=True, help="Go on where an earlier process was stopped."),
        workers_option("Processes."),
    ):
        command = option(command)
    return run_options(command)


def workers_option(help_text: str) -> Callable[[Command], Command]:
    """--workers, processes that share the rows."""
    return click.option("--workers", type=click.IntRange(min=1, max=256), default=1, show_default=True, help=help_text)


def seed_options(command: Command) -> Command:
    """Which noise."""
    for option in (
        click.option(
            "--first-row", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the first row."
        ),
        click.option("--seed", type=click.IntRange(min=0, max=2**64 - 1), help="Row i gets the noise of (seed, i)."),
    ):
        command = option(command)
    return command


def noise_options(command: Command) -> Command:
    """Which noise, by seed or as it is."""
    eps = click.option("--eps", type=PATH, help="The noise itself, .npy [n, latent], in place of --seed.")
    return seed_options(eps(command))


def out_option(help_text: str) -> Callable[[Command], Command]:
    """--out, a .npy file that is written whole or not at all."""
    return click.option("--out", type=PATH, required=True, help=help_text)


@contextlib.contextmanager
def opened(
    bundle: Path,
    *,
    device: str,
    threads: int | None,
    max_batch: int,
    trust: "Trust",
    expect_sha256: str | None,
) -> Generator["VAE"]:
    """A loaded bundle, closed at the end."""
    from reparam.vae import load

    with load(
        bundle, device=device, threads=threads, max_batch=max_batch, trust=trust, expect_sha256=expect_sha256
    ) as vae:
        yield vae


def run(job: "Job", *, resume: bool, as_json: bool) -> None:
    """Does a job and reports it; what `encode`, `sample`, `decode`, `reconstruct` and `generate` do."""
    from reparam.jobs.run import run_job

    done = run_job(job, resume=resume, progress=progress, note=_warn)
    report_rows(rows=done.rows, kept=done.kept, seconds=done.seconds, files=dict(job.outs), as_json=as_json)


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=2)  # told once the work is done, so that beside an error there is one line


@contextlib.contextmanager
def progress(length: int, label: str) -> Generator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal, else nothing; yields a function that advances it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


def report_rows(*, rows: int, kept: int, seconds: float, files: dict[str, Path], as_json: bool) -> None:
    """What was done: rows, how many of them an earlier process had done, seconds, and where the results lie."""
    rate = (rows - kept) / seconds if seconds else 0.0
    if as_json:
        document: dict[str, object] = {"rows": rows, "seconds": seconds, "rows_per_second": rate}
        resumed = {"rows_resumed_from": kept} if kept else {}
        print_json(document | resumed | {name: str(path) for name, path in files.items()})
        return
    places = ", ".join(f"{name} in {path}" for name, path in files.items())
    told = f"{rows:,} rows" if not kept else f"{rows - kept:,} of {rows:,} rows"
    click.echo(f"{told} in {seconds:.2f} s ({rate:,.0f} rows/s): {places}")


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def table(rows: list[tuple[str, str]]) -> str:
    """Two aligned columns."""
    width = max(len(key) for key, _ in rows)
    return "\n".join(printable(f"{key:<{width}}  {value}") for key, value in rows)
