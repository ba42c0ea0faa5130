"""Everything that wants a card, in one go: tests marked `gpu`, `reparam benchmark`, PyTorch beside it, the floors.

    python benchmarks/gpu                              # docs/gpu-report.json and .md; `make gpu`
    python benchmarks/gpu --device cpu --quick --out build/gpu-dry

The second runs the same code without a card, on smaller models. Exit code 5 where something is missing, with its name,
6 where a test or a model failed.
"""

import argparse
import datetime as dt
import math
import platform
import sys
import time
import traceback
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from reparam.benchmark.identity import load_average, machine
from reparam.engine.device import Device, missing_for_cuda
from reparam.engine.probe import probe
from reparam.engine.wheel import installed_wheels
from reparam.errors import OptionError, ReparamError
from reparam.files.atomic import check_place

_NEEDED = ("torch", "onnx", "onnxscript", "diffusers", "pytest", "pytest-timeout")


def missing(device: str) -> list[str]:
    """What keeps this machine from running it, by name."""
    found: list[str] = []
    for name in _NEEDED if device == "cpu" else (*_NEEDED, "nvidia-ml-py"):  # which names the card
        try:
            version(name)
        except PackageNotFoundError:
            found.append(name)
    try:
        if device != "cpu":
            lacking = missing_for_cuda()
            reason = None if lacking else probe(Device("cuda"))
            found += lacking or ([f"a card that starts ({reason})"] if reason else [])
        if device != "cpu" and "torch" not in found:
            import torch

            if not torch.cuda.is_available() or int((torch.version.cuda or "0").partition(".")[0]) < 13:
                found.append(f"torch with CUDA 13 that sees a card (installed is {torch.__version__})")
    except ReparamError as error:
        found.append(str(error))
    return found


def versions() -> dict[str, str]:
    """Of what was measured."""
    found = {"python": platform.python_version()}
    for name in ("reparam", "numpy", "torch", "diffusers"):
        found[name] = version(name)
    import torch

    return found | installed_wheels() | ({"cuda": torch.version.cuda} if torch.version.cuda else {})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu for a dry run")
    parser.add_argument("--quick", action="store_true", help="smaller models, less time")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the report")
    parser.add_argument("--work", type=Path, default=Path("build/gpu"), help="folder of bundles, which are made once")
    parser.add_argument("--models", default="", help="names with commas between them, such as mnist,conv64; all")
    parser.add_argument("--seconds", type=float, default=None, help="of each group of arms; 1")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="after which no model and no batch of one is begun"
    )
    parser.add_argument(
        "--compile", default=None, help="modes of torch.compile with commas between them, or none; reduce-overhead"
    )
    parser.add_argument("--skip-tests", action="store_true")
    parser.add_argument("--test-seconds", type=float, default=900.0, help="after which the tests are ended; 900")
    parser.add_argument("--add", action="store_true", help="to the report that lies in --out, of the same card")
    parser.add_argument("--prepare", action="store_true", help="make the models' bundles and end; needs no card")
    return parser.parse_args()


def chosen(names: str, known: Collection[str]) -> list[str]:
    """The models that are named, all where none is.

    Raises:
        OptionError: a name that is none of them.
    """
    wanted = [name for name in names.split(",") if name] or list(known)
    if strange := [name for name in wanted if name not in known]:
        raise OptionError(f"--models: {strange[0]!r} is none of {', '.join(known)}")
    return wanted


def main() -> int:
    options = arguments()
    if lacking := missing("cpu" if options.prepare else options.device):
        print(f"error: gpu: missing here: {', '.join(lacking)}; docs/gpu.md says how to get it", file=sys.stderr)
        return 5
    try:
        return run(options)
    except OptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace) -> int:
    """Everything, once what it needs is there; the exit code."""
    from commands import run_tests
    from measure import Plan, exact, makers, measured, rates
    from report import GpuReport, first_line, read, with_model, write

    wished = options.compile or ("none" if options.quick else "reduce-overhead")
    plan = Plan(
        device=options.device,
        quick=options.quick,
        work=options.work,
        seconds=options.seconds or (0.2 if options.quick else 1.0),
        modes=tuple(mode for mode in wished.split(",") if mode and mode != "none"),
        end=time.monotonic() + 60 * options.minutes,
    )
    wanted = chosen(options.models, makers(plan))
    if options.prepare:
        for name in wanted:
            print(makers(plan)[name]().bundle)
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    place = options.out / "gpu-report.json"
    check_place(place)
    exact(plan)
    known = {"device": options.device, "quick": options.quick, "machine": machine(load_average())}
    known["versions"] = versions()
    if options.add and place.exists():
        report = read(place, **known)
    else:
        started = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        report = GpuReport(started=started, rates=rates(plan), tests=None, models=(), **known)
    write(report, options.out)
    if not options.skip_tests:
        report = msgspec.structs.replace(report, tests=run_tests(options.work, seconds=options.test_seconds))
        write(report, options.out)
    for name in wanted:
        if time.monotonic() > plan.end:
            print(f"no time is left for {name}", file=sys.stderr)
            continue
        print(f"{name} ...", file=sys.stderr)
        try:
            for model in measured(plan, report.rates, name):
                report = with_model(report, model)
                write(report, options.out)  # whenever more is known, so that a run cut short leaves what it found
        except Exception as error:  # the next model may run all the same
            traceback.print_exc()
            report = msgspec.structs.replace(report, failed=(*report.failed, f"{name}: {first_line(error)}"))
            write(report, options.out)
    for name in ("json", "md"):
        print(options.out / f"gpu-report.{name}")
    return 6 if report.failed or (report.tests and report.tests.failed) else 0


if __name__ == "__main__":
    sys.exit(main())
