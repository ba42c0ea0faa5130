"""What the commands share: options with one meaning everywhere, loading, progress, reports for people or machines."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
import numpy as np
import numpy.typing as npt

from reparam.errors import printable

if TYPE_CHECKING:
    from reparam.vae import VAE

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


def bundle_argument(command: Command) -> Command:
    """BUNDLE, the folder of a bundle."""
    return click.argument("bundle", type=PATH)(command)


def run_options(command: Command) -> Command:
    """Where and how a bundle runs."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
        click.option(
            "--max-batch", type=click.IntRange(min=1), default=256, show_default=True, help="Rows run at a time."
        ),
        click.option("--threads", type=click.IntRange(min=1), help="Threads.  [default: all this process may use]"),
        click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:N, or auto."),
    ):
        command = option(command)
    return command


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
def opened(bundle: Path, *, device: str, threads: int | None, max_batch: int) -> Generator["VAE"]:
    """A loaded bundle, closed at the end."""
    from reparam.vae import load

    with load(bundle, device=device, threads=threads, max_batch=max_batch) as vae:
        yield vae


def collect(
    parts: Iterator[tuple[npt.NDArray[Any], ...]], rows: int, *empty: npt.NDArray[Any], label: str
) -> tuple[list[npt.NDArray[Any]], float]:
    """A stream's parts as whole arrays, with a progress bar, and the seconds it took.

    Args:
        parts: arrays of consecutive rows, so many each time as there are results.
        rows: of all parts together.
        empty: each result of no rows, for a stream without any.
        label: of the progress bar.
    """
    begin = time.perf_counter()
    outs = list(empty)
    first = 0
    with progress(rows, label) as advance:
        for part in parts:
            if not first:
                outs = [np.empty((rows, *values.shape[1:]), values.dtype) for values in part]
            for out, values in zip(outs, part, strict=True):
                out[first : first + len(values)] = values
            first += len(part[0])
            advance(len(part[0]))
    return outs, time.perf_counter() - begin


def write_rows(
    source: Path,
    out: Path,
    *,
    op: Literal["sample", "decode", "reconstruct"],
    result: Literal["z", "x_hat"],
    bundle: Path,
    eps: Path | None = None,
    seed: int | None = None,
    first_row: int = 0,
    device: str,
    threads: int | None,
    max_batch: int,
    as_json: bool,
) -> None:
    """The rows of a .npy file through one operation, into another; what `sample`, `decode` and `reconstruct` do."""
    from reparam.files import npy
    from reparam.files.atomic import check_place

    check_place(out)
    rows, noise = npy.read(source), None if eps is None else npy.read(eps)
    with opened(bundle, device=device, threads=threads, max_batch=max_batch) as vae:
        parts = vae.stream(rows, op=op, eps=noise, seed=seed, first_row=first_row)
        none = rows[:0]
        if op == "decode":
            empty = vae.decode(none)
        elif op == "reconstruct":
            empty = vae.reconstruct(none)
        else:
            empty = vae.sample(none, seed=None if vae.manifest.deterministic else 0)
        (values,), seconds = collect(parts, len(rows), empty, label=op)
    npy.write(out, values)
    report_rows(rows=len(rows), seconds=seconds, files={result: out}, as_json=as_json)


@contextlib.contextmanager
def progress(length: int, label: str) -> Generator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal, else nothing; yields a function that advances it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


def report_rows(*, rows: int, seconds: float, files: dict[str, Path], as_json: bool) -> None:
    """What was done: rows, seconds, rows per second, and where the results lie."""
    rate = rows / seconds if seconds else 0.0
    if as_json:
        print_json({"rows": rows, "seconds": seconds, "rows_per_second": rate, **{k: str(v) for k, v in files.items()}})
        return
    places = ", ".join(f"{name} in {path}" for name, path in files.items())
    click.echo(f"{rows:,} rows in {seconds:.2f} s ({rate:,.0f} rows/s): {places}")


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def table(rows: list[tuple[str, str]]) -> str:
    """Two aligned columns."""
    width = max(len(key) for key, _ in rows)
    return "\n".join(printable(f"{key:<{width}}  {value}") for key, value in rows)
