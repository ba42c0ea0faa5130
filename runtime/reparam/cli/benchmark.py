"""`reparam benchmark`: which device, which precision, which batch."""

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from reparam.cli.common import PATH, bundle_argument, progress, trust_option


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """The values between commas, none where the option was left out; an empty one is a usage error."""
    found = () if value is None else tuple(each.strip() for each in value.split(","))
    if "" in found:
        raise click.BadParameter(
            f"{value!r} has an empty entry; give each a value, or leave the option out", ctx, param
        )
    return found


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """The same as whole numbers; others are a usage error."""
    try:
        return tuple(map(int, _names(ctx, param, value)))
    except ValueError:
        raise click.BadParameter(f"{value!r} must be whole numbers with commas between them", ctx, param) from None


@click.command(short_help="Which device, precision and batch: measured.")
@bundle_argument
@click.option(
    "--devices",
    callback=_names,
    metavar="A,B",
    help="cpu, cuda, cuda:N.  [default: cpu,cuda, if it is there]",
)
@click.option(
    "--precisions",
    callback=_names,
    metavar="A,B",
    help="fp32, fp16, int8.  [default: those it has, and int8]",
)
@click.option(
    "--paths",
    callback=_names,
    metavar="A,B",
    help="numpy, pinned, device, cuda-graph.  [default: numpy,pinned; of a card all but pinned]",
)
@click.option("--operations", callback=_names, metavar="A,B", help="encode, decode, reconstruct.  [default: all]")
@click.option(
    "--batches",
    callback=_numbers,
    metavar="N,N",
    help="Rows of a call.  [default: 1,8,64,256; 1,8,256 with --quick]",
)
@click.option("--threads", callback=_numbers, metavar="N,N", help="Of a session.  [default: all this process may use]")
@click.option("--against", callback=_names, metavar="A,B", help="Other libraries: torch, torch-compile.")
@click.option("--run", type=PATH, help="Training run for --against, where the bundle's graphs do not tell the net.")
@click.option("--quick", is_flag=True, help="Half a minute, numpy to numpy only.")
@click.option("--seconds", type=click.FloatRange(min=1), help="About how long.  [default: 170; 22 with --quick]")
@click.option(
    "--seed", type=click.IntRange(min=0, max=2**64 - 1), default=0, show_default=True, help="Of arrival times."
)
@click.option(
    "--bound-ms", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, help="Of Server's p99."
)
@click.option(
    "--floor", "floors", multiple=True, metavar="ARM@BATCH=ROWS_PER_S", help="Exit with 6 below it; see above."
)
@click.option("--compare", type=PATH, metavar="OLD.json", help="What moved since that report, against the noise.")
@click.option("--out", type=PATH, metavar="REPORT.json", help="Write the whole report, raw samples included.")
@click.option("--page", type=PATH, metavar="PAGE.html", help="Write it as a page with plots; needs the extra report.")
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole report in place of the table.")
def benchmark(
    bundle: Path,
    *,
    compare: Path | None,
    out: Path | None,
    page: Path | None,
    as_json: bool,
    run: Path | None,
    **wish: Any,
) -> None:
    """Measure BUNDLE here: every device, precision, path and batch in turn, each held against fp32 on the CPU first.

    Exit code 5 where a device that was named cannot be had or work for it ran elsewhere, 6 where an arm is wrong or a
    --floor is missed; a precision or path that a device lacks is a line with its reason. A floor is in rows a second,
    or how many times those of another arm, which holds on a noisy machine too.

    \b
    reparam benchmark models/mnist --quick
    reparam benchmark models/mnist --against torch,torch-compile --out report.json --page report.html
    reparam benchmark models/mnist --devices cuda --batches 1,256 --compare report.json
    reparam benchmark models/digits --quick --floor encode.cpu.fp32.numpy@256=10000
    reparam benchmark models/digits --paths numpy,pinned --floor encode.cpu.fp32.pinned@1/encode.cpu.fp32.numpy=1
    """
    from reparam.benchmark import run as benchmarking
    from reparam.benchmark.faults import error_of
    from reparam.benchmark.page import check_page, write_page
    from reparam.benchmark.plan import Wish
    from reparam.benchmark.report import encode_report, read_report
    from reparam.benchmark.table import table
    from reparam.errors import OptionError
    from reparam.files.atomic import check_place, write_bytes

    for place in (out, page):  # before minutes are spent on what is to be written there
        if place is not None:
            check_place(place)
            if place.resolve().parent == bundle.resolve():
                raise OptionError(f"{place}: lies in the bundle that is measured; choose another place")
    if out is not None and page is not None and out.resolve() == page.resolve():
        raise OptionError(f"--out and --page name one file, {out}; give each its own")
    if page is not None:
        check_page()
    old = None if compare is None else read_report(compare)
    report = benchmarking.run(bundle, Wish(run=None if run is None else str(run), **wish), progress=progress, old=old)
    if out is not None:
        write_bytes(out, encode_report(report))
    if page is not None:
        with progress(1, "page") as advance:  # plots take seconds
            write_page(report, page)
            advance(1)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo(encode_report(report).decode().rstrip() if as_json else table(report, width=width))
    if (error := error_of(report)) is not None:
        raise error
